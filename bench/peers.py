"""Clients that really shake hands with a worker and then cost nothing: their sockets are never read. What
browsers say of what they get, these say without looking.
"""

import asyncio
import contextlib
import re
import socket
from collections.abc import Iterator, Sequence
from typing import Any

from aioice import stun
from aiortc.rtcdtlstransport import (
    RTCCertificate,
    RTCDtlsFingerprint,
    RTCDtlsParameters,
    RTCDtlsTransport,
)

from media import rtcp

_SMALL_BUFFER = 4096
_ROOM = 20_000_000  # bits per second
_PRIORITY = 1_853_824_767  # of a peer-reflexive candidate


class Peer:
    """One connection to the worker: a signed check, a DTLS handshake, SRTP keys."""

    role = "controlling"
    state = "completed"

    def __init__(self, certificate: RTCCertificate) -> None:
        self._certificate = certificate
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.dtls: Any = RTCDtlsTransport(self, [certificate])  # type: ignore[arg-type]
        # Whoever is measured encrypts alike.
        self.dtls._srtp_profiles = [
            one for one in self.dtls._srtp_profiles if b"128_GCM" in one.openssl_profile
        ]

    async def _recv(self) -> bytes:
        while True:
            data = await asyncio.get_running_loop().sock_recv(self.socket, 2048)
            if data[0] > 19:
                return data
            self.checked(data)

    def checked(self, data: bytes) -> None:
        """Take a check or its answer: a lite agent, as ours is, sends no checks."""

    async def _send(self, data: bytes) -> None:
        self.socket.send(data)

    def description(self, sections: str) -> str:
        """What we tell the worker of this side."""
        prints = [f for f in self._certificate.getFingerprints() if f.algorithm == "sha-256"]
        return (
            "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=ice-ufrag:peer\r\na=setup:active\r\n"
            f"a=fingerprint:sha-256 {prints[0].value}\r\n{sections}"
        )

    async def connect(self, remote: str) -> None:
        """Check and shake hands with the side that `remote` describes."""
        ufrag, password = _of(remote, "ice-ufrag"), _of(remote, "ice-pwd")
        candidate = re.search(r"a=candidate:\S+ 1 udp \d+ (\S+) (\d+)", remote)
        assert candidate is not None
        self.socket.connect((candidate[1], int(candidate[2])))
        self._remote = ufrag, password
        self.check(ufrag, password)
        self.dtls._set_role("client")
        algorithm, _, value = _of(remote, "fingerprint").partition(" ")
        await self.dtls.start(RTCDtlsParameters(fingerprints=[RTCDtlsFingerprint(algorithm, value)]))
        assert self.dtls.state == "connected"
        self.dtls._task.cancel()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL_BUFFER)

    def datagrams(self) -> Iterator[bytes]:
        """Return what waits on the socket now."""
        while True:
            try:
                yield self.socket.recv(2048)
            except (BlockingIOError, ConnectionRefusedError):
                return

    def check_again(self) -> None:
        """Tell the worker that this side is still there."""
        self.check(*self._remote)

    def report(self, ssrcs: Sequence[int]) -> None:
        """Say, as browsers do each second, that all of these streams come and there is room for more."""
        blocks = [rtcp.ReportBlock(ssrc, 0, 0, 0, 0, 0, 0) for ssrc in ssrcs]
        said = rtcp.receiver_report(1, blocks) + rtcp.remb(1, _ROOM, ssrcs)
        with contextlib.suppress(BlockingIOError, ConnectionRefusedError):
            self.socket.send(self.dtls._tx_srtp.protect_rtcp(said))

    def check(self, ufrag: str, password: str) -> None:
        message = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
        message.attributes["USERNAME"] = f"{ufrag}:peer"
        message.attributes["PRIORITY"] = _PRIORITY
        if self.role == "controlling":
            message.attributes["ICE-CONTROLLING"] = 1
            message.attributes["USE-CANDIDATE"] = None
        else:
            message.attributes["ICE-CONTROLLED"] = 1
        message.add_message_integrity(password.encode())
        self.socket.send(bytes(message))


def _of(description: str, name: str) -> str:
    found = re.search(rf"a={name}:([^\r\n]+)", description)
    assert found is not None, name
    return found[1]
