"""Is the process alive, and what can it do: the public route and the document of all routes."""

from typing import Any, Literal

from api.contract import DOCUMENT, Request, route
from api.scalars import Out


class HealthOut(Out):
    status: Literal["ok"] = "ok"


@route("GET", "/api/health", public=True, reads_login=False)
async def health(request: Request) -> HealthOut:  # noqa: ARG001 - touches nothing on purpose
    return HealthOut()


@route("GET", "/api/openapi.json", public=True, reads_login=False)
async def openapi_document(request: Request) -> dict[str, Any]:
    return request.http.app[DOCUMENT]


ROUTES = [health, openapi_document]
