"""One UDP port for everybody: datagrams find their transport by ufrag once, by address from then on.

A stranger's datagram costs a microsecond: nothing but a request for a ufrag we know, signed with its
password, opens a path, and only over an opened path are DTLS and SRTP looked at.
"""

import asyncio
import contextlib
import socket
import time
from collections import Counter
from collections.abc import Callable
from typing import Protocol

from media.ice import Path, local_ufrag_of
from media.rtp import LONGEST, SHORTEST
from media.sender import Sender

_BATCH = 64
_TAKES, _HOLDS = 8 << 20, 1 << 20  # bytes of its buffers: small ones tell when a card is behind
_CHECKS_PER_SECOND = 100  # of strange addresses, for one transport


class Receiver(Protocol):
    """What a transport offers the mux."""

    def on_check(self, data: bytes, path: Path, address: tuple[str, int]) -> bytes | None: ...
    def on_dtls(self, data: bytes) -> None: ...
    def on_srtp(self, data: bytes, path: Path) -> None: ...
    def on_path_lost(self, path: Path) -> None: ...


class Mux:
    """Owns the UDP socket; closed by the worker."""

    def __init__(self, host: str, port: int) -> None:
        self._socket = _bind(host, port)
        self.port: int = self._socket.getsockname()[1]
        self.sender = Sender(self._socket)
        self.dropped: Counter[str] = Counter()
        self.asked_again = 0  # packets publishers were asked for a second time
        self.sent_again = 0  # packets viewers asked for a second time and got
        self._by_ufrag: dict[str, Receiver] = {}
        self._by_path: dict[Path, Receiver] = {}
        self._checks: Counter[int] = Counter()
        self._checks_since = 0.0

    def start(self, loop: asyncio.AbstractEventLoop, on_read: Callable[[], None]) -> None:
        """Read datagrams as they come, and say so after each time."""

        def readable() -> None:
            self._read()
            on_read()

        loop.add_reader(self._socket, readable)

    def close(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.remove_reader(self._socket)
        self.sender.close()
        self._socket.close()

    def register(self, ufrag: str, receiver: Receiver) -> None:
        self._by_ufrag[ufrag] = receiver

    def unregister(self, ufrag: str) -> None:
        self._by_ufrag.pop(ufrag, None)

    def forget(self, receiver: Receiver) -> None:
        """Let go of every way to a transport that is closed."""
        self._by_ufrag = {key: one for key, one in self._by_ufrag.items() if one is not receiver}
        self._by_path = {key: one for key, one in self._by_path.items() if one is not receiver}

    def forget_path(self, path: Path) -> None:
        self._by_path.pop(path, None)

    def path_lost(self, path: Path) -> None:
        """A TCP connection closed: whoever used it must look for another way."""
        receiver = self._by_path.pop(path, None)
        if receiver is not None:
            receiver.on_path_lost(path)

    def _read(self) -> None:
        receive = self._socket.recvfrom
        for _ in range(_BATCH):
            try:
                data, path = receive(2048)
            except BlockingIOError:
                return
            except OSError:  # an ICMP error of an earlier send
                continue
            reply = self.datagram(data, path, path)
            if reply is not None:
                self.sender.single(reply, path)

    def datagram(self, data: bytes, path: Path, address: tuple[str, int]) -> bytes | None:
        """Sort one datagram or TCP frame by its first byte (RFC 7983); return what to answer."""
        size = len(data)
        if size < SHORTEST or size > LONGEST:
            self.dropped["size"] += 1
            return None
        first = data[0]
        if 127 < first < 192:
            receiver = self._by_path.get(path)
            if receiver is not None:
                receiver.on_srtp(data, path)
                return None
            self.dropped["srtp_from_stranger"] += 1
        elif first < 2:
            return self._check(data, path, address)
        elif 19 < first < 64:
            receiver = self._by_path.get(path)
            if receiver is not None:
                receiver.on_dtls(data)
                return None
            self.dropped["dtls_from_stranger"] += 1
        else:
            self.dropped["unknown"] += 1
        return None

    def _check(self, data: bytes, path: Path, address: tuple[str, int]) -> bytes | None:
        ufrag = local_ufrag_of(data)
        receiver = self._by_ufrag.get(ufrag) if ufrag is not None else None
        if receiver is None:
            self.dropped["unknown_ufrag"] += 1
            return None
        if path not in self._by_path and not self._may_check(receiver):
            self.dropped["check_rate"] += 1
            return None
        reply = receiver.on_check(data, path, address)
        if reply is None:
            self.dropped["check_refused"] += 1
            return None
        self._by_path[path] = receiver
        return reply

    def _may_check(self, receiver: Receiver) -> bool:
        """A full check costs 46 us of HMAC: who knows a ufrag gets so many a second for it, and takes
        none from others.
        """
        now = time.monotonic()
        if now - self._checks_since >= 1.0:
            self._checks.clear()
            self._checks_since = now
        self._checks[id(receiver)] += 1
        return self._checks[id(receiver)] <= _CHECKS_PER_SECOND


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.setblocking(False)
    for option, forced, size in ((socket.SO_SNDBUF, 32, _HOLDS), (socket.SO_RCVBUF, 33, _TAKES)):
        sock.setsockopt(socket.SOL_SOCKET, option, size)
        with contextlib.suppress(OSError):  # SO_*BUFFORCE needs a capability
            sock.setsockopt(socket.SOL_SOCKET, forced, size)
    try:
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock
