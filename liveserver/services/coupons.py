"""Coupons of a course: its owner makes, lists and ends them."""

from datetime import datetime
from uuid import UUID

from liveserver.errors import CouponTaken, NotFound, NotOwner
from liveserver.models.accounts import User
from liveserver.models.ids import CouponId, CourseId
from liveserver.models.payments import Coupon
from liveserver.services.courses import taught
from liveserver.storage import coupons
from liveserver.storage.postgres import Connection, Database


class Coupons:
    """Raises NotFound for who does not teach the course, NotOwner for who only helps."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def make(
        self,
        owner: User,
        course_id: CourseId,
        *,
        code: str,
        percent: int,
        max_uses: int | None,
        expires_at: datetime | None,
    ) -> Coupon:
        """Raises CouponTaken."""
        async with self._database.transaction() as conn:
            await _owned(conn, owner, course_id)
            made = await coupons.insert(
                conn, course_id, code=code, percent=percent, max_uses=max_uses, expires_at=expires_at
            )
        if made is None:
            raise CouponTaken
        return made

    async def of_course(
        self, owner: User, course_id: CourseId, *, before: UUID | None, limit: int
    ) -> list[Coupon]:
        """Return a page, newest first."""
        async with self._database.connection() as conn:
            await _owned(conn, owner, course_id)
            return await coupons.of_course(conn, course_id, before=before, limit=limit)

    async def end(self, owner: User, course_id: CourseId, coupon_id: CouponId) -> None:
        async with self._database.transaction() as conn:
            await _owned(conn, owner, course_id)
            if not await coupons.end(conn, course_id, coupon_id):
                raise NotFound


async def _owned(conn: Connection, owner: User, course_id: CourseId) -> None:
    course = await taught(conn, owner, course_id)
    if course.instructor_id != owner.id:
        raise NotOwner
