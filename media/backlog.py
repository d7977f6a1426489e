"""What the socket has no room for now: it leaves as the network card takes it, sound before pictures.

A large picture for hundreds is encrypted sooner than a card sends it. Linux would keep it in a buffer of the
socket, which is too small without a capability, or in the card's queue, which drops what is too much without
telling anybody. So the socket's buffer is kept small, and what does not fit waits here, though not for long:
an old picture delays the new ones and helps nobody.
"""

import asyncio
import socket
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from media.datagrams import Datagrams, Form, address_of
from media.srtp import Target

_MOST_SECONDS = 0.3
_MOST = 64 << 20  # bytes, for memory's sake
_MOST_SOUND = 2 << 20  # that may wait besides
_MOST_AT_ONCE = 32  # batches, before others have their turn


@dataclass(slots=True, eq=False)
class Batch:
    """Messages of one form, side by side, one for each target; each becomes so many `packets`. `of` is whose
    they are, None of nobody's.
    """

    targets: Sequence[Target]
    data: bytes
    form: Form
    packets: int
    of: object = None
    number: int = 0  # of the batches that waited
    at: float = 0.0  # when it began to wait
    done: int = 0  # messages that have left


class Backlog:
    """Of one socket. `longest` is the size of the largest batch, in bytes. Closed by the sender."""

    def __init__(self, sock: socket.socket, longest: int) -> None:
        self._socket = sock
        self._buffer = bytearray(longest)
        self._datagrams = Datagrams(sock, address_of(self._buffer))
        self._sound: deque[Batch] = deque()
        self._pictures: deque[Batch] = deque()
        self._laid_out: Batch | None = None  # in the buffer
        self._octets = 0
        self._numbers = 0
        self._gone: dict[object, int] = {}  # whom or whose no batch is sent any more, up to this number
        self._loop: asyncio.AbstractEventLoop | None = None  # while something waits
        self.waited = 0  # packets, since the beginning
        self.dropped = 0  # packets that were too many or too old, or could not be sent

    def holds(self, *, pictures: bool) -> bool:
        """Say whether what is sent now would overtake what should leave before it."""
        return bool(self._sound or (pictures and self._pictures))

    def put(self, batch: Batch, *, pictures: bool) -> None:
        packets = batch.packets * len(batch.targets)
        if self._octets + len(batch.data) > _MOST + _MOST_SOUND * (not pictures):
            self.dropped += packets
            return
        self.waited += packets
        self._octets += len(batch.data)
        self._numbers += 1
        batch.number, batch.at = self._numbers, time.monotonic()
        (self._pictures if pictures else self._sound).append(batch)
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._loop.add_writer(self._socket, self.drain)

    def drain(self) -> None:
        """Send what there is room for now."""
        oldest, batches = time.monotonic() - _MOST_SECONDS, 0
        for waiting in (self._sound, self._pictures):
            while waiting:
                batch = waiting[0]
                if batch.at < oldest:
                    self.dropped += batch.packets * (len(batch.targets) - batch.done)
                elif batches == _MOST_AT_ONCE or not self._send(batch):
                    return
                batches += 1
                self._octets -= len(waiting.popleft().data)
        self._rest()

    def forget(self, one: object) -> None:
        """Send nothing that waits to whose context this is, or of whom."""
        if self._loop is not None:
            self._gone[one] = self._numbers
            self._laid_out = None

    def close(self) -> None:
        self._sound.clear()
        self._pictures.clear()
        self._octets = 0
        self._rest()

    def _send(self, batch: Batch) -> bool:
        """Send what has not left of a batch; say whether that was all."""
        if batch is not self._laid_out:
            self._lay_out(batch)
        names = [name for _, name in batch.targets[batch.done :]]
        done, refused = self._datagrams.send(names, batch.done)
        self.dropped += refused * batch.packets
        batch.done += done
        return batch.done == len(batch.targets)

    def _lay_out(self, batch: Batch) -> None:
        if self._gone:
            self._leave_out(batch)
        self._laid_out = batch
        self._buffer[: len(batch.data)] = batch.data
        self._datagrams.lay_out(len(batch.targets), batch.form)

    def _leave_out(self, batch: Batch) -> None:
        """Take out of a batch what is for those who are gone, and of them; and what has left."""

        def is_gone(one: object) -> bool:
            return self._gone.get(one, 0) >= batch.number

        pitch, left = batch.form.pitch, range(batch.done, len(batch.targets))
        kept = [] if is_gone(batch.of) else [n for n in left if not is_gone(batch.targets[n][0])]
        data = b"".join([batch.data[n * pitch : (n + 1) * pitch] for n in kept])
        self._octets -= len(batch.data) - len(data)
        batch.targets, batch.data, batch.done = [batch.targets[n] for n in kept], data, 0

    def _rest(self) -> None:
        self._laid_out = None
        self._gone.clear()
        if self._loop is not None:
            self._loop.remove_writer(self._socket)
            self._loop = None
