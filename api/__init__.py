"""The REST door: the table of every route, and the application that serves it."""

from pathlib import Path

from aiohttp import web

from api import (
    admin,
    attendance,
    auth,
    courses,
    curriculum,
    health,
    instructor_courses,
    live_sessions,
    notifications,
    openapi,
    pages,
    payments,
    playback,
    progress,
    statistics,
    uploads,
    users,
    webhooks,
)
from api.contract import ALLOWED_ORIGINS, DOCUMENT, SERVICES, TRUSTED_PROXIES, Route, install
from api.middleware import boundary
from liveserver.services import Services

VERSION = "0.1.0"
ROUTES: list[Route] = [
    *health.ROUTES,
    *auth.ROUTES,
    *users.ROUTES,
    *courses.ROUTES,
    *instructor_courses.ROUTES,
    *curriculum.ROUTES,
    *progress.ROUTES,
    *uploads.ROUTES,
    *playback.ROUTES,
    *live_sessions.ROUTES,
    *attendance.ROUTES,
    *notifications.ROUTES,
    *payments.ROUTES,
    *statistics.ROUTES,
    *webhooks.ROUTES,
    *admin.ROUTES,
]
_BODY_LIMIT = 64 * 1024


def application(
    services: Services,
    *,
    trusted_proxies: tuple[str, ...],
    allowed_origins: frozenset[str],
) -> web.Application:
    """Return the application with every REST route; pages are added by `serve_pages`."""
    app = web.Application(middlewares=[live_sessions.unchanged_status, boundary], client_max_size=_BODY_LIMIT)
    app[SERVICES] = services
    app[TRUSTED_PROXIES] = trusted_proxies
    app[ALLOWED_ORIGINS] = allowed_origins
    app[DOCUMENT] = openapi.document(ROUTES, VERSION)
    install(app, ROUTES)
    return app


def serve_pages(app: web.Application, dist: Path, s3_endpoint: str) -> None:
    """Serve the web app beside the routes. Comes last: its pattern takes every other GET."""
    pages.install(app, dist, s3_endpoint)
