"""Ends that read what a sender sends them, and what is sent."""

import os
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from pylibsrtp import Policy, Session

from media.datagrams import socket_name
from media.draft import NONE, Draft, Shift
from media.formats import OPUS
from media.srtp import Target

GCM, CM = Policy.SRTP_PROFILE_AEAD_AES_128_GCM, Policy.SRTP_PROFILE_AES128_CM_SHA1_80


class Viewer:
    """One end that reads what it is sent."""

    def __init__(self, family: socket.AddressFamily, profile: int = GCM) -> None:
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        if family == socket.AF_UNIX:  # has no room for more than it is read, which UDP on one machine has
            path = b"\0" + os.urandom(13)
            self.socket.bind(path)
            self.name = struct.pack("=H", family) + path
        else:
            self.socket.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
            self.name = socket_name(self.socket.getsockname())
        self.socket.setblocking(False)
        key = os.urandom(28 if profile == GCM else 30)
        self._out, self._in = (
            Session(_policy(profile, key, kind))
            for kind in (Policy.SSRC_ANY_OUTBOUND, Policy.SSRC_ANY_INBOUND)
        )
        self.target: Target = self._out._srtp[0], self.name

    def read(self) -> list[bytes]:
        """Return the plain packets that came."""
        found = []
        while True:
            try:
                found.append(self._in.unprotect(self.socket.recv(2048)))
            except BlockingIOError:
                return found


def _policy(profile: int, key: bytes, kind: int) -> Policy:
    policy = Policy(key=key, ssrc_type=kind, srtp_profile=profile)
    policy.allow_repeat_tx = True
    return policy


@dataclass
class Some:
    """An audience."""

    targets: Sequence[Target]
    shift: Shift = NONE
    types: bytes | None = None


def drafts(first: int, sizes: Sequence[int], ssrc: int = 7) -> list[Draft]:
    """Make packets with so much in them."""
    return [
        Draft((OPUS.payload_type, first + n & 0xFFFF, 1, os.urandom(size)), ssrc)
        for n, size in enumerate(sizes)
    ]


def inside(burst: Sequence[Draft]) -> list[bytes]:
    return [draft.tail for draft in burst]


def payloads(found: Sequence[bytes]) -> list[bytes]:
    """Return payloads without the padding that made packets equally long."""
    return [one[12 : len(one) - one[-1]] if one[0] & 0x20 else one[12:] for one in found]
