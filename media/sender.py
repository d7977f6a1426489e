"""The hot path: one burst of packets to many viewers.

A burst is what one frame became, laid out once for each audience: for viewers whose numbers are the same. All
of them are served a batch at a time: one copy for each viewer, one system call for all, and nothing of Python
between the libsrtp calls, one for each packet. UDP segment offload (Linux >= 4.18) lets the kernel cut what a
viewer gets into datagrams, which all have one size but the last. Measured by bench/forwarding.

Sound never waits for pictures: a large picture for hundreds leaves in parts, between which the loop reads
what has come, and that of which the least is left goes first.
"""

import asyncio
import socket
import struct
import time
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from pylibsrtp._binding import ffi, lib

from media.backlog import Backlog, Batch
from media.burst import MOST_SEGMENTS, Audience, Burst, Run
from media.datagrams import MOST, Datagrams, Form, socket_name
from media.draft import Draft
from media.srtp import Context, Target

_BATCH = 1 << 18  # bytes encrypted before they are sent: what a cache holds
_MOST_UNFINISHED = 4  # bursts of one source: what a keyframe is, which comes at once
_MOST_SECONDS = 0.03  # after which a burst does not let smaller ones go first
_SHORT = 512  # bytes of a viewer's part, up to which to join many costs less than to copy each


