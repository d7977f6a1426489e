"""An admin's list of other systems to tell, and how the telling went."""

from typing import Annotated, Any

from pydantic import Field

from api.contract import Request, route
from api.scalars import Body, Instant, Out, PageQuery, WebAddress
from liveserver.models.accounts import Role
from liveserver.models.ids import WebhookId
from liveserver.models.webhooks import DeliveryStatus, Webhook, WebhookEvent

_ADMIN = {Role.ADMIN}


class WebhookIn(Body):
    url: WebAddress
    events: Annotated[list[WebhookEvent], Field(min_length=1, max_length=len(WebhookEvent))]


class WebhookOut(Out):
    id: WebhookId
    url: str
    events: list[WebhookEvent]
    created_at: Instant


class NewWebhookOut(WebhookOut):
    """`secret` is told this once. Every delivery is signed with it: its header is
    `Liveserver-Signature: t=<seconds>,v1=<hex>`, the HMAC-SHA256 of `<seconds>.<body>`.
    """

    secret: str


class DeliveryOut(Out):
    """`response` is the receiver's status, or in a word why there was none."""

    id: WebhookId
    event: WebhookEvent
    payload: dict[str, Any]
    status: DeliveryStatus
    attempts: int
    response: str | None = None
    created_at: Instant
    attempted_at: Instant | None = None


class DeliveryPage(Out):
    items: list[DeliveryOut]
    next_cursor: WebhookId | None = None


@route("POST", "/api/admin/webhooks", status=201, roles=_ADMIN)
async def add_webhook(request: Request, body: WebhookIn) -> NewWebhookOut:
    made, secret = await request.services.webhooks.add(request.user, body.url, body.events)
    return NewWebhookOut(**_out(made).model_dump(), secret=secret)


@route("GET", "/api/admin/webhooks", roles=_ADMIN)
async def list_webhooks(request: Request) -> list[WebhookOut]:
    return [_out(one) for one in await request.services.webhooks.everything()]


@route("DELETE", "/api/admin/webhooks/{webhook}", status=204, roles=_ADMIN)
async def remove_webhook(request: Request, webhook: WebhookId) -> None:
    await request.services.webhooks.remove(request.user, webhook)


@route("GET", "/api/admin/webhooks/{webhook}/deliveries", roles=_ADMIN)
async def list_deliveries(request: Request, webhook: WebhookId, query: PageQuery) -> DeliveryPage:
    found = await request.services.webhooks.log(webhook, before=query.cursor, limit=query.limit + 1)
    items = [DeliveryOut.model_validate(one) for one in found[: query.limit]]
    return DeliveryPage(items=items, next_cursor=items[-1].id if len(found) > query.limit else None)


def _out(webhook: Webhook) -> WebhookOut:
    return WebhookOut(
        id=webhook.id, url=webhook.url, events=list(webhook.events), created_at=webhook.created_at
    )


ROUTES = [add_webhook, list_webhooks, remove_webhook, list_deliveries]
