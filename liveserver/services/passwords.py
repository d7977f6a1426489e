"""Passwords: the policy, and argon2id in threads that are few and whose queue is short."""

import asyncio
import os
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from zxcvbn.frequency_lists import FREQUENCY_LISTS

from liveserver.errors import BusyHashing, Invalid

_SHORTEST, _LONGEST = 8, 128
_COMMON = 10_000
_QUEUE = 512

_T = TypeVar("_T")


def normalise(password: str) -> str:
    """Return the form that is hashed (NFKC), cut at 1 KiB: two keyboards, one password."""
    return unicodedata.normalize("NFKC", password).encode()[:1024].decode(errors="ignore")


def check(password: str, *, name: str, email: str) -> None:
    """Raise Invalid when the password is too short, too long, too common or the user's own name."""
    plain = normalise(password)
    if not _SHORTEST <= len(plain) <= _LONGEST:
        raise Invalid(("password", "password_length"))
    folded = plain.casefold()
    own = {name.casefold(), email.casefold(), email.partition("@")[0].casefold()}
    if folded in own or folded in _common():
        raise Invalid(("password", "password_common"))


@lru_cache(maxsize=1)
def _common() -> frozenset[str]:
    return frozenset(FREQUENCY_LISTS["passwords"][:_COMMON])


class PasswordHashing:
    """argon2id, 19 MiB, t=2, p=1 (OWASP), about 30 ms; closed by the composition root."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
        self._threads = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="argon2")
        self._waiting = 0
        self._dummy = self._hasher.hash("nobody has this password")

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def hash(self, password: str) -> str:
        return await self._run(self._hasher.hash, normalise(password))

    async def verify(self, known: str | None, password: str) -> bool:
        """Compare; with no known hash, spend the same time and return False."""
        matches = await self._run(self._matches, known or self._dummy, normalise(password))
        return matches and known is not None

    def needs_rehash(self, known: str) -> bool:
        return self._hasher.check_needs_rehash(known)

    def _matches(self, known: str, password: str) -> bool:
        try:
            return self._hasher.verify(known, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, work: Callable[..., _T], *arguments: str) -> _T:
        if self._waiting >= _QUEUE:
            raise BusyHashing(retryAfter=5)
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, work, *arguments)
        finally:
            self._waiting -= 1
