"""Table coupons."""

from datetime import datetime
from uuid import UUID

import asyncpg

from liveserver.models.ids import CouponId, CourseId, OrderId, uuid7
from liveserver.models.payments import Coupon
from liveserver.storage.postgres import Connection

_COLUMNS = "id, course_id, code, percent, max_uses, uses, expires_at, ended_at"


def _coupon(row: asyncpg.Record) -> Coupon:
    return Coupon(**dict(row))


async def insert(
    conn: Connection,
    course_id: CourseId,
    *,
    code: str,
    percent: int,
    max_uses: int | None,
    expires_at: datetime | None,
) -> Coupon | None:
    """Return the new coupon, or None when the course has one of that code."""
    row = await conn.fetchrow(
        "INSERT INTO coupons (id, course_id, code, percent, max_uses, expires_at)"
        f" VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (course_id, code) DO NOTHING RETURNING {_COLUMNS}",
        uuid7(),
        course_id,
        code,
        percent,
        max_uses,
        expires_at,
    )
    return _coupon(row) if row else None


async def of_course(
    conn: Connection, course_id: CourseId, *, before: UUID | None, limit: int
) -> list[Coupon]:
    rows = await conn.fetch(
        f"SELECT {_COLUMNS} FROM coupons WHERE course_id = $1 AND ($2::uuid IS NULL OR id < $2)"
        " ORDER BY id DESC LIMIT $3",
        course_id,
        before,
        limit,
    )
    return [_coupon(row) for row in rows]


async def lock(conn: Connection, course_id: CourseId, code: str) -> Coupon | None:
    row = await conn.fetchrow(
        f"SELECT {_COLUMNS} FROM coupons WHERE course_id = $1 AND code = $2 FOR UPDATE", course_id, code
    )
    return _coupon(row) if row else None


async def use(conn: Connection, coupon_id: CouponId) -> None:
    await conn.execute("UPDATE coupons SET uses = uses + 1 WHERE id = $1", coupon_id)


async def give_back(conn: Connection, order_id: OrderId) -> None:
    """An order that came to nothing has used no coupon; said twice, it is given back once."""
    await conn.execute(
        "WITH o AS (UPDATE orders SET coupon_returned = true"
        " WHERE id = $1 AND coupon_id IS NOT NULL AND NOT coupon_returned RETURNING coupon_id)"
        " UPDATE coupons SET uses = uses - 1 FROM o WHERE coupons.id = o.coupon_id AND uses > 0",
        order_id,
    )


async def take_again(conn: Connection, order_id: OrderId) -> None:
    """An order that was given up is paid all the same: it counts, unless others have used its coupon up."""
    await conn.execute(
        "WITH o AS (UPDATE orders SET coupon_returned = false"
        " WHERE id = $1 AND coupon_returned RETURNING coupon_id)"
        " UPDATE coupons SET uses = uses + 1 FROM o WHERE coupons.id = o.coupon_id"
        " AND (max_uses IS NULL OR uses < max_uses)",
        order_id,
    )


async def end(conn: Connection, course_id: CourseId, coupon_id: CouponId) -> bool:
    row = await conn.fetchrow(
        "UPDATE coupons SET ended_at = coalesce(ended_at, now())"
        " WHERE id = $1 AND course_id = $2 RETURNING 1",
        coupon_id,
        course_id,
    )
    return row is not None
