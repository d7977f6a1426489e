"""Tables attendance_cursors, attendance_events and attendance_intervals.

The seat ledger's stream is the only writer of intervals: events are folded in order, under the lock of
the session's cursor, each in the transaction that writes it down. Delivery is at least once, the effect
exactly once: an event that is written down already is passed over.
"""

from collections.abc import Sequence
from datetime import datetime

from liveserver.models.attendance import Interval
from liveserver.models.ids import CourseId, LessonId, LiveSessionId, UserId, uuid7
from liveserver.storage.postgres import Connection
from liveserver.storage.seats import SeatEvent

_OPENS = {"seated", "asserted"}
_CLOSES = {"left", "dropped", "expired", "kicked", "banned", "ended"}


async def lock_cursor(conn: Connection, session_id: LiveSessionId) -> bool:
    """Make the caller the session's one consumer; return whether the attendance is final."""
    await conn.execute(
        "INSERT INTO attendance_cursors (session_id) VALUES ($1) ON CONFLICT DO NOTHING",
        session_id,
    )
    row = await conn.fetchrow(
        "SELECT final FROM attendance_cursors WHERE session_id = $1 FOR UPDATE",
        session_id,
    )
    assert row is not None  # noqa: S101 - inserted above
    return bool(row["final"])


async def fold(conn: Connection, session_id: LiveSessionId, events: Sequence[SeatEvent]) -> list[SeatEvent]:
    """Apply events in the order of the stream; return those that were not applied before."""
    applied = []
    for event in events:
        fresh = await conn.fetchval(
            "INSERT INTO attendance_events"
            " (session_id, epoch, stream_id, event, user_id, fence, slot, at, extra)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING RETURNING 1",
            session_id,
            event.epoch,
            event.stream_id,
            event.event,
            event.user_id,
            event.fence,
            event.slot,
            event.at,
            event.extra,
        )
        if not fresh:
            continue
        applied.append(event)
        if event.event in _OPENS:
            await _open(conn, session_id, event)
        elif event.event in _CLOSES:
            await _close(conn, session_id, event)
    return applied


async def _open(conn: Connection, session_id: LiveSessionId, event: SeatEvent) -> None:
    # DO NOTHING covers both backstops: the slot or the person already has an open interval.
    await conn.execute(
        "INSERT INTO attendance_intervals (id, session_id, user_id, role, slot_no, epoch, fence,"
        " joined_at, last_seen_at) SELECT $1, $2, $3, $4, $5, $6, $7,"
        " greatest($8::timestamptz, coalesce((SELECT max(left_at) FROM attendance_intervals"
        " WHERE session_id = $2 AND user_id = $3), $8)), $8 ON CONFLICT DO NOTHING",
        uuid7(),
        session_id,
        event.user_id,
        "student" if event.slot else "staff",
        event.slot or None,
        event.epoch,
        event.fence,
        event.at,
    )


async def _close(conn: Connection, session_id: LiveSessionId, event: SeatEvent) -> None:
    await conn.execute(
        "UPDATE attendance_intervals SET left_at = greatest(joined_at, $3), leave_reason = $4,"
        " last_seen_at = greatest(last_seen_at, $3)"
        " WHERE session_id = $1 AND user_id = $2 AND left_at IS NULL",
        session_id,
        event.user_id,
        event.at,
        event.event,
    )


async def has_open(conn: Connection, session_id: LiveSessionId, user_id: UserId, slot: int) -> bool:
    """Return whether this person holds this slot in the ledger's truth (slot 0: staff)."""
    return bool(
        await conn.fetchval(
            "SELECT 1 FROM attendance_intervals WHERE session_id = $1 AND user_id = $2"
            " AND left_at IS NULL AND coalesce(slot_no, 0) = $3",
            session_id,
            user_id,
            slot,
        )
    )


