"""What the caller was told."""

from typing import Any

from api.contract import Request, route
from api.middleware import language_of
from api.scalars import Instant, Out, PageQuery
from liveserver.models.ids import NotificationId
from liveserver.models.notifications import Notification, NotificationKind
from liveserver.services.wording import words_of


class NotificationOut(Out):
    """`title` and `body` are in the caller's language; `facts` are what they were made of."""

    id: NotificationId
    kind: NotificationKind
    title: str
    body: str
    facts: dict[str, Any]
    created_at: Instant
    read_at: Instant | None = None


class NotificationPage(Out):
    """`unread` counts all of the caller's, not only this page's."""

    items: list[NotificationOut]
    unread: int
    next_cursor: NotificationId | None = None


@route("GET", "/api/notifications")
async def list_notifications(request: Request, query: PageQuery) -> NotificationPage:
    found, unread = await request.services.notifications.of_user(
        request.user, before=query.cursor, limit=query.limit + 1
    )
    language = language_of(request.http)
    items = [present(one, language) for one in found[: query.limit]]
    more = len(found) > query.limit
    return NotificationPage(items=items, unread=unread, next_cursor=items[-1].id if more else None)


@route("POST", "/api/notifications/read/{notification}", status=204)
async def read_notification(request: Request, notification: NotificationId) -> None:
    await request.services.notifications.read(request.user, notification)


@route("POST", "/api/notifications/read-all", status=204)
async def read_all_notifications(request: Request) -> None:
    await request.services.notifications.read_all(request.user)


def present(one: Notification, language: str) -> NotificationOut:
    title, body = words_of(one, language)
    return NotificationOut(
        id=one.id,
        kind=one.kind,
        title=title,
        body=body,
        facts=dict(one.facts),
        created_at=one.created_at,
        read_at=one.read_at,
    )


ROUTES = [list_notifications, read_notification, read_all_notifications]
