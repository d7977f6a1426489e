"""Tables orders, payment_events and ledger_entries."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

import asyncpg

from liveserver.models.ids import CouponId, CourseId, OrderId, UserId, uuid7
from liveserver.models.payments import Checkout, EventKind, Order, OrderStatus, PaymentEvent, RevenueRow
from liveserver.storage.postgres import Connection

_SELECT = """
    SELECT o.id, o.student_id, o.course_id, c.title AS course_title, o.amount, o.currency, o.status,
        o.provider, o.payment_ref, o.checkout_url, o.created_at, o.paid_at,
        (SELECT p.code FROM coupons p WHERE p.id = o.coupon_id) AS coupon
    FROM orders o JOIN courses c ON c.id = o.course_id
"""


def _order(row: asyncpg.Record) -> Order:
    return Order(
        id=row["id"],
        student_id=row["student_id"],
        course_id=row["course_id"],
        course_title=row["course_title"],
        amount=row["amount"],
        currency=row["currency"],
        status=OrderStatus(row["status"]),
        provider=row["provider"],
        payment_ref=row["payment_ref"],
        checkout_url=row["checkout_url"],
        created_at=row["created_at"],
        paid_at=row["paid_at"],
        coupon=row["coupon"],
    )


async def insert(
    conn: Connection,
    student: UserId,
    course_id: CourseId,
    *,
    amount: int,
    currency: str,
    coupon: CouponId | None,
    provider: str,
    key: str | None,
) -> OrderId:
    order = OrderId(uuid7())
    await conn.execute(
        "INSERT INTO orders (id, student_id, course_id, amount, currency, coupon_id, status, provider,"
        " idempotency_key) VALUES ($1, $2, $3, $4, $5, $6, 'created', $7, $8)",
        order,
        student,
        course_id,
        amount,
        currency,
        coupon,
        provider,
        key,
    )
    return order


async def by_id(conn: Connection, order_id: OrderId) -> Order | None:
    row = await conn.fetchrow(_SELECT + " WHERE o.id = $1", order_id)
    return _order(row) if row else None


async def lock(conn: Connection, order_id: OrderId) -> Order | None:
    await conn.execute("SELECT 1 FROM orders WHERE id = $1 FOR UPDATE", order_id)
    return await by_id(conn, order_id)


async def by_key(conn: Connection, student: UserId, key: str) -> Order | None:
    row = await conn.fetchrow(_SELECT + " WHERE o.student_id = $1 AND o.idempotency_key = $2", student, key)
    return _order(row) if row else None


async def open_of(conn: Connection, student: UserId, course_id: CourseId) -> Order | None:
    """Return the order that is to be paid or waits for somebody to look at it."""
    row = await conn.fetchrow(
        _SELECT + " WHERE o.student_id = $1 AND o.course_id = $2 AND o.status IN ('created', 'held')"
        " ORDER BY o.status = 'held' DESC, o.id DESC LIMIT 1",
        student,
        course_id,
    )
    return _order(row) if row else None


async def id_of_checkout(conn: Connection, provider: str, checkout_ref: str) -> OrderId | None:
    found: OrderId | None = await conn.fetchval(
        "SELECT id FROM orders WHERE provider = $1 AND provider_ref = $2", provider, checkout_ref
    )
    return found


async def id_of_payment(conn: Connection, provider: str, payment_ref: str) -> OrderId | None:
    found: OrderId | None = await conn.fetchval(
        "SELECT id FROM orders WHERE provider = $1 AND payment_ref = $2", provider, payment_ref
    )
    return found


async def set_checkout(conn: Connection, order_id: OrderId, checkout: Checkout) -> None:
    await conn.execute(
        "UPDATE orders SET provider_ref = $2, checkout_url = $3 WHERE id = $1",
        order_id,
        checkout.ref,
        checkout.url,
    )


async def set_status(
    conn: Connection, order_id: OrderId, status: OrderStatus, *, payment_ref: str | None = None
) -> None:
    await conn.execute(
        "UPDATE orders SET status = $2, payment_ref = coalesce($3, payment_ref),"
        " paid_at = CASE WHEN $2 = 'paid' THEN now() ELSE paid_at END WHERE id = $1",
        order_id,
        status,
        payment_ref,
    )


async def has_paid(conn: Connection, student: UserId, course_id: CourseId) -> bool:
    return bool(
        await conn.fetchval(
            "SELECT 1 FROM orders WHERE student_id = $1 AND course_id = $2 AND status = 'paid' LIMIT 1",
            student,
            course_id,
        )
    )


async def lock_unpaid(conn: Connection, before: datetime) -> list[OrderId]:
    """Return orders nobody can have paid that are open or keep a coupon; who else sweeps passes them over."""
    rows = await conn.fetch(
        "SELECT id FROM orders WHERE created_at < $1 AND (status = 'created'"
        " OR (status = 'failed' AND coupon_id IS NOT NULL AND NOT coupon_returned))"
        " ORDER BY created_at LIMIT 100 FOR UPDATE SKIP LOCKED",
        before,
    )
    return [row["id"] for row in rows]


async def take_turns(conn: Connection, provider: str, payment_ref: str) -> None:
    """Let who tells of the same payment wait until this transaction is over."""
    await conn.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"payment {provider} {payment_ref}"
    )


async def note_event(conn: Connection, provider: str, event: PaymentEvent, order_id: OrderId | None) -> bool:
    """Write an event down; False when it was told before."""
    row = await conn.fetchrow(
        "INSERT INTO payment_events (provider, event_id, kind, order_id, payment_ref, amount, currency)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING RETURNING 1",
        provider,
        event.id,
        event.kind,
        order_id,
        event.payment_ref,
        event.amount,
        event.currency,
    )
    return row is not None


async def paid_of(conn: Connection, order_id: OrderId) -> tuple[int, str] | None:
    """Return what was paid for an order, in minor units, and the currency; the last word counts."""
    row = await conn.fetchrow(
        "SELECT amount, currency FROM payment_events WHERE order_id = $1 AND kind = 'paid'"
        " ORDER BY at DESC LIMIT 1",
        order_id,
    )
    return (row["amount"], row["currency"]) if row else None


async def claim_early(
    conn: Connection, provider: str, payment_ref: str, order_id: OrderId
) -> list[PaymentEvent]:
    """Return what was told of a payment before anybody knew whose it is; from now on it is the order's."""
    rows = await conn.fetch(
        "UPDATE payment_events SET order_id = $3 WHERE provider = $1 AND payment_ref = $2"
        " AND order_id IS NULL RETURNING event_id, kind, amount, at",
        provider,
        payment_ref,
        order_id,
    )
    return [
        PaymentEvent(id=row["event_id"], kind=EventKind(row["kind"]), amount=row["amount"])
        for row in sorted(rows, key=lambda row: row["at"])
    ]


