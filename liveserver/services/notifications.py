"""Telling people what happened: written with the deed, shown at once, never twice."""

from collections.abc import Sequence
from uuid import UUID

from liveserver.errors import NotFound
from liveserver.models.accounts import User
from liveserver.models.ids import CourseId, NotificationId, UserId
from liveserver.models.notifications import Notification, NotificationKind
from liveserver.storage import jobs, notifications
from liveserver.storage.bus import Bus
from liveserver.storage.postgres import Connection, Database


class Notifications:
    def __init__(self, database: Database, bus: Bus, *, mailed_by: str | None) -> None:
        """`mailed_by` is the kind of job that mails a notification; None: they stay in the app."""
        self._database = database
        self._bus = bus
        self._mailed_by = mailed_by

    async def tell(
        self, conn: Connection, users: Sequence[UserId], kind: NotificationKind, key: str, **facts: object
    ) -> str:
        """Write a notification in the deed's own transaction; `key` names the fact, so it is told once.

        Returns the key, to `push` when the transaction is done.
        """
        told = await notifications.insert(conn, users, kind, key, facts)
        if told and self._mailed_by is not None:
            await jobs.enqueue(conn, self._mailed_by, {"key": key})
        return key

    async def tell_students(
        self, conn: Connection, course_id: CourseId, kind: NotificationKind, key: str, **facts: object
    ) -> str:
        """Tell everybody who is enrolled in a course."""
        return await self.tell(conn, await notifications.students_of(conn, course_id), kind, key, **facts)

    async def push(self, key: str) -> None:
        """Show a committed notification to who is connected now; everybody else finds it in the list."""
        await self._bus.publish("notified", key=key)

    async def told(self, key: str, users: Sequence[UserId]) -> list[Notification]:
        """Return what these people were told under a key."""
        async with self._database.connection() as conn:
            return await notifications.told(conn, key, users)

    async def of_user(self, user: User, *, before: UUID | None, limit: int) -> tuple[list[Notification], int]:
        """Return a page, newest first, and how many are unread."""
        async with self._database.connection() as conn:
            found = await notifications.of_user(conn, user.id, before=before, limit=limit)
            return found, await notifications.unread(conn, user.id)

    async def read(self, user: User, notification_id: NotificationId) -> None:
        """Mark as read; again changes nothing. Raises NotFound for somebody else's."""
        async with self._database.connection() as conn:
            if not await notifications.mark_read(conn, user.id, notification_id):
                raise NotFound

    async def read_all(self, user: User) -> None:
        async with self._database.connection() as conn:
            await notifications.mark_all_read(conn, user.id)
