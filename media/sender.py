"""The hot path: one burst of packets to many viewers.

A burst is what one frame became. It is laid out once; per viewer it costs one copy, one
libsrtp call a packet and one system call: UDP segment offload (Linux >= 4.18) lets the kernel cut the
burst into datagrams, which all have one size but the last. Measured by bench/forwarding.
"""

import socket
import struct
from collections.abc import Sequence
from itertools import repeat
from typing import Any

from pylibsrtp._binding import ffi, lib

from media.rtp import padded
from media.srtp import Context

_UDP_SEGMENT = 103
_SEGMENT = struct.Struct("H")
_INT = struct.calcsize("i")
_MOST_SEGMENTS = 40
_CAPACITY = 63_000  # a burst in one system call must fit a UDP length
_TAG = 16  # AES-GCM's tag; AES-CM's is shorter
_SLACK = 64  # packets within so many bytes are worth padding to one size

Target = tuple[Context, Any]  # the viewer's SRTP context and address


class Sender:
    """Sends through one UDP socket. `dropped` counts what the socket did not take."""

    def __init__(self, sock: socket.socket) -> None:
        self._sendmsg = sock.sendmsg
        self._sendto = sock.sendto
        self._buffer = ffi.new("unsigned char[]", 65_536 + _TAG)
        self._view = memoryview(ffi.buffer(self._buffer))
        self._length = ffi.new("int *")
        self._sizes = ffi.new("int[]", _MOST_SEGMENTS)
        self._counts = [self._sizes + n for n in range(_MOST_SEGMENTS)]
        self._lengths = memoryview(ffi.buffer(self._sizes))
        self.sent = 0
        self.dropped = 0

    def burst(self, packets: Sequence[bytes], targets: Sequence[Target]) -> None:
        """Protect and send plain RTP packets, in order, to every target."""
        for run in runs(packets):
            if len(run) == 1:
                self._single(run[0], targets)
            else:
                self._segmented(run, targets)

    def _single(self, packet: bytes, targets: Sequence[Target]) -> None:
        buffer, view, length = self._buffer, self._view, self._length
        protect, sendto = lib.srtp_protect, self._sendto
        size = len(packet)
        for context, address in targets:
            view[:size] = packet
            length[0] = size
            if protect(context, buffer, length):
                continue
            try:
                sendto(view[: length[0]], address)
            except OSError:
                self.dropped += 1
        self.sent += len(targets)

    def _segmented(self, run: Sequence[bytes], targets: Sequence[Target]) -> None:
        buffer, view, lengths = self._buffer, self._view, self._lengths
        protect, sendmsg = lib.srtp_protect, self._sendmsg
        stride = len(run[0]) + _TAG
        template = b"".join(packet + bytes(_TAG) for packet in run)
        total, count = len(template), len(run)
        sizes = _INT * count
        plain = struct.pack(f"{count}i", *map(len, run))
        sealed = struct.pack(f"{count}i", *(len(packet) + _TAG for packet in run))
        places = [buffer + n * stride for n in range(count)]
        counts = self._counts[:count]
        whole = [view[:total]]
        ancillary = [(socket.IPPROTO_UDP, _UDP_SEGMENT, _SEGMENT.pack(stride))]
        for context, address in targets:
            view[:total] = template
            lengths[:sizes] = plain
            # One call for each packet, and nothing of Python between them.
            if any(map(protect, repeat(context, count), places, counts)) or lengths[:sizes] != sealed:
                self._one_by_one(run, context, address)
                continue
            try:
                sendmsg(whole, ancillary, 0, address)
            except OSError:
                self.dropped += count
        self.sent += len(targets) * count

    def _one_by_one(self, run: Sequence[bytes], context: Context, address: Any) -> None:
        """Send to a viewer whose cipher has a shorter tag than the layout has room for, or for whom a
        packet of the run is too old to be protected: that one alone is left out.
        """
        # The others were protected once into the wrong places; libsrtp lets a number be sent again.
        for packet in run:
            self._single(packet, [(context, address)])
            self.sent -= 1


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