async def seen(conn: Connection, session_id: LiveSessionId, user_ids: Sequence[UserId], at: datetime) -> None:
    """Note that these people were there, so that losing every server loses seconds only."""
    await conn.execute(
        "UPDATE attendance_intervals SET last_seen_at = greatest(last_seen_at, $3)"
        " WHERE session_id = $1 AND user_id = ANY($2) AND left_at IS NULL",
        session_id,
        list(user_ids),
        at,
    )


async def last_seen(conn: Connection, session_id: LiveSessionId) -> datetime | None:
    """Return when anybody was last known to be there."""
    at: datetime | None = await conn.fetchval(
        "SELECT max(last_seen_at) FROM attendance_intervals WHERE session_id = $1", session_id
    )
    return at


async def close_lost(conn: Connection, session_id: LiveSessionId, present: Sequence[UserId]) -> None:
    """After a rebuild: end the stays of everybody whom no server has, when they were last seen."""
    await conn.execute(
        "UPDATE attendance_intervals SET left_at = greatest(joined_at, last_seen_at),"
        " leave_reason = 'server_lost'"
        " WHERE session_id = $1 AND left_at IS NULL AND NOT user_id = ANY($2)",
        session_id,
        list(present),
    )


async def finalise(conn: Connection, session_id: LiveSessionId, ended_at: datetime) -> None:
    """Close what is still open at the end's time and forbid further folding."""
    await conn.execute(
        "UPDATE attendance_intervals SET left_at = greatest(joined_at, $2), leave_reason = 'ended'"
        " WHERE session_id = $1 AND left_at IS NULL",
        session_id,
        ended_at,
    )
    await conn.execute(
        "INSERT INTO attendance_cursors (session_id, final) VALUES ($1, true)"
        " ON CONFLICT (session_id) DO UPDATE SET final = true",
        session_id,
    )


async def people(
    conn: Connection, session_id: LiveSessionId, course_id: CourseId
) -> list[tuple[UserId, str, str]]:
    """Return id, name and e-mail of every enrolled student and every student who was there."""
    rows = await conn.fetch(
        "SELECT u.id, u.name, u.email FROM users u WHERE u.id IN ("
        " SELECT student_id FROM enrollments WHERE course_id = $2 AND removed_at IS NULL"
        " UNION SELECT user_id FROM attendance_intervals WHERE session_id = $1"
        " AND role = 'student') ORDER BY u.name, u.id",
        session_id,
        course_id,
    )
    return [(row["id"], row["name"], row["email"]) for row in rows]


async def intervals(
    conn: Connection, session_id: LiveSessionId, role: str = "student"
) -> dict[UserId, list[Interval]]:
    rows = await conn.fetch(
        "SELECT user_id, joined_at, left_at, leave_reason FROM attendance_intervals"
        " WHERE session_id = $1 AND role = $2 ORDER BY joined_at",
        session_id,
        role,
    )
    by_user: dict[UserId, list[Interval]] = {}
    for row in rows:
        by_user.setdefault(row["user_id"], []).append(
            Interval(
                joined_at=row["joined_at"],
                left_at=row["left_at"],
                leave_reason=row["leave_reason"],
            )
        )
    return by_user


async def percent_of_lesson(conn: Connection, student: UserId, lesson_id: LessonId) -> int:
    """Return which share of the best attended ended class of a lesson somebody was there, whole percent.

    Of a class held elsewhere all that is known is who opened its address: they were there.
    """
    percent: int = await conn.fetchval(
        "SELECT coalesce(max(share), 0)::integer FROM ("
        " SELECT floor(100 * extract(epoch FROM sum(a.left_at - a.joined_at))"
        " / greatest(extract(epoch FROM v.ended_at - v.started_at), 1)) AS share"
        " FROM live_sessions v JOIN attendance_intervals a ON a.session_id = v.id"
        " WHERE v.lesson_id = $2 AND v.status = 'ended' AND a.user_id = $1 GROUP BY v.id"
        " UNION ALL SELECT 100 FROM live_sessions v JOIN link_visits l ON l.session_id = v.id"
        " WHERE v.lesson_id = $2 AND l.user_id = $1) AS classes",
        student,
        lesson_id,
    )
    return min(100, percent)
