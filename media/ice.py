"""ICE-lite (RFC 8445, section 2.5): answering connectivity checks, and knowing where the peer is.

We never send a check. A peer is where its last nominated, authenticated request came from, or where others
come from while nothing comes from there any more; consent (RFC 7675) is its going on to send them.
"""

import secrets
from collections import OrderedDict
from collections.abc import Hashable

from aioice import stun

_MOST_PATHS = 8
_COOKIE = b"\x21\x12\xa4\x42"
_USERNAME = 0x0006
_QUIET = 3.0  # seconds without a request or report over the path in use; Firefox requests every 4 to 6
_QUIET_SINCE_RESTART = 0.5  # the same, of a path from before a restart: browsers give it up after 2.5
DISCONNECTED_AFTER, LOST_AFTER = 10.0, 30.0  # seconds without an authenticated request

Path = Hashable  # ("address", port), or a TCP connection


def local_ufrag_of(data: bytes) -> str | None:
    """Return whom a binding request is for, without trusting or copying anything: 1 us to refuse."""
    size = len(data)
    if size < 28 or size % 4 or data[0] != 0 or data[1] != 1 or data[4:8] != _COOKIE:
        return None
    at = 20
    while at + 4 <= size:
        kind = data[at] << 8 | data[at + 1]
        length = data[at + 2] << 8 | data[at + 3]
        if kind == _USERNAME:
            name = data[at + 4 : at + 4 + length].partition(b":")[0]
            return name.decode("ascii", "replace")
        at += 4 + length + (-length & 3)
    return None


class IceLite:
    """The ICE side of one transport: credentials, known paths, the selected one."""

    def __init__(self, tag: str) -> None:
        self._tag = tag
        self.ufrag, self.password = _credentials(tag)
        self.remote_ufrag: str | None = None
        self._previous: tuple[str, str] | None = None
        self._forgotten: list[str] = []
        self._evicted: list[Path] = []
        self.paths: OrderedDict[Path, float] = OrderedDict()
        self.selected: Path | None = None
        self.heard_at: float | None = None
        self._is_renewed = False  # the selected path is from before a restart

    def restart(self) -> str | None:
        """Take new credentials; those in use count until the peer uses the new ones.

        Returns the ufrag of an earlier restart that the peer never took up, which counts no more.
        """
        unproven = None
        if self._previous is None:
            self._previous = (self.ufrag, self.password)
        else:
            unproven = self.ufrag
        self.ufrag, self.password = _credentials(self._tag)
        self._is_renewed = True
        return unproven

    def take_forgotten(self) -> list[str]:
        """Return ufrags that count no more since the last call."""
        forgotten, self._forgotten = self._forgotten, []
        return forgotten

    def take_evicted(self) -> list[Path]:
        """Return paths that were dropped for newer ones since the last call."""
        evicted, self._evicted = self._evicted, []
        return evicted

    def answer(self, data: bytes, path: Path, address: tuple[str, int], now: float) -> bytes | None:
        """Check a request for one of our ufrags; return the reply, or None to stay silent."""
        try:
            message = stun.parse_message(data)
            username = str(message.attributes.get("USERNAME", ""))
            local, _, remote = username.partition(":")
            password = self._password_of(local)
            if (
                password is None
                or message.message_class != stun.Class.REQUEST
                or message.message_method != stun.Method.BINDING
                or "FINGERPRINT" not in message.attributes
                or "MESSAGE-INTEGRITY" not in message.attributes
                or not message.check_message_integrity(password)
            ):
                return None
        except Exception:
            return None
        if local == self.ufrag and self.remote_ufrag not in {None, remote}:
            return None
        if "ICE-CONTROLLED" in message.attributes:
            return _role_conflict(message, password)
        is_new = self._is_renewed and local == self.ufrag
        self._note(path, nominated="USE-CANDIDATE" in message.attributes, is_new=is_new, now=now)
        if local == self.ufrag and self._previous is not None:  # the peer has the new credentials
            self._forgotten.append(self._previous[0])
            self._previous = None
        response = stun.Message(stun.Method.BINDING, stun.Class.RESPONSE, message.transaction_id)
        response.attributes["XOR-MAPPED-ADDRESS"] = address
        response.add_message_integrity(password)
        return bytes(response)

    def forget(self, path: Path) -> None:
        """A TCP connection closed: it is no way to the peer any more."""
        self.paths.pop(path, None)
        if self.selected == path:
            self.selected = next(reversed(self.paths), None)

    def _password_of(self, ufrag: str) -> bytes | None:
        if ufrag == self.ufrag:
            return self.password.encode()
        if self._previous and ufrag == self._previous[0]:
            return self._previous[1].encode()
        return None

    def heard(self, path: Path, now: float) -> None:
        """Something authentic came over a path."""
        if path in self.paths:
            self.paths[path] = now

    def _note(self, path: Path, *, nominated: bool, is_new: bool, now: float) -> None:
        # Firefox's consent checks nominate nothing, and come from elsewhere once a router gave it a new
        # port; while it looks for ways its checks come over all of them, and one is in use.
        patience = _QUIET_SINCE_RESTART if is_new else _QUIET
        if nominated or self.selected is None or now - self.paths[self.selected] > patience:
            self.selected = path
            self._is_renewed = self._is_renewed and not is_new
        self.paths[path] = now
        self.paths.move_to_end(path)
        self.heard_at = now
        while len(self.paths) > _MOST_PATHS:
            oldest = next(one for one in self.paths if one != self.selected)
            del self.paths[oldest]
            self._evicted.append(oldest)


def _credentials(tag: str) -> tuple[str, str]:
    return tag + secrets.token_hex(6), secrets.token_hex(16)


def _role_conflict(message: stun.Message, password: bytes) -> bytes:
    """We are always controlled; a peer that says it is too must change its mind (487)."""
    reply = stun.Message(stun.Method.BINDING, stun.Class.ERROR, message.transaction_id)
    reply.attributes["ERROR-CODE"] = (487, "Role Conflict")
    reply.add_message_integrity(password)
    return bytes(reply)
