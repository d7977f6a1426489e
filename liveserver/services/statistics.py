"""Figures: of the school for its admin, of a course and a class for who teaches it."""

import contextlib
import time
from collections.abc import Mapping
from dataclasses import asdict
from uuid import UUID

from liveserver.errors import NotFound, SeatsUnavailable
from liveserver.models.accounts import Role, User
from liveserver.models.ids import CourseId, LiveSessionId
from liveserver.models.statistics import CourseFigures, SchoolFigures, SessionFigures, Viewing
from liveserver.services.attendance import Attendance
from liveserver.services.courses import taught
from liveserver.storage import live_sessions, statistics
from liveserver.storage.postgres import Database

_SECONDS_KEPT = 10.0


class Statistics:
    def __init__(self, database: Database, attendance: Attendance) -> None:
        self._database = database
        self._attendance = attendance
        self._viewing: dict[str, Viewing] = {}  # by class, what the database has not been told yet
        self._school: SchoolFigures | None = None
        self._read_at = float("-inf")

    async def school(self) -> SchoolFigures:
        """Return the school's figures, at most ten seconds old: `as_of` says how old."""
        if self._school is None or time.monotonic() - self._read_at > _SECONDS_KEPT:
            async with self._database.connection() as conn:
                self._school = await statistics.school(conn)
            self._read_at = time.monotonic()
        return self._school

    async def course(self, instructor: User, course_id: CourseId) -> CourseFigures:
        async with self._database.connection() as conn:
            await taught(conn, instructor, course_id)
            return await statistics.course(conn, course_id)

    async def note_viewing(self, rooms: Mapping[str, Mapping[str, float]]) -> None:
        """Add what the media workers saw of how their classes arrive; what cannot be noted now is later."""
        for room, seen in rooms.items():
            self._viewing.setdefault(room, Viewing()).add(**seen)
        taken, self._viewing = self._viewing, {}
        try:
            async with self._database.transaction() as conn:
                for room, sums in sorted(taken.items()):
                    await live_sessions.add_viewing(conn, LiveSessionId(UUID(room)), sums)
        except BaseException:
            for room, sums in taken.items():
                self._viewing.setdefault(room, Viewing()).add(**asdict(sums))
            raise

    async def session(self, viewer: User, session_id: LiveSessionId) -> SessionFigures:
        async with self._database.connection() as conn:
            session = await live_sessions.by_id(conn, session_id)
        if session is None or not (viewer.role is Role.ADMIN or viewer.id in session.staff):
            raise NotFound
        if session.ended_at is None and session.started_at is not None:
            with contextlib.suppress(SeatsUnavailable):
                await self._attendance.drain(session_id)
        async with self._database.connection() as conn:
            return await statistics.session(conn, session_id)
