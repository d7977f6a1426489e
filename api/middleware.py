"""The door's one error boundary: refusals become problem documents, bugs are logged once.

RFC 9457: type, title, status, detail, instance, code, requestId, and errors[] for 422.
"""

import json
from datetime import datetime
from typing import Any

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from api.contract import LOGIN, MalformedJson, UnsupportedMedia
from api.front import FRONT
from api.texts import text
from liveserver.errors import (
    BadOffer,
    BadSignature,
    Conflict,
    Forbidden,
    Invalid,
    Misdirected,
    NotFound,
    PaymentRequired,
    ProviderDown,
    Refusal,
    TooMany,
    Unauthenticated,
    Unavailable,
)
from liveserver.models.ids import uuid7

_log = structlog.get_logger()

# The kinds, most special first.
STATUS: dict[type[Refusal], int] = {
    MalformedJson: 400,
    BadSignature: 400,
    Misdirected: 421,
    ProviderDown: 502,
    UnsupportedMedia: 415,
    PaymentRequired: 402,
    Unauthenticated: 401,
    TooMany: 429,
    Unavailable: 503,
    NotFound: 404,
    Forbidden: 403,
    BadOffer: 422,
    Invalid: 422,
    Conflict: 409,
}
_HTTP_CODES = {404: "not_found", 405: "method_not_allowed", 413: "body_too_large"}
REQUEST_ID: web.RequestKey[str] = web.RequestKey("request_id", str)

_SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(self), display-capture=(self)",
}
_API_POLICY = "default-src 'none'; frame-ancestors 'none'"


def status_of(kind: type[Refusal]) -> int:
    return next(status for known, status in STATUS.items() if issubclass(kind, known))


@web.middleware
async def boundary(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give every request an id, and every failure an answer."""
    request[REQUEST_ID] = uuid7().hex
    try:
        response = await handler(request)
    except Refusal as refusal:
        response = _refused(request, refusal)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        response = _http_error(request, error)
    except Exception:
        _log.exception("http.internal", path=request.path, request_id=request[REQUEST_ID])
        response = problem(request, 500, "internal")
    if not response.prepared:
        for name, value in _SECURITY_HEADERS.items():
            response.headers.setdefault(name, value)
        if request.path.startswith("/api"):
            response.headers.setdefault("Content-Security-Policy", _API_POLICY)
            response.headers.setdefault("Cache-Control", "no-store")
        if request.app[FRONT].is_secure(request):
            response.headers.setdefault("Strict-Transport-Security", "max-age=31536000")
        response.headers["X-Request-Id"] = request[REQUEST_ID]
    return response


def _refused(request: web.Request, refusal: Refusal) -> web.Response:
    status = status_of(type(refusal))
    extra: dict[str, Any] = dict(refusal.details)
    if isinstance(refusal, Invalid) and refusal.fields:
        extra["errors"] = [{"field": path, "code": code} for path, code in refusal.fields]
    headers = {}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if status in {429, 503}:
        headers["Retry-After"] = str(refusal.details.get("retryAfter", 2))
    response = problem(request, status, refusal.code, headers=headers, **extra)
    if isinstance(refusal, UnsupportedMedia):
        response.force_close()  # its body was not read: nobody may send another request behind it
    return response


def _http_error(request: web.Request, error: web.HTTPException) -> web.Response:
    headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
    return problem(request, error.status, _HTTP_CODES.get(error.status, "bad_request"), headers=headers)


def problem(
    request: web.Request,
    status: int,
    code: str,
    *,
    headers: dict[str, str] | None = None,
    **extra: Any,
) -> web.Response:
    title, detail = text(code, language_of(request))
    document = {
        "type": f"urn:liveserver:problem:{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": request.path[:200],
        "code": code,
        "requestId": request[REQUEST_ID],
        **extra,
    }
    return web.Response(
        status=status,
        headers=headers,
        text=json.dumps(document, ensure_ascii=False, default=_jsonable),
        content_type="application/problem+json",
    )


def _jsonable(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return str(value)


def language_of(request: web.Request) -> str:
    """Return `ar` or `en`: the first the request asks for, else the account's."""
    for part in request.headers.get("Accept-Language", "").split(",")[:10]:
        language = part.strip()[:2].lower()
        if language in {"ar", "en"}:
            return language
    login = request.get(LOGIN)
    return "ar" if login is not None and login.user.locale == "ar" else "en"
