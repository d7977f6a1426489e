"""Tables webhooks and webhook_deliveries."""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import asyncpg

from liveserver.models.ids import WebhookId, uuid7
from liveserver.models.webhooks import Delivery, DeliveryStatus, Webhook, WebhookEvent
from liveserver.storage.postgres import Connection

_COLUMNS = "id, url, events, secret_sealed, created_at"
_DELIVERY = "id, webhook_id, event, payload, status, attempts, response, created_at, attempted_at"


def _webhook(row: asyncpg.Record) -> Webhook:
    return Webhook(
        id=row["id"],
        url=row["url"],
        events=[WebhookEvent(one) for one in row["events"]],
        secret_sealed=row["secret_sealed"],
        created_at=row["created_at"],
    )


def _delivery(row: asyncpg.Record) -> Delivery:
    return Delivery(
        id=row["id"],
        webhook_id=row["webhook_id"],
        event=WebhookEvent(row["event"]),
        payload=json.loads(row["payload"]),
        status=DeliveryStatus(row["status"]),
        attempts=row["attempts"],
        response=row["response"],
        created_at=row["created_at"],
        attempted_at=row["attempted_at"],
    )


async def insert(conn: Connection, url: str, sealed: bytes, events: Sequence[WebhookEvent]) -> Webhook:
    row = await conn.fetchrow(
        f"INSERT INTO webhooks (id, url, secret_sealed, events) VALUES ($1, $2, $3, $4) RETURNING {_COLUMNS}",
        uuid7(),
        url,
        sealed,
        list(events),
    )
    assert row is not None  # noqa: S101 - RETURNING of an insert
    return _webhook(row)


async def everything(conn: Connection) -> list[Webhook]:
    rows = await conn.fetch(f"SELECT {_COLUMNS} FROM webhooks WHERE removed_at IS NULL ORDER BY id")
    return [_webhook(row) for row in rows]


async def by_id(conn: Connection, webhook_id: WebhookId) -> Webhook | None:
    row = await conn.fetchrow(
        f"SELECT {_COLUMNS} FROM webhooks WHERE id = $1 AND removed_at IS NULL", webhook_id
    )
    return _webhook(row) if row else None


async def remove(conn: Connection, webhook_id: WebhookId) -> bool:
    row = await conn.fetchrow(
        "UPDATE webhooks SET removed_at = now() WHERE id = $1 AND removed_at IS NULL RETURNING 1", webhook_id
    )
    return row is not None


async def plan(conn: Connection, event: WebhookEvent, payload: Mapping[str, Any]) -> list[WebhookId]:
    """Write a delivery for everybody who wants this event; return their ids."""
    rows = await conn.fetch(
        "SELECT id FROM webhooks WHERE removed_at IS NULL AND $1 = ANY(events) ORDER BY id", event
    )
    deliveries = [(WebhookId(uuid7()), row["id"]) for row in rows]
    for delivery, webhook in deliveries:
        await conn.execute(
            "INSERT INTO webhook_deliveries (id, webhook_id, event, payload) VALUES ($1, $2, $3, $4)",
            delivery,
            webhook,
            event,
            json.dumps(payload, default=str),
        )
    return [delivery for delivery, _ in deliveries]


async def delivery(conn: Connection, delivery_id: WebhookId) -> Delivery | None:
    row = await conn.fetchrow(f"SELECT {_DELIVERY} FROM webhook_deliveries WHERE id = $1", delivery_id)
    return _delivery(row) if row else None


async def note(conn: Connection, delivery_id: WebhookId, status: DeliveryStatus, response: str) -> None:
    await conn.execute(
        "UPDATE webhook_deliveries SET status = $2, response = $3, attempts = attempts + 1,"
        " attempted_at = now() WHERE id = $1",
        delivery_id,
        status,
        response[:200],
    )


async def log(conn: Connection, webhook_id: WebhookId, *, before: UUID | None, limit: int) -> list[Delivery]:
    rows = await conn.fetch(
        f"SELECT {_DELIVERY} FROM webhook_deliveries WHERE webhook_id = $1 AND ($2::uuid IS NULL OR id < $2)"
        " ORDER BY id DESC LIMIT $3",
        webhook_id,
        before,
        limit,
    )
    return [_delivery(row) for row in rows]