async def enter(conn: Connection, order: Order, kind: str, amount: int, currency: str | None = None) -> None:
    """Write money that moved into the ledger; `kind` is charge or refund, the currency the order's."""
    await conn.execute(
        "INSERT INTO ledger_entries (id, order_id, kind, amount, currency) VALUES ($1, $2, $3, $4, $5)",
        uuid7(),
        order.id,
        kind,
        amount,
        currency or order.currency,
    )


async def entered(conn: Connection, order_id: OrderId, kind: str) -> int:
    """Return what was charged or refunded of an order so far."""
    total: int = await conn.fetchval(
        "SELECT coalesce(sum(amount), 0)::bigint FROM ledger_entries WHERE order_id = $1 AND kind = $2",
        order_id,
        kind,
    )
    return total


async def of_student(conn: Connection, student: UserId, *, before: UUID | None, limit: int) -> list[Order]:
    rows = await conn.fetch(
        _SELECT + " WHERE o.student_id = $1 AND ($2::uuid IS NULL OR o.id < $2) ORDER BY o.id DESC LIMIT $3",
        student,
        before,
        limit,
    )
    return [_order(row) for row in rows]


async def of_status(
    conn: Connection, status: OrderStatus | None, *, before: UUID | None, limit: int
) -> list[Order]:
    rows = await conn.fetch(
        _SELECT + " WHERE ($1::text IS NULL OR o.status = $1) AND ($2::uuid IS NULL OR o.id < $2)"
        " ORDER BY o.id DESC LIMIT $3",
        status,
        before,
        limit,
    )
    return [_order(row) for row in rows]


async def of_instructor(
    conn: Connection, instructor: UserId, *, before: UUID | None, limit: int
) -> list[Order]:
    """Return an instructor's sales."""
    rows = await conn.fetch(
        _SELECT + " WHERE c.instructor_id = $1 AND o.status <> 'created' AND o.status <> 'failed'"
        " AND ($2::uuid IS NULL OR o.id < $2) ORDER BY o.id DESC LIMIT $3",
        instructor,
        before,
        limit,
    )
    return [_order(row) for row in rows]


async def revenue(
    conn: Connection,
    *,
    start: date,
    end: date,
    timezone: str,
    course_id: CourseId | None,
    currency: str | None,
) -> list[RevenueRow]:
    """Return what moved on each day of a time zone, from `start` to `end`, both included."""
    rows: list[Any] = await conn.fetch(
        "SELECT (l.at AT TIME ZONE $3)::date AS day, o.course_id, c.title, l.currency,"
        " coalesce(sum(l.amount) FILTER (WHERE l.kind = 'charge'), 0)::bigint AS gross,"
        " coalesce(sum(l.amount) FILTER (WHERE l.kind = 'refund'), 0)::bigint AS refunded"
        " FROM ledger_entries l JOIN orders o ON o.id = l.order_id JOIN courses c ON c.id = o.course_id"
        " WHERE l.at >= ($1::date::timestamp AT TIME ZONE $3)"
        " AND l.at < (($2::date + 1)::timestamp AT TIME ZONE $3)"
        " AND ($4::uuid IS NULL OR o.course_id = $4) AND ($5::text IS NULL OR l.currency = $5)"
        " GROUP BY 1, 2, 3, 4 ORDER BY 1 DESC, 3, 4",
        start,
        end,
        timezone,
        course_id,
        currency,
    )
    return [
        RevenueRow(
            day=row["day"],
            course_id=row["course_id"],
            course_title=row["title"],
            currency=row["currency"],
            gross=row["gross"],
            refunded=row["refunded"],
        )
        for row in rows
    ]
