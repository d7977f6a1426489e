"""Ways around a firewall: credentials for the operator's TURN server, good for a while."""

import base64
import hashlib
import hmac
import time
from collections.abc import Sequence
from dataclasses import dataclass

from liveserver.models.ids import UserId

_SECONDS = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Relay:
    """What a browser is told of a TURN server."""

    urls: Sequence[str]
    username: str
    credential: str


class Relays:
    """TURN with a secret shared with us (draft-uberti-behave-turn-rest-00, coturn's `use-auth-secret`)."""

    def __init__(self, urls: Sequence[str], secret: str) -> None:
        self._urls = urls
        self._secret = secret.encode()

    def of(self, user: UserId) -> list[Relay]:
        """Return the relays somebody may use for the next ten minutes; a running use goes on."""
        if not self._urls:
            return []
        username = f"{int(time.time()) + _SECONDS}:{user}"
        digest = hmac.new(self._secret, username.encode(), hashlib.sha1).digest()
        return [Relay(urls=self._urls, username=username, credential=base64.b64encode(digest).decode())]
