"""Typed routes on aiohttp: one declaration guards, parses, answers and documents.

A handler is `async def name(request, <path ids>, body=..., query=...) -> Out`. Its annotations are the
contract: they parse what comes in, and api/openapi.py reads the same ones.

The order of guards (rule G1): authenticate, account enabled, role, visibility, body, state. Visibility
comes before the body, so a body that does not parse is reported only after `guard` found that the
caller may know of the object at all.
"""

import asyncio
import inspect
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import UnionType
from typing import Any, Generic, TypeVar, get_args, get_origin, get_type_hints

from aiohttp import web
from pydantic import BaseModel, TypeAdapter, ValidationError

from api.front import FRONT
from liveserver.errors import ForbiddenRole, Invalid, NotFound, Refusal, Unauthenticated
from liveserver.models.accounts import Login, Role, User
from liveserver.services import Services
from liveserver.services.accounts import Device

BodyT = TypeVar("BodyT")
Handler = Callable[..., Awaitable[Any]]
_DEEPEST, _MOST_KEYS = 32, 200
_SECONDS_TO_BODY = 30

SERVICES: web.AppKey[Services] = web.AppKey("services", Services)
DOCUMENT: web.AppKey[dict[str, Any]] = web.AppKey("openapi", dict)
LOGIN: web.RequestKey[Login] = web.RequestKey("login", Login)


class MalformedJson(Refusal):
    """The body is not JSON we read (syntax, duplicate keys, depth). Becomes 400."""

    code = "malformed_json"


class UnsupportedMedia(Refusal):
    """The body's type or encoding is not one we read. Becomes 415."""

    code = "unsupported_media_type"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply(Generic[BodyT]):
    """An answer whose status or headers differ from the route's usual ones."""

    body: BodyT
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)


