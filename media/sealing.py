"""What hosts say to each other, sealed with a secret they share: AES-256-GCM, a key for each direction.

Both ends of a connection name 32 random bytes; the keys come from these and the secret (HKDF), so each life
of each connection has its own, and nothing of one is worth anything in another. There is no forward secrecy:
who records what is said and learns the secret later can read it.
"""

from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

NONCE_BYTES = 32
NAME_BYTES = 8
_KEY_BYTES = 32
_NUMBER_BYTES = 8
TAG_BYTES = 16
_WINDOW = 1024
DATAGRAM_OVERHEAD = NAME_BYTES + _NUMBER_BYTES + TAG_BYTES


class SealError(ValueError):
    """What came was not sealed by who knows the secret, or came before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """Of one life of one connection; the pipe is what goes beside it in datagrams, from caller to called."""

    to_called: bytes
    to_caller: bytes
    pipe: bytes
    pipe_name: bytes


def agree(secret: bytes, caller: bytes, called: bytes, address: str) -> Keys:
    """Return the keys of a connection by what its ends named, NONCE_BYTES each, and the address called."""
    info = b"liveserver hosts 1 " + address.encode()
    made = HKDF(hashes.SHA256(), 3 * _KEY_BYTES + NAME_BYTES, caller + called, info).derive(secret)
    first, second, third = (made[n * _KEY_BYTES : (n + 1) * _KEY_BYTES] for n in range(3))
    return Keys(to_called=first, to_caller=second, pipe=third, pipe_name=made[3 * _KEY_BYTES :])


class Sealer:
    """Seals with a key nobody else seals with, each message under the next number."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)
        self._number = 0

    def seal(self, data: bytes) -> bytes:
        """Seal the next message of a stream, whose numbers its order tells."""
        self._number += 1
        return self._cipher.encrypt(_nonce(self._number), data, None)

    def datagram(self, name: bytes, data: bytes) -> bytes:
        """Return a message that names its key and its number: DATAGRAM_OVERHEAD bytes more."""
        self._number += 1
        head = name + self._number.to_bytes(_NUMBER_BYTES, "big")
        return head + self._cipher.encrypt(_nonce(self._number), data, head)


class Opener:
    """Opens what the other end's Sealer of the same key sealed, each message once."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)
        self._number = 0
        self._seen = 0  # bit n: the one `n` before the newest came

    def open(self, data: bytes) -> bytes:
        """Open the next message of a stream. Raises SealError."""
        self._number += 1
        return self._decrypt(self._number, data, None)

    def datagram(self, data: bytes) -> bytes:
        """Open a message in whatever order it comes, if it is not too old. Raises SealError."""
        size = NAME_BYTES + _NUMBER_BYTES
        number = int.from_bytes(data[NAME_BYTES:size], "big")
        behind = self._number - number
        if behind >= _WINDOW or (behind >= 0 and self._seen >> behind & 1):
            raise SealError("came before, or far too late")
        opened = self._decrypt(number, data[size:], data[:size])
        if behind < 0:
            self._seen = (self._seen << -behind | 1) & ((1 << _WINDOW) - 1) if -behind < _WINDOW else 1
            self._number = number
        else:
            self._seen |= 1 << behind
        return opened

    def _decrypt(self, number: int, data: bytes, head: bytes | None) -> bytes:
        try:
            return self._cipher.decrypt(_nonce(number), data, head)
        except (InvalidTag, ValueError) as error:
            raise SealError("not sealed with our secret") from error


def _nonce(number: int) -> bytes:
    return number.to_bytes(12, "big")
