"""One UDP port for everybody: datagrams find their transport by ufrag once, by address from then on.

A stranger's datagram costs a microsecond: nothing but a request for a ufrag we know, signed with its
password, opens a path, and only over an opened path are DTLS and SRTP looked at. One exception: a browser
whose network changed sends on from there, and its checks come up to three seconds later. So media of an SSRC
we know is taken from anywhere when it is authentic; that opens nothing, and nothing is sent there.
"""

import asyncio
import contextlib
import socket
import time
from collections import Counter
from collections.abc import Callable
from typing import Protocol

from media.ice import Path, local_ufrag_of
from media.rtp import LONGEST, SHORTEST, is_rtcp
from media.sender import Sender

_BATCH = 64
_TAKES, _HOLDS = 8 << 20, 1 << 20  # bytes of its buffers: small ones tell when a card is behind
_TRIALS_PER_SECOND = 100  # for one transport from strange addresses: of checks, and of forged media


class Receiver(Protocol):
    """What a transport offers the mux."""

    def on_check(self, data: bytes, path: Path, address: tuple[str, int]) -> bytes | None: ...
    def on_dtls(self, data: bytes) -> None: ...
    def on_srtp(self, data: bytes, path: Path) -> bool: ...
    def on_path_lost(self, path: Path) -> None: ...


class _Trials:
    """Counts by transport within a second: who knows its ufrag or an SSRC of its takes none from others."""

    def __init__(self) -> None:
        self._made: Counter[int] = Counter()
        self._since = 0.0

    def note(self, receiver: Receiver) -> None:
        self._made[id(receiver)] += 1

    def are_over(self, receiver: Receiver) -> bool:
        now = time.monotonic()
        if now - self._since >= 1.0:
            self._made.clear()
            self._since = now
        return self._made[id(receiver)] >= _TRIALS_PER_SECOND


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
        self._by_ssrc: dict[bytes, list[Receiver]] = {}
        self._checks = _Trials()
        self._forgeries = _Trials()

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

    def expect(self, ssrc: bytes, receiver: Receiver) -> None:
        """Somebody sends under this SSRC; of several who say so the last is looked for."""
        self._by_ssrc.setdefault(ssrc, []).append(receiver)

    def expect_no_more(self, ssrc: bytes, receiver: Receiver) -> None:
        left = [one for one in self._by_ssrc.pop(ssrc, ()) if one is not receiver]
        if left:
            self._by_ssrc[ssrc] = left

    def forget(self, receiver: Receiver) -> None:
        """Let go of every way to a transport that is closed."""
        for ssrc in list(self._by_ssrc):
            self.expect_no_more(ssrc, receiver)
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
            elif not self._is_of_who_moved(data, path):
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

    def _is_of_who_moved(self, data: bytes, path: Path) -> bool:
        """Take media from a strange address if it is somebody's."""
        named = self._by_ssrc.get(data[8:12])
        if not named or is_rtcp(data) or self._forgeries.are_over(named[-1]):
            return False
        is_theirs = named[-1].on_srtp(data, path)
        if not is_theirs:
            self._forgeries.note(named[-1])
        return is_theirs

    def _check(self, data: bytes, path: Path, address: tuple[str, int]) -> bytes | None:
        ufrag = local_ufrag_of(data)
        receiver = self._by_ufrag.get(ufrag) if ufrag is not None else None
        if receiver is None:
            self.dropped["unknown_ufrag"] += 1
            return None
        if path not in self._by_path:
            if self._checks.are_over(receiver):
                self.dropped["check_rate"] += 1
                return None
            self._checks.note(receiver)  # each costs 46 us of HMAC
        reply = receiver.on_check(data, path, address)
        if reply is None:
            self.dropped["check_refused"] += 1
            return None
        self._by_path[path] = receiver
        return reply


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
