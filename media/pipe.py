"""Media from one worker to another: what a room shows, once, for all who watch it there.

A pipe has every quality of every place, but for those that rest because nobody watches them there, as it
is numbered here, neither laid out nor encrypted. It goes over a unix socket that keeps messages whole, a
burst in one, because waking the other worker costs more than a packet does:

    number of the mirror (2 bytes), mid, quality (a byte each),
    and of each packet, RTP or RTCP, its length (2 bytes) and itself

To another host go sealed datagrams (media/sealing.py), to the port its control connection goes to. They are
no longer than a link takes: each has one packet, without its length.

What is missing is asked for by RTCP of the other worker, in events of its control connection. A stream of a
pipe is named by an SSRC of its own there, for one place's qualities share theirs.
"""

import asyncio
import contextlib
import socket
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from media import rtcp
from media.channel import endpoint, is_of_another_host
from media.draft import Entry
from media.rtp import HEADER, LONGEST
from media.sealing import NAME_BYTES, Keys, Opener, Sealer, SealError
from media.slot import Place, Slot
from media.strand import LONGEST_BURST, Strand

HEAD = struct.Struct("!HBB")
_VERSION = 0x80  # RTP's, with no extension and no padding
_SIZE = struct.Struct("!H")
_LONGEST = HEAD.size + LONGEST_BURST * (_SIZE.size + LONGEST)  # bytes of a message
_LONGEST_SEALED = 2048  # bytes of a datagram
_BATCH = 128
_BUFFER_BYTES = 4 << 20

# Of packets, behind the head that names their stream.
Send = Callable[[bytes, Sequence[bytes]], None]
Take = Callable[[bytes, Iterable[bytes]], None]


def ssrc_of(place: Place, quality: int) -> int:
    return place.ssrc | quality << 8


class Feed:
    """One quality of one place, on its way to the other worker. Closed by its pipe."""

    def __init__(self, strand: Strand, ssrc: int, head: bytes, send: Send) -> None:
        self.strand = strand
        self.ssrc = ssrc
        self._head = head
        self._send = send

    def take(self, entries: Sequence[Entry]) -> None:
        packets = [
            HEADER.pack(_VERSION, kind, sequence, timestamp, self.ssrc) + payload
            for kind, sequence, timestamp, payload in entries
        ]
        self._send(self._head, packets)

    def report(self) -> None:
        """Tell the clocks of what is sent."""
        strand, clock = self.strand, self.strand.clock()
        if clock is not None:
            said = rtcp.sender_report(self.ssrc, *clock, strand.packets, strand.octets)
            self._send(self._head, [said])


class Pipe:
    """One room's way to one other worker. Closed by the room."""

    def __init__(
        self,
        number: int,
        slots: Sequence[Slot],
        send: Send,
        show: Callable[[list[dict[str, Any]], list[str]], None],
        on_closed: Callable[[], None],
    ) -> None:
        self.used_at = time.monotonic()  # when somebody there last watched
        self._show = show
        self._on_closed = on_closed
        self._slots = slots
        self._producers: list[object] = [None] * len(slots)
        self._takes = [0] * len(slots)  # counts the sources of each place
        self._feeds: dict[int, Feed] = {}
        for slot in slots:
            for quality, strand in enumerate(slot.strands):
                head = HEAD.pack(number, int(slot.place.mid), quality)
                ssrc = ssrc_of(slot.place, quality)
                self._feeds[ssrc] = Feed(strand, ssrc, head, send)

    def show(self, speaking: list[str]) -> None:
        """Say what stands on the stage; whatever is new there is sent in every quality until they rest."""
        shown = []
        for n, slot in enumerate(self._slots):
            producer = slot.producer
            if producer is not self._producers[n]:
                self._producers[n] = producer
                self._takes[n] += 1
                self._feed(slot, range(len(slot.strands)) if producer is not None else ())
            shown.append(
                {
                    "participant": slot.holder,
                    "take": self._takes[n],
                    "format": producer.payload_format.name if producer is not None else None,
                    "qualities": len(producer.layers) if producer is not None else 0,
                    "paused": producer is not None and producer.paused,
                    "left_out": [layer.left_out for layer in producer.layers] if producer is not None else [],
                }
            )
        self._show(shown, speaking)

    def wake(self, mid: str, take: int, qualities: Sequence[int]) -> None:
        """Send only the qualities of a place's source that somebody watches there."""
        for n, slot in enumerate(self._slots):
            if slot.place.mid == mid and self._takes[n] == take and slot.producer is not None:
                self._feed(slot, qualities)

    def _feed(self, slot: Slot, qualities: Sequence[int]) -> None:
        for quality, strand in enumerate(slot.strands):
            feed = self._feeds[ssrc_of(slot.place, quality)]
            strand.let_out(feed, wanted=quality in qualities)

    def tick(self) -> None:
        """Once a second: tell the clocks of what is sent."""
        for feed in self._feeds.values():
            feed.report()

    def on_feedback(self, data: bytes) -> None:
        """Send again what did not arrive there, ask for a keyframe. Raises RtcpError."""
        for report in rtcp.parse(data):
            feed = self._feeds.get(getattr(report, "media_ssrc", 0))
            if feed is None:
                continue
            if isinstance(report, rtcp.KeyframeRequest) and feed.strand.layer is not None:
                feed.strand.layer.request_keyframe()
            elif isinstance(report, rtcp.Nack):
                entries = [feed.strand.entry(sequence) for sequence in report.sequences]
                kept = [entry for entry in entries if entry is not None]
                for first in range(0, len(kept), LONGEST_BURST):
                    feed.take(kept[first : first + LONGEST_BURST])

    def close(self) -> None:
        for feed in self._feeds.values():
            feed.strand.let_out(feed, wanted=False)
        self._on_closed()


