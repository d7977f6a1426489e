"""Telling other systems what happened: signed, retried, logged."""

import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from liveserver.errors import NotFound
from liveserver.models.accounts import User
from liveserver.models.ids import WebhookId
from liveserver.models.webhooks import RETRIES, Delivery, DeliveryStatus, Webhook, WebhookEvent
from liveserver.services.sealing import seal, unseal
from liveserver.storage import audit, jobs, webhooks
from liveserver.storage.jobs import Payload
from liveserver.storage.postgres import Connection, Database

DELIVER = "webhook.deliver"
_PURPOSE = b"webhook-secret"


class Poster(Protocol):
    """What speaks HTTP to strangers; returns the status or, in a word, why there is none."""

    async def post(self, url: str, body: bytes, headers: dict[str, str]) -> int | str: ...


class Webhooks:
    def __init__(self, database: Database, poster: Poster, *, secret: str) -> None:
        self._database = database
        self._poster = poster
        self._secret = secret.encode()

    async def emit(self, conn: Connection, event: WebhookEvent, **facts: object) -> None:
        """Plan to tell everybody who asked for this event, in the deed's own transaction."""
        for delivery in await webhooks.plan(conn, event, facts):
            await jobs.enqueue(conn, DELIVER, {"delivery": str(delivery)})

    async def add(self, admin: User, url: str, events: Sequence[WebhookEvent]) -> tuple[Webhook, str]:
        """Register an address; return it with the secret its receiver checks signatures by, told once."""
        secret = "whs_" + secrets.token_urlsafe(32)
        async with self._database.transaction() as conn:
            made = await webhooks.insert(conn, url, seal(self._secret, _PURPOSE, secret.encode()), events)
            await audit.write(conn, admin.id, "webhook.added", made.id, url=url, events=list(events))
        return made, secret

    async def everything(self) -> list[Webhook]:
        async with self._database.connection() as conn:
            return await webhooks.everything(conn)

    async def remove(self, admin: User, webhook_id: WebhookId) -> None:
        async with self._database.transaction() as conn:
            if not await webhooks.remove(conn, webhook_id):
                raise NotFound
            await audit.write(conn, admin.id, "webhook.removed", webhook_id)

    async def log(self, webhook_id: WebhookId, *, before: UUID | None, limit: int) -> list[Delivery]:
        async with self._database.connection() as conn:
            if await webhooks.by_id(conn, webhook_id) is None:
                raise NotFound
            return await webhooks.log(conn, webhook_id, before=before, limit=limit)

    async def deliver(self, payload: Payload) -> None:
        """Try one delivery; a job. It is tried again for a day and a half, then given up."""
        delivery_id = WebhookId(UUID(payload["delivery"]))
        async with self._database.connection() as conn:
            delivery = await webhooks.delivery(conn, delivery_id)
            if delivery is None or delivery.status is not DeliveryStatus.PENDING:
                return
            webhook = await webhooks.by_id(conn, delivery.webhook_id)
        if webhook is None:
            answer: int | str = "removed"
        else:
            answer = await self._post(webhook, delivery)
        delivered = isinstance(answer, int) and 200 <= answer < 300
        again = not delivered and webhook is not None and delivery.attempts < len(RETRIES)
        status = DeliveryStatus.DELIVERED if delivered else DeliveryStatus.FAILED
        async with self._database.transaction() as conn:
            await webhooks.note(conn, delivery_id, DeliveryStatus.PENDING if again else status, str(answer))
            if again:
                await jobs.enqueue(conn, DELIVER, payload, after=RETRIES[delivery.attempts])

    async def _post(self, webhook: Webhook, delivery: Delivery) -> int | str:
        body = json.dumps(
            {
                "id": str(delivery.id),
                "event": delivery.event,
                "createdAt": delivery.created_at.isoformat().replace("+00:00", "Z"),
                "data": delivery.payload,
            },
            ensure_ascii=False,
        ).encode()
        at = int(time.time())
        key = unseal(self._secret, _PURPOSE, webhook.secret_sealed)
        signature = hmac.new(key, f"{at}.".encode() + body, hashlib.sha256).hexdigest()
        headers = {
            "Content-Type": "application/json",
            "Liveserver-Event": delivery.event,
            "Liveserver-Delivery": str(delivery.id),
            "Liveserver-Signature": f"t={at},v1={signature}",
        }
        return await self._poster.post(webhook.url, body, headers)
