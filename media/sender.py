"""The hot path: one burst of packets to many viewers.

A burst is what one frame became. It is laid out once. Viewers get it a batch at a time: for all of a batch
one copy, one system call, and nothing of Python between the libsrtp calls, one for each packet. UDP segment
offload (Linux >= 4.18) lets the kernel cut what a viewer gets into datagrams, which all have one size but the
last. Measured by bench/forwarding.
"""

import socket
import struct
from collections.abc import Sequence
from itertools import chain, repeat

from pylibsrtp._binding import ffi, lib

from media.datagrams import MOST, Datagrams
from media.rtp import padded
from media.srtp import Context

_INT = struct.calcsize("i")
_MOST_SEGMENTS = 40
_CAPACITY = 63_000  # bytes of a burst, which must fit a UDP length
_BATCH = 1 << 18  # bytes encrypted before they are sent: what a cache holds
_ALIGNED = 64  # bytes to which each viewer's part of a batch is aligned
_TAG = 16  # AES-GCM's tag; AES-CM's is shorter
_ROOM = bytes(_TAG)
_SLACK = 64  # packets within so many bytes are worth padding to one size

Target = tuple[Context, bytes]  # the viewer's SRTP context and socket name


class Sender:
    """Sends through one UDP socket. `dropped` counts what the socket did not take."""

    def __init__(self, sock: socket.socket) -> None:
        self._buffer = ffi.new("unsigned char[]", _BATCH)
        self._view = memoryview(ffi.buffer(self._buffer))
        most = MOST * _MOST_SEGMENTS
        self._lengths = ffi.new(
            "int[]", most
        )  # of packets: libsrtp reads them, and writes what became of them
        self._sizes = memoryview(ffi.buffer(self._lengths))
        self._counts = [self._lengths + n for n in range(most)]
        where = int(ffi.cast("uintptr_t", self._buffer))
        self._many, self._one = Datagrams(sock, where), Datagrams(sock, where)
        self.sent = 0
        self.dropped = 0

    def burst(self, packets: Sequence[bytes], targets: Sequence[Target]) -> None:
        """Protect and send plain RTP packets, in order, to every target."""
        for run in runs(packets):
            self._run(run, targets)
            self.sent += len(run) * len(targets)

    def _run(self, run: Sequence[bytes], targets: Sequence[Target]) -> None:
        count, stride = len(run), len(run[0]) + _TAG
        part = _ROOM.join((*run, b""))
        pitch = len(part) + -len(part) % _ALIGNED
        most = min(len(targets), MOST, _BATCH // pitch)
        parts = memoryview(part.ljust(pitch, b"\0") * most)
        plain, sealed = (memoryview(lengths * most) for lengths in _lengths(run))
        places = [self._buffer + k * pitch + n * stride for k in range(most) for n in range(count)]
        protect, counts = lib.srtp_protect, self._counts
        self._many.lay_out(most, len(part), pitch, stride if count > 1 else 0)
        for first in range(0, len(targets), most):
            batch = targets[first : first + most]
            sizes = self._sizes[: len(batch) * count * _INT]
            self._view[: len(batch) * pitch] = parts[: len(batch) * pitch]
            sizes[:] = plain[: len(sizes)]
            contexts = chain.from_iterable([repeat(context, count) for context, _ in batch])
            failures = list(map(protect, contexts, places, counts))
            if any(failures) or sizes != sealed[: len(sizes)]:
                self._apart(run, batch, failures)
            else:
                self.dropped += count * self._many.send([name for _, name in batch])

    def _apart(self, run: Sequence[bytes], batch: Sequence[Target], failures: Sequence[int]) -> None:
        """Send a batch to viewers of whom some have a cipher with a shorter tag than the layout has room for,
        or for whom a packet is too old to be protected: they get theirs one by one, without that.
        """
        count, odd = len(run), []
        _, whole = _lengths(run)
        for k, target in enumerate(batch):
            sizes = self._sizes[k * len(whole) : (k + 1) * len(whole)]
            if sizes == whole and not any(failures[k * count : (k + 1) * count]):
                self.dropped += count * self._many.send([target[1]], k)
            else:
                odd.append(target)
        # They were protected once into the wrong places; libsrtp lets a number be sent again.
        for context, name in odd:
            for packet in run:
                self._alone(packet, context, name)

    def _alone(self, packet: bytes, context: Context, name: bytes) -> None:
        self._view[: len(packet)] = packet
        self._lengths[0] = len(packet)
        if not lib.srtp_protect(context, self._buffer, self._lengths):
            self._one.lay_out(1, self._lengths[0], 0)
            self.dropped += self._one.send([name])


def _lengths(run: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Return how long a run's packets are, plain and protected, as C has it."""
    lengths = struct.Struct(f"{len(run)}i")
    return lengths.pack(*map(len, run)), lengths.pack(*[len(packet) + _TAG for packet in run])


def runs(packets: Sequence[bytes]) -> list[list[bytes]]:
    """Cut a burst into runs the kernel can segment: one size each, the last of a run may be smaller.

    libwebrtc cuts a frame into packets that differ by a byte or so; a few bytes of RTP padding make
    them equal, and a size divisible by four keeps libsrtp's reads aligned.
    """
    done: list[list[bytes]] = []
    run: list[bytes] = []
    size = 0
    for packet in packets:
        length = len(packet)
        room = run and len(run) < _MOST_SEGMENTS and (len(run) + 1) * (size + _TAG) <= _CAPACITY
        if room and length <= size:
            run.append(padded(packet, size) if length >= size - _SLACK else packet)
            if length < size - _SLACK:  # a smaller one can only be the last
                done.append(run)
                run = []
            continue
        if run:
            done.append(run)
        longest = max((len(p) for p in packets if 0 <= len(p) - length <= _SLACK), default=length)
        size = (longest + 3) & ~3
        run = [packet if len(packets) == 1 else padded(packet, size)]
    if run:
        done.append(run)
    return done
