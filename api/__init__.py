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
from api.contract import DOCUMENT, SERVICES, Route, install
from api.front import FRONT, Front
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


def application(services: Services, front: Front) -> web.Application:
    """Return the application with every REST route; pages are added by `serve_pages`."""
    middlewares = [live_sessions.unchanged_status, boundary, front.middleware()]
    app = web.Application(middlewares=middlewares, client_max_size=_BODY_LIMIT)
    app.on_response_prepare.append(front.on_prepare())
    app[SERVICES] = services
    app[FRONT] = front
    app[DOCUMENT] = openapi.document(ROUTES, VERSION)
    install(app, ROUTES)
    return app


def serve_pages(app: web.Application, dist: Path, s3_endpoint: str) -> None:
    """Serve the web app beside the routes. Comes last: its pattern takes every other GET."""
    pages.install(app, dist, s3_endpoint)
