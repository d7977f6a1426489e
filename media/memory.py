"""How a worker's memory lies.

A burst goes through what libsrtp keeps of every viewer, which is spread over all of the heap: in pages of
4 kB most of them are looked up anew for each burst. glibc (>= 2.35) asks the kernel for pages of 2 MB when it
is told to before the process begins; where there is another libc, or the kernel gives none, nothing changes.
Measured by bench/spilling: docs/decisions/0020-huge-pages-and-whole-bursts.md.
"""

from collections.abc import Mapping

HUGE_PAGES: Mapping[str, str] = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}  # of a worker's environment
