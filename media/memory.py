"""Transparent huge pages for a worker's heap.

A burst goes through libsrtp's context of every viewer. They lie all over the heap, and in pages of 4 kB there
are more of them than a core's TLB holds. glibc (>= 2.35) asks the kernel for pages of 2 MB by madvise, when a
tunable says so before the process begins; with another libc, or where the kernel gives none, nothing changes.
"""

from collections.abc import Mapping


def environment(own: Mapping[str, str]) -> dict[str, str]:
    """Return the environment a worker is started with; who has glibc's tunables in their own decides."""
    return {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1", **own}
