"""What the socket has no room for now: it leaves as the network card takes it, sound before pictures.

A large picture for hundreds is encrypted sooner than a card sends it. Linux would keep it in a buffer of the
socket, which is too small without a capability, or in the card's queue, which drops what is too much without
telling anybody. So the socket's buffer is kept small, and what does not fit waits here.
"""

import asyncio
import socket
from collections import deque
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from pylibsrtp._binding import ffi

from media.datagrams import Datagrams, Form

_MOST = 64 << 20  # bytes that wait: half a second of a card of 1 Gb/s
_MOST_SOUND = 2 << 20  # that may wait besides


@dataclass(slots=True, eq=False)
class Batch:
    """Messages of one form, side by side, one for each name; each becomes so many `packets`. So many of them
    have `left`.
    """

    names: Sequence[bytes]
    data: bytes
    form: Form
    packets: int
    left: int = 0

    def without(self, names: AbstractSet[bytes]) -> "Batch":
        """Return what has not left yet, for others than these."""
        pitch = self.form.pitch
        kept = [n for n in range(self.left, len(self.names)) if self.names[n] not in names]
        data = b"".join(self.data[n * pitch : (n + 1) * pitch] for n in kept)
        return replace(self, names=[self.names[n] for n in kept], data=data, left=0)


class Backlog:
    """Of one socket. `longest` is the size of the largest batch, in bytes. Closed by the sender."""

    def __init__(self, sock: socket.socket, longest: int) -> None:
        self._socket = sock
        self._buffer = ffi.new("unsigned char[]", longest)
        self._view = memoryview(ffi.buffer(self._buffer))
        self._datagrams = Datagrams(sock, int(ffi.cast("uintptr_t", self._buffer)))
        self._sound: deque[Batch] = deque()
        self._pictures: deque[Batch] = deque()
        self._laid_out: Batch | None = None  # in the buffer
        self._octets = 0
        self._loop: asyncio.AbstractEventLoop | None = None  # while something waits
        self.waited = 0  # packets, since the beginning
        self.dropped = 0  # packets that were too many, or could not be sent

    def holds(self, *, pictures: bool) -> bool:
        """Say whether what is sent now would overtake something of its kind."""
        return bool(self._pictures if pictures else self._sound)

    def put(self, batch: Batch, *, pictures: bool) -> None:
        packets = batch.packets * len(batch.names)
        if self._octets + len(batch.data) > _MOST + _MOST_SOUND * (not pictures):
            self.dropped += packets
            return
        self.waited += packets
        self._octets += len(batch.data)
        (self._pictures if pictures else self._sound).append(batch)
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._loop.add_writer(self._socket, self.drain)

    def drain(self) -> None:
        """Send what there is room for now."""
        for waiting in (self._sound, self._pictures):
            while waiting:
                if not self._leaves(waiting[0]):
                    return
                self._octets -= len(waiting.popleft().data)
        self._rest()

    def forget(self, names: AbstractSet[bytes]) -> None:
        """Send nothing more to who is not there any more."""
        for waiting in (self._sound, self._pictures):
            for n, batch in enumerate(waiting):
                if not names.isdisjoint(batch.names):
                    waiting[n] = kept = batch.without(names)
                    self._octets -= len(batch.data) - len(kept.data)

    def close(self) -> None:
        self._sound.clear()
        self._pictures.clear()
        self._octets = 0
        self._rest()

    def _leaves(self, batch: Batch) -> bool:
        """Send what has not left of a batch; say whether that was all."""
        if batch is not self._laid_out:
            self._laid_out = batch
            self._view[: len(batch.data)] = batch.data
            self._datagrams.lay_out(len(batch.names), batch.form)
        done, refused = self._datagrams.send(batch.names[batch.left :], batch.left)
        self.dropped += refused * batch.packets
        batch.left += done
        return batch.left == len(batch.names)

    def _rest(self) -> None:
        self._laid_out = None
        if self._loop is not None:
            self._loop.remove_writer(self._socket)
            self._loop = None
