"""HTTP to addresses that users name: never into our own network.

The name is resolved once, every address it has must be a public one, and the connection goes to that very
address; no redirect is followed, and of the answer only the status counts.
"""

import asyncio
import ipaddress
import socket
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

_TIMEOUT = aiohttp.ClientTimeout(total=10, connect=5)
# Ways to write a private IPv4 address as an IPv6 one that `is_global` does not see through (NAT64, 6to4,
# Teredo, IPv4-compatible), and the site-local addresses of old.
_DISGUISES = tuple(
    ipaddress.ip_network(one)
    for one in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::/96", "fec0::/10")
)


class Poster:
    """`allow_private` lets addresses of this machine and network through, for tests and closed networks."""

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private

    async def post(self, url: str, body: bytes, headers: dict[str, str]) -> int | str:
        """Return the status, or in a word why there was none."""
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        try:
            addresses = await _resolve(parts.hostname or "", port)
        except OSError:
            return "no_such_host"
        if not self._allow_private and not all(is_public(one) for one in addresses):
            return "not_a_public_address"
        connector = aiohttp.TCPConnector(resolver=_Pinned(addresses[0]), force_close=True)
        try:
            async with (
                aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT) as client,
                client.post(url, data=body, headers=headers, allow_redirects=False) as answer,
            ):
                return answer.status
        except TimeoutError:
            return "timeout"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return type(error).__name__


async def _resolve(host: str, port: int) -> list[str]:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(one[4][0]) for one in found]


def is_public(address: str) -> bool:
    """Say whether an address is one of the public internet."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return ip.ipv4_mapped.is_global
        if any(ip in network for network in _DISGUISES):
            return False
    return ip.is_global and not ip.is_multicast


class _Pinned(AbstractResolver):
    """Gives the address that was checked, whatever the name says by now."""

    def __init__(self, address: str) -> None:
        self._address = address

    async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> list[ResolveResult]:
        family = socket.AF_INET6 if ":" in self._address else socket.AF_INET
        return [
            ResolveResult(
                hostname=host,
                host=self._address,
                port=port,
                family=family,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
        ]

    async def close(self) -> None:
        """Nothing is held."""
