"""One peer connection of a participant: ICE-lite, DTLS, SRTP; publishing and subscribing are its kinds."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from media import rtcp
from media.allowance import Allowance
from media.datagrams import socket_name
from media.dtls import Certificate, Dtls, DtlsFailed
from media.ice import DISCONNECTED_AFTER, LOST_AFTER, IceLite, Path
from media.mux import Mux
from media.probes import Probes
from media.rtp import is_rtcp
from media.sdp import Description, Fingerprint, LocalTransport
from media.srtp import Protector, Target, Unprotector
from media.tcp import TcpPath

_log = structlog.get_logger()
_SECONDS_TO_CONNECT = 30.0
_MALFORMED_PER_SECOND = 100


class NewPeerCertificate(Exception):
    """A later description names another certificate: that needs a new transport."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    """What every transport of a worker shares."""

    mux: Mux
    certificate: Certificate
    protector: Protector
    unprotector: Unprotector
    candidates: Sequence[str]
    probes: Probes
    tag: str


class Transport:
    """Closed by its participant, or by itself when the peer is gone: then `on_state` says `closed`."""

    def __init__(self, wiring: Wiring, on_state: Callable[["Transport", str], None]) -> None:
        self.id = 0
        self.state = "new"
        self.malformed: Counter[str] = Counter()  # of the peer itself, in this second
        self.forged = 0  # of whoever writes its address on a datagram
        self.allowance = Allowance()
        self._wiring = wiring
        self._on_state = on_state
        self._ice = IceLite(wiring.tag)
        self._dtls = Dtls(wiring.certificate, self.send_raw)
        self._fingerprints: Sequence[Fingerprint] = ()
        self._task: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._srtp_in: Any = None
        self._srtp_out: Any = None
        self._made_at = time.monotonic()
        wiring.mux.register(self._ice.ufrag, self)

    # Negotiation

    def local(self, setup: str) -> LocalTransport:
        return LocalTransport(
            ufrag=self._ice.ufrag,
            password=self._ice.password,
            fingerprint=self._wiring.certificate.fingerprint,
            setup=setup,
            candidates=self._wiring.candidates,
        )

    def connect(self, remote: Description, *, server: bool) -> None:
        """Begin the handshake on the first description; later ones may restart ICE only."""
        if self._task is None:
            self._fingerprints = remote.fingerprints
            self._ice.remote_ufrag = remote.ufrag
            self._task = asyncio.create_task(self._handshake(server=server), name="dtls")
            return
        if set(remote.fingerprints) != set(self._fingerprints):
            raise NewPeerCertificate
        self._ice.remote_ufrag = remote.ufrag

    def is_restart(self, remote: Description) -> bool:
        """Say whether the peer's offer begins a new generation of ICE."""
        return self._ice.remote_ufrag not in {None, remote.ufrag}

    def restart_ice(self) -> None:
        """Take new ICE credentials; DTLS, SRTP and the seat go on."""
        unproven = self._ice.restart()
        if unproven is not None:
            self._wiring.mux.unregister(unproven)
        self._ice.remote_ufrag = None
        self._wiring.mux.register(self._ice.ufrag, self)

    async def _handshake(self, *, server: bool) -> None:
        try:
            keys = await self._dtls.shake_hands(self._fingerprints, server=server)
        except DtlsFailed as error:
            _log.info("dtls.failed", why=str(error))
            self.close()
            return
        self._srtp_in, self._srtp_out = keys
        self._dtls.on_closed(self.close)
        self._change("connected")
        self.on_connected()

    # Packets

    @property
    def connected(self) -> bool:
        return self._srtp_out is not None and self.state in {"connected", "disconnected"}

    @property
    def path(self) -> Path | None:
        return self._ice.selected

    def target(self) -> Target | None:
        """Return keys and address for the fan-out, or None while there is no UDP path."""
        if not self.connected or not isinstance(self._ice.selected, tuple):
            return None
        return self._srtp_out, socket_name(self._ice.selected)

    def on_check(self, data: bytes, path: Path, address: tuple[str, int]) -> bytes | None:
        if not self.allowance.check():
            return None
        before = self._ice.selected
        reply = self._ice.answer(data, path, address, time.monotonic())
        for forgotten in self._ice.take_forgotten():
            self._wiring.mux.unregister(forgotten)
        for stale in self._ice.take_evicted():
            self._wiring.mux.forget_path(stale)
            if isinstance(stale, TcpPath):
                stale.close()
        if reply is not None:
            if self.state == "disconnected":
                self._change("connected")
            if before != self._ice.selected:
                self.on_moved()
        return reply

    def on_path_lost(self, path: Path) -> None:
        """A TCP connection of the peer's is gone."""
        before = self._ice.selected
        self._ice.forget(path)
        if before != self._ice.selected:
            self.on_moved()

    def on_dtls(self, data: bytes) -> None:
        self._dtls.feed(data)

    def on_srtp(self, data: bytes, path: Path) -> bool:
        """Sort RTP from RTCP, which get to `on_rtp` and `on_report`; say whether it was the peer's."""
        if self._srtp_in is None:
            return False
        try:
            return self._on_rtcp(data, path) if is_rtcp(data) else self.on_rtp(data)
        except ValueError as error:  # RtpError, RtcpError: an authenticated peer sends nonsense
            self.malformed[type(error).__name__] += 1
            if self.malformed.total() > _MALFORMED_PER_SECOND:
                _log.warning("transport.malformed", counts=dict(self.malformed))
                self.close()
            return True

    def _on_rtcp(self, data: bytes, path: Path) -> bool:
        if not self.allowance.report(data[4:8]):
            self._wiring.mux.dropped["peer_limit"] += 1
            return False
        plain = self._wiring.unprotector.rtcp(self._srtp_in, data)
        if not plain:
            self.forged += 1
            self.allowance.take_back()
            return False
        self._ice.heard(path, time.monotonic())
        for report in rtcp.parse(plain):
            self.on_report(report)
        return True

    def on_rtp(self, _data: bytes) -> bool:
        """Media from a peer that has no right to send any is not even decrypted."""
        return False

    def on_report(self, report: rtcp.Report) -> None:
        raise NotImplementedError

    def on_moved(self) -> None:
        """The peer is at another address."""

    def on_connected(self) -> None:
        """The keys are there."""

    def send_raw(self, data: bytes, *, media: bool = False) -> None:
        path = self._ice.selected
        if isinstance(path, TcpPath):
            path.send(data)
        elif isinstance(path, tuple):
            self._wiring.mux.sender.single(data, path, self._srtp_out if media else None)

    @property
    def unsent(self) -> bytes | None:
        """Return the first packet that is held back: none ever is."""
        return None

    def cut(self) -> bool:
        """Nothing is held back."""
        return True

    def send_rtcp(self, packet: bytes) -> None:
        if self._srtp_out is not None:
            data = self._wiring.protector.rtcp(self._srtp_out, packet)
            if data:
                self.send_raw(data)

    def send_rtp(self, packet: bytes) -> None:
        if self._srtp_out is not None:
            data = self._wiring.protector.rtp(self._srtp_out, packet)
            if data:
                self.send_raw(data, media=True)

    # Life

    def silent_for(self, now: float) -> float:
        """Return the seconds since the peer last proved to be there."""
        return now - (self._ice.heard_at or self._made_at)

    def tick(self, now: float) -> None:
        """Once a second: consent (RFC 7675) and patience with a peer that never came."""
        self.malformed.clear()
        self.allowance.next_second()
        if self.allowance.exhausted:
            _log.warning("transport.misbehaves", id=self.id)
            self.close()
            return
        silent = self.silent_for(now)
        if silent > LOST_AFTER or (self.state == "new" and now - self._made_at > _SECONDS_TO_CONNECT):
            self.close()
        elif silent > DISCONNECTED_AFTER and self.state == "connected":
            self._change("disconnected")

    def close(self) -> None:
        """Stop at once: no packet in or out any more. Idempotent."""
        if self.state == "closed":
            return
        self._wiring.mux.forget(self)
        if self._srtp_out is not None:
            self._wiring.mux.sender.forget(self._srtp_out)
        for path in self._ice.paths:
            if isinstance(path, TcpPath) and path is not self._ice.selected:
                path.close()
        self._closing = asyncio.create_task(self._say_goodbye(), name="dtls-close")
        self._change("closed")

    async def _say_goodbye(self) -> None:
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
        await self._dtls.close()
        self._srtp_in = self._srtp_out = None
        if isinstance(self._ice.selected, TcpPath):
            self._ice.selected.close()

    def _change(self, state: str) -> None:
        if self.state not in {state, "closed"}:
            self.state = state
            self._on_state(self, state)
