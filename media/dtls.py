"""The DTLS handshake and the SRTP keys it yields, by aiortc's RTCDtlsTransport and nothing else of it.

aiortc's private names used here, each asserted by a test: RTCDtlsTransport._set_role,
._srtp_profiles, ._rx_srtp, ._tx_srtp; RTCCertificate._create_ssl_context; pylibsrtp Session._srtp.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from aiortc.rtcdtlstransport import (
    SRTP_AEAD_AES_128_GCM,
    SRTP_AEAD_AES_256_GCM,
    SRTP_AES128_CM_SHA1_80,
    RTCCertificate,
    RTCDtlsFingerprint,
    RTCDtlsParameters,
    RTCDtlsTransport,
)
from OpenSSL import SSL

from media.sdp import Fingerprint

_PROFILES = [SRTP_AEAD_AES_128_GCM, SRTP_AEAD_AES_256_GCM, SRTP_AES128_CM_SHA1_80]
_QUEUE = 32
_SECONDS = 20.0


class DtlsFailed(Exception):
    """The handshake did not end in keys: no answer, or another certificate than the one signalled."""


class Certificate:
    """One certificate per worker. Building a TLS context costs 0.4 ms, so it is built once."""

    def __init__(self) -> None:
        self.inner = RTCCertificate.generateCertificate()
        make: Any = self.inner._create_ssl_context
        context = make(_PROFILES)
        # OpenSSL's manual says it does nothing for DTLS; since 3.2 it saves 40 KiB of each connection.
        context.set_mode(SSL.MODE_RELEASE_BUFFERS)
        setattr(self.inner, "_create_ssl_context", lambda srtp_profiles: context)  # noqa: ARG005, B010

    @property
    def fingerprint(self) -> Fingerprint:
        found = next(f for f in self.inner.getFingerprints() if f.algorithm == "sha-256")
        return Fingerprint(found.algorithm, found.value)


class _Wire:
    """What RTCDtlsTransport needs of an ICE transport, and no more."""

    role = "controlled"
    state = "completed"

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send_raw = send
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue(_QUEUE)

    async def _recv(self) -> bytes:
        data = await self._queue.get()
        if data is None:
            raise ConnectionError
        return data

    async def _send(self, data: bytes) -> None:
        self._send_raw(data)

    def feed(self, data: bytes | None) -> bool:
        try:
            self._queue.put_nowait(data)
        except asyncio.QueueFull:
            return False
        return True


class Dtls:
    """One handshake. Closed by its Transport."""

    def __init__(self, certificate: Certificate, send: Callable[[bytes], None]) -> None:
        self._wire = _Wire(send)
        self._dtls: Any = RTCDtlsTransport(self._wire, [certificate.inner])  # type: ignore[arg-type]
        self._dtls._srtp_profiles = _PROFILES

    async def shake_hands(self, fingerprints: Sequence[Fingerprint], *, server: bool) -> tuple[Any, Any]:
        """Return libsrtp's contexts for what comes in and what goes out. Raises DtlsFailed."""
        self._dtls._set_role("server" if server else "client")
        remote = RTCDtlsParameters(
            fingerprints=[RTCDtlsFingerprint(f.algorithm, f.value) for f in fingerprints]
        )
        try:
            await asyncio.wait_for(self._dtls.start(remote), _SECONDS)
        except TimeoutError as error:
            raise DtlsFailed("no handshake within 20 s") from error
        except Exception as error:
            raise DtlsFailed(f"handshake failed: {type(error).__name__}") from error
        if self._dtls.state != "connected":
            raise DtlsFailed(f"handshake ended {self._dtls.state}")
        return self._dtls._rx_srtp._srtp[0], self._dtls._tx_srtp._srtp[0]

    def on_closed(self, callback: Callable[[], None]) -> None:
        """Call back once when the peer says goodbye (close_notify)."""

        def changed() -> None:
            if self._dtls.state in {"closed", "failed"}:
                callback()

        self._dtls.on("statechange", changed)

    def feed(self, data: bytes) -> bool:
        """Hand in a datagram of DTLS; False when too many wait (dropped: DTLS retransmits)."""
        return self._wire.feed(data)

    async def close(self) -> None:
        self._dtls.remove_all_listeners()
        with contextlib.suppress(Exception):
            await asyncio.wait_for(self._dtls.stop(), 1.0)
        self._wire.feed(None)
