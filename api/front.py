"""What is asked of a request before its route: whom it names, whose page sent it, how often it comes."""

import functools
import ipaddress
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from liveserver.errors import Misdirected, TooMany
from liveserver.models.ids import UserId

_METHODS = "GET, POST, PUT, PATCH, DELETE"
_HEADERS = "authorization, content-type, idempotency-key, if-match, if-none-match, x-requested-with"
_EXPOSED = "ETag, Location, Retry-After, X-Request-Id"
_SECONDS_PREFLIGHT_KEPT = "600"
_MOST_BUCKETS = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """What the doors know of the outside: names are lower case, origins are as browsers write them."""

    trusted_proxies: tuple[str, ...] = ()
    allowed_origins: frozenset[str] = frozenset()
    allowed_hosts: frozenset[str] = frozenset()
    pace: "Pace" = field(default_factory=lambda: Pace(rate=20, burst=60))

    def middleware(self) -> Middleware:
        """Refuse a host nobody named, and answer what browsers ask before a page of another origin may."""

        @web.middleware
        async def front(request: web.Request, handler: Handler) -> web.StreamResponse:
            if not self.is_known(request.headers.get(hdrs.HOST, "")):
                raise Misdirected
            if request.method == hdrs.METH_OPTIONS and self._shares_with(request) is not None:
                return web.Response(
                    status=204,
                    headers={
                        hdrs.ACCESS_CONTROL_ALLOW_METHODS: _METHODS,
                        hdrs.ACCESS_CONTROL_ALLOW_HEADERS: _HEADERS,
                        hdrs.ACCESS_CONTROL_MAX_AGE: _SECONDS_PREFLIGHT_KEPT,
                    },
                )
            return await handler(request)

        return front

    def on_prepare(self) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
        """Let a listed origin's page read our answers; of anybody else's browser keeps them."""

        async def share(request: web.Request, response: web.StreamResponse) -> None:
            if self.allowed_origins and request.path.startswith("/api"):
                response.headers.add(hdrs.VARY, hdrs.ORIGIN)
                origin = self._shares_with(request)
                if origin is not None:
                    response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
                    response.headers[hdrs.ACCESS_CONTROL_ALLOW_CREDENTIALS] = "true"
                    response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = _EXPOSED

        return share

    def _shares_with(self, request: web.Request) -> str | None:
        origin = request.headers.get(hdrs.ORIGIN)
        return origin if origin in self.allowed_origins and request.path.startswith("/api") else None

    def client_address(self, request: web.Request) -> str:
        """Return the caller's address: the rightmost hop that is not a proxy we trust."""
        address = request.remote or ""
        forwarded = ",".join(request.headers.getall(hdrs.X_FORWARDED_FOR, []))
        hops = [hop.strip() for hop in forwarded.split(",")]
        while hops and self._is_trusted(address):
            hop = hops.pop()
            if not hop:
                break
            address = hop
        return address[:64]

    def is_secure(self, request: web.Request) -> bool:
        """Say whether the caller speaks https, to us or to a proxy we trust."""
        if request.secure:
            return True
        said = request.headers.get(hdrs.X_FORWARDED_PROTO, "").strip().lower()
        return said == "https" and self._is_trusted(request.remote or "")

    def is_own_origin(self, request: web.Request) -> bool:
        """Say whether the page that sent this is ours, by its Origin header."""
        origin = request.headers.get(hdrs.ORIGIN, "")
        try:
            host = urlsplit(origin).netloc
        except ValueError:
            return False
        return bool(origin) and (host == request.host or origin in self.allowed_origins)

    def _is_trusted(self, address: str) -> bool:
        try:
            ip = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(ip in ipaddress.ip_network(network) for network in self.trusted_proxies)

    def is_known(self, host: str) -> bool:
        """Say whether a Host header names us. Digits always do: only a name can be somebody else's, who
        lets it lead here (DNS rebinding).
        """
        return _is_known(host, self.allowed_hosts)


@functools.lru_cache(1024)
def _is_known(host: str, allowed: frozenset[str]) -> bool:
    name = _name_of(host)
    if name in allowed or name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _name_of(host: str) -> str:
    """Return the name in `name`, `name:port` or `[address]:port` as DNS has it, '' when there is none."""
    try:
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
        return name if name.isascii() else name.encode("idna").decode()
    except ValueError:
        return ""


FRONT: web.AppKey[Front] = web.AppKey("front", Front)


def own_names(public_url: str, further: tuple[str, ...]) -> frozenset[str]:
    """Return the names this server goes by: its address's, this machine's own, and those it was told."""
    machine = socket.gethostname()
    public = urlsplit(public_url).netloc
    return frozenset({_name_of(one) for one in (machine, f"{machine}.local", public, *further)} - {""})


class Pace:
    """A bucket for each person, in this process: `rate` requests a second, `burst` at once."""

    def __init__(self, *, rate: float, burst: int) -> None:
        self._rate = rate
        self._burst = burst
        self._buckets: dict[UserId, tuple[float, float]] = {}  # what is left, and when

    def take(self, user: UserId, now: float | None = None) -> None:
        """Count one request. Raises TooMany."""
        now = time.monotonic() if now is None else now
        left, at = self._buckets.pop(user, (float(self._burst), now))
        left = min(float(self._burst), left + (now - at) * self._rate)
        if len(self._buckets) >= _MOST_BUCKETS:
            del self._buckets[next(iter(self._buckets))]  # who has been quiet longest
        if left < 1:
            self._buckets[user] = (left, now)
            raise TooMany(retryAfter=max(1, round((1 - left) / self._rate)))
        self._buckets[user] = (left - 1, now)
