"""One burst: what a frame became, laid out for everybody who is sent it, who take it a part at a time."""

import time
from array import array
from collections.abc import Sequence
from typing import Protocol

from media.datagrams import MOST, Form
from media.draft import Draft, Layout, Shift
from media.srtp import Target

MOST_SEGMENTS = 40
TAG = 16  # AES-GCM's tag, in bytes; AES-CM's is shorter
_CAPACITY = 63_000  # bytes of a run, which must fit a UDP length
_ALIGNED = 64  # bytes to which each viewer's part of a batch is aligned
_SLACK = 64  # packets within so many bytes are worth padding to one size
_AT_ONCE = 640  # packets, which take a core two milliseconds


class Audience(Protocol):
    """Viewers who are sent the same bytes before they are encrypted."""

    shift: Shift
    types: bytes | None

    @property
    def targets(self) -> Sequence[Target]: ...


class Run:
    """Packets of these sizes, which the kernel can segment, as they lie in a buffer for each viewer."""

    def __init__(self, sizes: Sequence[int]) -> None:
        count = len(sizes)
        self.sizes = sizes
        self.stride = sizes[0] + TAG
        length = sum(sizes) + count * TAG
        self.form = Form(length, length + -length % _ALIGNED, self.stride if count > 1 else 0)
        self.plain = array("i", sizes).tobytes()  # before they are protected, and after
        self.sealed = array("i", [size + TAG for size in sizes]).tobytes()


class Burst:
    """Packets for several audiences, whose viewers get them in order, so many viewers at a time."""

    def __init__(
        self, drafts: Sequence[Draft], audiences: Sequence[Audience], *, pictures: bool, of: object
    ) -> None:
        self.pictures = pictures
        self.of = of
        self.began = time.monotonic()
        self._length = len(drafts)
        self._targets = [target for audience in audiences for target in audience.targets]
        self._runs: list[tuple[Run, list[bytes]]] = []
        self._done = 0  # viewers
        first = 0
        for sizes in runs([draft.size for draft in drafts]):
            layout = Layout(drafts[first : first + len(sizes)], sizes, TAG)
            parts: list[bytes] = []
            for audience in audiences:
                parts += [layout.part(audience.shift, audience.types)] * len(audience.targets)
            self._runs.append((Run(sizes), parts))
            first += len(sizes)

    @property
    def viewers(self) -> int:
        """Return how many have not got it yet."""
        return len(self._targets) - self._done

    @property
    def packets(self) -> int:
        """Return how many are left."""
        return self._length * self.viewers

    @property
    def some(self) -> int:
        """Return how many of them to serve before others have their turn: all, when few would be left."""
        most = max(1, _AT_ONCE // self._length // MOST) * MOST
        return most if self.viewers > most * 3 // 2 else self.viewers

    def take(self, viewers: int) -> tuple[list[tuple[Run, list[bytes]]], list[Target], int]:
        """Return, for the next so many viewers, each run with what each is to get; who; how many packets."""
        first, self._done = self._done, self._done + viewers
        targets = self._targets[first : self._done]
        taken = [(run, parts[first : self._done]) for run, parts in self._runs]
        return taken, targets, self._length * len(targets)

    def forget(self, one: object) -> None:
        """Whose context this is gets no more of it."""
        kept = [n for n in range(self._done, len(self._targets)) if self._targets[n][0] != one]
        self._runs = [(run, [parts[n] for n in kept]) for run, parts in self._runs]
        self._targets = [self._targets[n] for n in kept]
        self._done = 0


def runs(lengths: Sequence[int]) -> list[list[int]]:
    """Cut a burst into runs the kernel can segment, and return the sizes their packets are to be padded to:
    one size each, the last of a run may be smaller.

    libwebrtc cuts a frame into packets that differ by a byte or so; a few bytes of RTP padding make
    them equal, and a size divisible by four keeps libsrtp's reads aligned.
    """
    if len(lengths) == 1:
        return [list(lengths)]
    done: list[list[int]] = []
    run: list[int] = []
    size = 0
    for length in lengths:
        room = run and len(run) < MOST_SEGMENTS and (len(run) + 1) * (size + TAG) <= _CAPACITY
        if room and length <= size:
            run.append(size if length >= size - _SLACK else length)
            if length < size - _SLACK:  # a smaller one can only be the last
                done.append(run)
                run = []
            continue
        if run:
            done.append(run)
        longest = max((one for one in lengths if 0 <= one - length <= _SLACK), default=length)
        size = (longest + 3) & ~3
        run = [size]
    if run:
        done.append(run)
    return done