class Sender:
    """Sends through one UDP socket, as fast as it takes. Closed by the mux."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._buffer = ffi.new("unsigned char[]", _BATCH)
        self._view = memoryview(ffi.buffer(self._buffer))
        most = MOST * MOST_SEGMENTS
        # Of packets: libsrtp reads them, and writes what became of them.
        self._lengths = ffi.new("int[]", most)
        self._sizes = memoryview(ffi.buffer(self._lengths))
        self._counts = [self._lengths + n for n in range(most)]
        self._places = ffi.new("unsigned char *[]", most)
        self._place_view = memoryview(ffi.buffer(self._places))
        self._where = int(ffi.cast("uintptr_t", self._buffer))
        self._many, self._one = Datagrams(sock, self._where), Datagrams(sock, self._where)
        self._backlog = Backlog(sock, _BATCH)
        self._unfinished: list[Burst] = []  # as they came
        self._turn: asyncio.Handle | None = None
        self.sent = 0
        self._refused = 0

    @property
    def dropped(self) -> int:
        """Return how many packets the socket did not take."""
        return self._refused + self._backlog.dropped

    @property
    def waited(self) -> int:
        """Return how many packets had to wait for the socket."""
        return self._backlog.waited

    @property
    def is_behind(self) -> bool:
        """Say whether something waits for the socket now."""
        return self._backlog.holds(pictures=True)

    def close(self) -> None:
        self._unfinished.clear()
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        self._backlog.close()

    def forget(self, one: object) -> None:
        """Send nothing that waits to whose context this is, or of whom."""
        self._unfinished = [burst for burst in self._unfinished if burst.of is not one]
        for burst in self._unfinished:
            burst.forget(one)
        self._backlog.forget(one)

    def single(self, data: bytes, path: tuple[str, int], context: Context | None = None) -> None:
        """Send one datagram; the `context` it was protected with, if it is media: other things go first."""
        media = context is not None
        if not self._backlog.holds(pictures=media):
            try:
                self._socket.sendto(data, path)
            except BlockingIOError:
                pass
            except OSError:  # an ICMP error of an earlier send, or no way to there
                self._refused += 1
                return
            else:
                return
        form = Form(len(data), len(data), 0)
        self._backlog.put(Batch([(context, socket_name(path))], data, form, 1), pictures=media)

    def burst(
        self,
        drafts: Sequence[Draft],
        audiences: Sequence[Audience],
        *,
        pictures: bool = False,
        of: object = None,
    ) -> None:
        """Lay out packets for every audience, protect them and send them, in order. `pictures` let sound go
        first, and may leave in parts, but none is overtaken by a later one of the same source; `forget` takes
        back what is `of` whom.
        """
        if not audiences or not drafts:
            return
        burst = Burst(drafts, audiences, pictures=pictures, of=of)
        if not pictures:
            self._serve(burst, burst.viewers)
            return
        before = [one for one in self._unfinished if one.of is of]
        self._unfinished.append(burst)
        if not before:
            self._part(burst)
        elif len(before) == _MOST_UNFINISHED:
            self._part(before[0], whole=True)

    def finish(self, of: object) -> None:
        """Send the rest of what leaves in parts and is of this one."""
        for burst in [one for one in self._unfinished if one.of is of]:
            self._part(burst, whole=True)

    def _take_turn(self) -> None:
        """Between whatever else the loop does, send a part of what is soonest done or has waited too long."""
        self._turn = None
        first: dict[object, Burst] = {}
        for burst in self._unfinished:
            first.setdefault(burst.of, burst)
        if first:
            old = time.monotonic() - _MOST_SECONDS
            self._part(min(first.values(), key=lambda one: (one.began > old, one.packets)))

    def _part(self, burst: Burst, *, whole: bool = False) -> None:
        """Send a burst to some of those who have not got it, or to all; it comes again while any are left."""
        viewers = burst.viewers if whole else burst.some
        if viewers == burst.viewers:
            self._unfinished.remove(burst)
        if self._unfinished and self._turn is None:
            self._turn = asyncio.get_running_loop().call_soon(self._take_turn)
        self._serve(burst, viewers)

    def _serve(self, burst: Burst, viewers: int) -> None:
        """Send a burst to the next so many viewers."""
        parts, targets, packets = burst.take(viewers)
        if not targets:
            return
        if self._backlog.holds(pictures=burst.pictures):
            self._backlog.drain()  # while one burst follows on another the loop does not come to it
        for run, theirs in parts:
            self._send(burst, run, theirs, targets)
        self.sent += packets

    def _send(self, burst: Burst, run: Run, parts: Sequence[bytes], targets: Sequence[Target]) -> None:
        """Send each target its part: the run's packets, with room behind each for a tag."""
        form, count = run.form, len(run.sizes)
        most = min(len(targets), MOST, _BATCH // form.pitch)
        all_plain, all_sealed = memoryview(run.plain * most), memoryview(run.sealed * most)
        contexts: list[Context] = [None] * (len(targets) * count)
        for n in range(count):
            contexts[n::count] = [context for context, _ in targets]
        places, counts, protect = self._placed(most, run), self._counts, lib.srtp_protect
        self._many.lay_out(most, form)
        for first in range(0, len(targets), most):
            batch = targets[first : first + most]
            written = self._sizes[: len(batch) * len(run.sealed)]
            written[:] = all_plain[: len(written)]
            self._copy(parts[first : first + most], form)
            theirs = contexts[first * count : (first + most) * count]
            failures = list(map(protect, theirs, places, counts))
            if any(failures) or written != all_sealed[: len(written)]:
                self._apart(burst, run, parts[first : first + most], batch, failures)
            else:
                self._leave(burst, self._many, batch, run.form, count)

    def _placed(self, most: int, run: Run) -> list[Any]:
        """Return pointers to so many viewers' packets of a run, made all at once: one by one is slower."""
        count, pitch = len(run.sizes), run.form.pitch
        places = [0] * (most * count)
        for n in range(count):
            at = self._where + n * run.stride
            places[n::count] = range(at, at + most * pitch, pitch)
        struct.pack_into(f"@{len(places)}Q", self._place_view, 0, *places)
        pointers: list[Any] = ffi.unpack(self._places, len(places))
        return pointers

    def _copy(self, parts: Sequence[bytes], form: Form) -> None:
        """Put each viewer's part where it is encrypted; what is short is joined before."""
        view, pitch, size = self._view, form.pitch, form.size
        if pitch <= _SHORT:
            view[: len(parts) * pitch] = b"".join([part.ljust(pitch, b"\0") for part in parts])
            return
        for at, part in zip(range(0, len(parts) * pitch, pitch), parts, strict=True):
            view[at : at + size] = part

    def _apart(
        self,
        burst: Burst,
        run: Run,
        parts: Sequence[bytes],
        batch: Sequence[Target],
        failures: Sequence[int],
    ) -> None:
        """Send a batch to viewers of whom some have a cipher with a shorter tag than the layout has room for,
        or for whom a packet is too old to be protected: they get theirs one by one, without that.
        """
        count, odd = len(run.sizes), []

        def is_whole(k: int) -> bool:
            written = self._sizes[k * len(run.sealed) : (k + 1) * len(run.sealed)]
            return bool(written == run.sealed) and not any(failures[k * count : (k + 1) * count])

        for whole, group in groupby(range(len(batch)), is_whole):
            places = list(group)
            if whole:
                self._leave(burst, self._many, [batch[k] for k in places], run.form, count, places[0])
            else:
                odd += [(parts[k], batch[k]) for k in places]
        # They were protected once into the wrong places; libsrtp lets a number be sent again.
        for part, target in odd:
            for n, size in enumerate(run.sizes):
                at = n * run.stride
                self._alone(burst, part[at : at + size], target)

    def _alone(self, burst: Burst, packet: bytes, target: Target) -> None:
        self._view[: len(packet)] = packet
        self._lengths[0] = len(packet)
        if not lib.srtp_protect(target[0], self._buffer, self._lengths):
            form = Form(self._lengths[0], self._lengths[0], 0)
            self._one.lay_out(1, form)
            self._leave(burst, self._one, [target], form, 1)

    def _leave(
        self,
        burst: Burst,
        by: Datagrams,
        targets: Sequence[Target],
        form: Form,
        packets: int,
        first: int = 0,
    ) -> None:
        """Send what lies in the buffer from message `first` on, each of so many packets; or let it wait."""
        done = refused = 0
        if not self._backlog.holds(pictures=burst.pictures):
            done, refused = by.send([name for _, name in targets], first)
            self._refused += refused * packets
        if done == len(targets):
            return
        data = bytes(self._view[(first + done) * form.pitch : (first + len(targets)) * form.pitch])
        self._backlog.put(Batch(targets[done:], data, form, packets, burst.of), pictures=burst.pictures)