class Request:
    """What a handler sees of a request."""

    def __init__(self, http: web.Request, login: Login | None) -> None:
        self.http = http
        self.services = http.app[SERVICES]
        self._login = login

    @property
    def login(self) -> Login:
        assert self._login is not None  # noqa: S101 - the route's guard saw to it
        return self._login

    @property
    def user(self) -> User:
        return self.login.user

    @property
    def viewer(self) -> User | None:
        """Who asks, on a route that is open to strangers."""
        return self._login.user if self._login else None

    @property
    def bearer(self) -> str | None:
        """The access token as it was sent, unchecked."""
        scheme, _, token = self.http.headers.get("Authorization", "").partition(" ")
        return token.strip() if scheme.lower() == "bearer" and token else None

    @property
    def device(self) -> Device:
        agent = self.http.headers.get("User-Agent", "").encode("utf-8", "replace").decode()
        return Device(address=self.http.app[FRONT].client_address(self.http), user_agent=agent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    method: str
    path: str
    handler: Handler
    status: int
    roles: frozenset[Role] | None  # None: anybody who is logged in
    public: bool
    reads_login: bool  # False: an Authorization header is not even looked at
    guard: Handler | None
    raises: tuple[type[Refusal], ...]
    tag: str
    ids: Mapping[str, TypeAdapter[Any]]
    query: type[BaseModel] | None
    body: type[BaseModel] | None
    body_optional: bool
    answer: Any  # the annotation; None for an empty answer
    also: tuple[int, ...]  # further statuses of success
    produces: str  # the media type of a raw response among the answers

    @property
    def name(self) -> str:
        return self.handler.__name__


def route(
    method: str,
    path: str,
    *,
    status: int = 200,
    roles: set[Role] | None = None,
    public: bool = False,
    reads_login: bool = True,
    guard: Handler | None = None,
    raises: tuple[type[Refusal], ...] = (),
    also: tuple[int, ...] = (),
    produces: str = "",
) -> Callable[[Handler], Route]:
    """Declare a route. `raises` lists the refusals of its own, for the document; `produces` is the media
    type of an answer that is no JSON.
    """

    def declare(handler: Handler) -> Route:
        hints = get_type_hints(handler, include_extras=True)
        answer = hints.pop("return", None)
        names = re.findall(r"{(\w+)}", path)
        body = hints.get("body")
        parameter = inspect.signature(handler).parameters.get("body")
        optional = parameter is not None and parameter.default is None
        if optional:
            body = next(a for a in get_args(body) if a is not type(None))
        return Route(
            method=method,
            path=path,
            handler=handler,
            status=204 if answer in (None, type(None)) and status == 200 else status,
            roles=frozenset(roles) if roles is not None else None,
            public=public,
            reads_login=reads_login,
            guard=guard,
            raises=raises,
            tag=handler.__module__.rpartition(".")[2],
            ids={name: TypeAdapter(hints[name]) for name in names},
            query=hints.get("query"),
            body=body,
            body_optional=optional,
            answer=None if answer is type(None) else answer,
            also=also,
            produces=produces,
        )

    return declare


def install(app: web.Application, routes: list[Route]) -> None:
    """Register routes on an application that has SERVICES."""
    paths = {one.path for one in routes}
    for one in routes:
        app.router.add_route(one.method, _pattern(one.path, paths), _Endpoint(one).serve, name=one.name)


def _pattern(path: str, paths: set[str]) -> str:
    """Return a path whose ids do not take the words of its neighbours: `/uploads/{upload}` is not the
    address of `/uploads/signed-url`, whatever the method.
    """
    parts = path.split("/")
    for n, part in enumerate(parts):
        if not part.startswith("{") or not part.endswith("}"):
            continue
        words = {
            other[n]
            for other in (one.split("/") for one in paths)
            if len(other) == len(parts) and other[:n] == path.split("/")[:n] and "{" not in other[n]
        }
        if words:
            parts[n] = f"{part[:-1]}:(?!(?:{'|'.join(map(re.escape, sorted(words)))})(?:/|$))[^/]+}}"
    return "/".join(parts)


class _Endpoint:
    """Runs one route for one request."""

    def __init__(self, declared: Route) -> None:
        self._route = declared
        answer = declared.answer
        if get_origin(answer) is Reply:
            (answer,) = get_args(answer)
        kinds = [kind for kind in get_args(answer) if not _is_response(kind)]
        if get_origin(answer) is UnionType and len(kinds) == 1:
            (answer,) = kinds
        empty = answer is None or answer is type(None) or _is_response(answer)
        self._answer: TypeAdapter[Any] | None = None if empty else TypeAdapter(answer)

    async def serve(self, http: web.Request) -> web.StreamResponse:
        declared = self._route
        request = Request(http, await self._identify(http))
        ids = self._ids(http)
        arguments: dict[str, Any] = dict(ids)
        try:
            if declared.query is not None:
                arguments["query"] = parse_query(declared.query, http)
            if declared.body is not None:
                arguments["body"] = await parse_body(declared.body, http, optional=declared.body_optional)
        except (Invalid, MalformedJson, UnsupportedMedia):
            if declared.guard is not None:
                await declared.guard(request, **ids)
            raise
        answer = await declared.handler(request, **arguments)
        return self._present(answer)

    async def _identify(self, http: web.Request) -> Login | None:
        declared = self._route
        header = http.headers.get("Authorization") if declared.reads_login else None
        if header is None:
            if declared.public:
                return None
            raise Unauthenticated
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated
        accounts, pace = http.app[SERVICES].accounts, http.app[FRONT].pace
        login = await accounts.authenticate(token.strip(), pace.take)
        http[LOGIN] = login
        if declared.roles is not None and login.user.role not in declared.roles:
            raise ForbiddenRole
        return login

    def _ids(self, http: web.Request) -> dict[str, Any]:
        ids = {}
        for name, adapter in self._route.ids.items():
            try:
                ids[name] = adapter.validate_strings(http.match_info[name])
            except ValidationError:
                raise NotFound from None
        return ids

    def _present(self, answer: Any) -> web.StreamResponse:
        status, headers = self._route.status, {}
        if isinstance(answer, Reply):
            status, headers, answer = answer.status, dict(answer.headers), answer.body
        if isinstance(answer, web.StreamResponse):  # a file, not JSON
            return answer
        if self._answer is None or status in {204, 304}:
            return web.Response(status=status, headers=headers)
        return web.Response(
            status=status,
            headers=headers,
            body=self._answer.dump_json(answer, by_alias=True, exclude_none=True),
            content_type="application/json",
        )


def if_match(request: Request) -> int | None:
    """Return the version the caller had read, by If-Match: `"3"`, or None when they do not say."""
    value = request.http.headers.get("If-Match")
    if value is None or value.strip() == "*":
        return None
    found = re.fullmatch(r'\s*(?:W/)?"(\d{1,9})"\s*', value)
    if found is None:
        raise Invalid(("header.If-Match", "not_a_version"))
    return int(found[1])


def _is_response(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, web.StreamResponse)


def parse_query(model: type[BaseModel], http: web.Request) -> BaseModel:
    """Raise Invalid for an unknown, repeated or wrong key."""
    repeated = [key for key in http.query if len(http.query.getall(key)) > 1]
    if repeated:
        raise Invalid(*((f"query.{key}", "repeated") for key in sorted(set(repeated))))
    try:
        return model.model_validate(dict(http.query))
    except ValidationError as error:
        raise _invalid(error, "query.") from None


async def parse_body(model: type[BaseModel], http: web.Request, *, optional: bool) -> BaseModel | None:
    """Raise UnsupportedMedia, MalformedJson or Invalid."""
    if any(one != "identity" for one in http.headers.getall("Content-Encoding", [])):
        raise UnsupportedMedia(reason="compressed bodies are not read")
    try:
        async with asyncio.timeout(_SECONDS_TO_BODY):
            raw = await http.read()
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    if not raw and optional:
        return None
    if http.content_type != "application/json":
        raise UnsupportedMedia(reason="send application/json")
    _check_json(raw)
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        raise _invalid(error, "") from None


def _check_json(raw: bytes) -> None:
    """Refuse what JSON readers disagree about: duplicate keys, NaN, depth without end."""
    keys = 0

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal keys
        keys += len(items)
        if len({key for key, _ in items}) != len(items):
            raise ValueError("a key is repeated")
        return dict(items)

    def constant(name: str) -> None:
        raise ValueError(f"{name} is not JSON")

    try:
        text = raw.decode("utf-8")
        document = json.loads(text, object_pairs_hook=pairs, parse_constant=constant)
    except (ValueError, RecursionError) as error:
        reason = "nested too deep" if isinstance(error, RecursionError) else str(error)[:120]
        raise MalformedJson(reason=reason) from None
    if keys > _MOST_KEYS or _depth(document) > _DEEPEST:
        raise MalformedJson(reason="too many keys or nested too deep")


def _depth(value: Any) -> int:
    deepest, stack = 0, [(value, 1)]
    while stack:
        one, depth = stack.pop()
        deepest = max(deepest, depth)
        children = one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()
        stack.extend((child, depth + 1) for child in children)
    return deepest


_FIELD_CODES = {"extra_forbidden": "unknown_field", "missing": "required"}


def _invalid(error: ValidationError, prefix: str) -> Invalid:
    """Name each bad field by its path and what is wrong with it, never by what was sent."""
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    return Invalid(
        *(
            (
                prefix + ".".join(str(part) for part in one["loc"]) or "body",
                _FIELD_CODES.get(one["type"], one["type"]),
            )
            for one in problems[:50]
        )
    )