def pipe_path(control: str) -> Path:
    """Return where a worker of this host takes pipes, by its control socket."""
    return Path(control + ".pipe")


def _datagrams(address: str) -> socket.socket:
    host, _ = endpoint(address)
    return socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)


class Outlet:
    """Towards one other worker, named by its control address; opened again with each of its lives. Closed by
    `Spill`.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._socket: socket.socket | None = None
        self._name = b""
        self._sealer: Sealer | None = None
        self.dropped = 0

    @property
    def is_open(self) -> bool:
        return self._socket is not None

    def open(self, keys: Keys | None) -> None:
        """`keys` are those of a control connection to another host. Raises OSError when it is not there."""
        if is_of_another_host(self._address):
            if keys is None:
                raise ConnectionError("the other host is not connected")
            self._name, self._sealer = keys.pipe_name, Sealer(keys.pipe)
            where: tuple[str, int] | str = endpoint(self._address)
            opened = _datagrams(self._address)
        else:
            where = str(pipe_path(self._address))
            opened = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        opened.setblocking(False)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
        try:
            opened.connect(where)
        except OSError:
            opened.close()
            raise
        self._socket = opened

    def send(self, head: bytes, packets: Sequence[bytes]) -> None:
        """Send a burst's packets, or drop what a worker that is behind cannot take: it asks for it again."""
        if self._socket is None:
            return
        if self._sealer is None:
            self.dropped += 0 if self._leaves(self._socket, _message(head, packets)) else len(packets)
            return
        for packet in packets:
            sealed = self._sealer.datagram(self._name, head + packet)
            self.dropped += not self._leaves(self._socket, sealed)

    def _leaves(self, to: socket.socket, message: bytes) -> bool:
        """Send one message, and say whether it was taken."""
        try:
            to.send(message)
        except OSError:
            return False
        return True

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _message(head: bytes, packets: Sequence[bytes]) -> bytes:
    """Return what goes over a unix socket."""
    return head + b"".join([part for packet in packets for part in (_SIZE.pack(len(packet)), packet)])


def _packets(message: bytes) -> Iterator[bytes]:
    """Yield the packets of a message. Raises struct.error."""
    at = HEAD.size
    while at < len(message):
        begin = at + _SIZE.size
        at = begin + _SIZE.unpack_from(message, at)[0]
        if at > len(message):
            raise struct.error("a packet is cut off")
        yield message[begin:at]


class Inlet:
    """Where pipes of this host's other workers end. Closed by the worker."""

    def __init__(self, path: Path, take: Take) -> None:
        self._take = take
        self._connections: set[socket.socket] = set()
        path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.setblocking(False)
        self._socket.bind(str(path))
        path.chmod(0o600)
        self._socket.listen(64)

    def start(self, loop: asyncio.AbstractEventLoop, on_read: Callable[[], None]) -> None:
        """Take what comes, and say so after each message."""
        loop.add_reader(self._socket, self._accept, loop, on_read)

    def close(self, loop: asyncio.AbstractEventLoop) -> None:
        for one in (self._socket, *self._connections):
            loop.remove_reader(one)
            one.close()

    def _accept(self, loop: asyncio.AbstractEventLoop, on_read: Callable[[], None]) -> None:
        with contextlib.suppress(OSError):
            connection, _ = self._socket.accept()
            connection.setblocking(False)
            self._connections.add(connection)
            loop.add_reader(connection, self._readable, loop, connection, on_read)

    def _readable(
        self, loop: asyncio.AbstractEventLoop, connection: socket.socket, on_read: Callable[[], None]
    ) -> None:
        """Take one message: mostly there is no other, and to look costs no less than to be called again."""
        try:
            message = connection.recv(_LONGEST)
        except BlockingIOError:
            return
        except OSError:
            message = b""
        if message:
            self._take(message[: HEAD.size], _packets(message))
            on_read()
            return
        loop.remove_reader(connection)
        connection.close()
        self._connections.discard(connection)


class SealedInlet:
    """Where pipes of other hosts end; each control connection from there opens one. Closed by the worker."""

    def __init__(self, address: str, take: Take) -> None:
        self._take = take
        self._openers: dict[bytes, Opener] = {}
        self.refused = 0  # datagrams that were not sealed for us
        self._socket = _datagrams(address)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        self._socket.bind(endpoint(address))

    def start(self, loop: asyncio.AbstractEventLoop, on_read: Callable[[], None]) -> None:
        """Take what comes, and say so after each time."""

        def readable() -> None:
            self._read()
            on_read()

        loop.add_reader(self._socket, readable)

    def close(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.remove_reader(self._socket)
        self._socket.close()

    def welcome(self, keys: Keys) -> None:
        """Take the pipe of a control connection."""
        self._openers[keys.pipe_name] = Opener(keys.pipe)

    def forget(self, keys: Keys) -> None:
        self._openers.pop(keys.pipe_name, None)

    def _read(self) -> None:
        for _ in range(_BATCH):
            try:
                data = self._socket.recv(_LONGEST_SEALED)
            except OSError:
                return
            opener = self._openers.get(data[:NAME_BYTES])
            if opener is None:
                self.refused += 1
                continue
            try:
                message = opener.datagram(data)
            except SealError:
                self.refused += 1
                continue
            self._take(message[: HEAD.size], [message[HEAD.size :]])
