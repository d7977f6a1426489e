"""Table lesson_progress: what a student has seen and finished."""

from collections.abc import Sequence
from decimal import Decimal

import asyncpg

from liveserver.models.ids import CourseId, LessonId, UserId
from liveserver.models.progress import LessonMark
from liveserver.models.watching import Range, Watched
from liveserver.storage.postgres import Connection


async def of_course(conn: Connection, student: UserId, course_id: CourseId) -> dict[LessonId, LessonMark]:
    rows = await conn.fetch(
        "SELECT p.lesson_id, p.completed_at, p.position_seconds, p.watched_seconds, p.content_changed"
        " FROM lesson_progress p JOIN lessons l ON l.id = p.lesson_id JOIN sections s ON s.id = l.section_id"
        " WHERE p.student_id = $1 AND s.course_id = $2",
        student,
        course_id,
    )
    return {
        row["lesson_id"]: LessonMark(
            completed_at=row["completed_at"],
            position=row["position_seconds"],
            watched=row["watched_seconds"],
            content_changed=row["content_changed"],
        )
        for row in rows
    }


async def complete(conn: Connection, student: UserId, lesson_id: LessonId) -> bool:
    """Mark a lesson as finished; False when it was already."""
    row = await conn.fetchrow(
        "INSERT INTO lesson_progress (student_id, lesson_id, completed_at) VALUES ($1, $2, now())"
        " ON CONFLICT (student_id, lesson_id) DO UPDATE SET completed_at = now(), updated_at = now()"
        " WHERE lesson_progress.completed_at IS NULL RETURNING 1",
        student,
        lesson_id,
    )
    return row is not None


async def average(conn: Connection, course_id: CourseId) -> tuple[int, int, int]:
    """Return how many are enrolled, their mean percent, and how many have finished."""
    row = await conn.fetchrow(
        "SELECT count(*) AS students, coalesce(avg(progress), 0)::integer AS mean,"
        " count(*) FILTER (WHERE progress = 100) AS finished"
        " FROM enrollments WHERE course_id = $1 AND removed_at IS NULL",
        course_id,
    )
    assert row is not None  # noqa: S101 - an aggregate has one row
    return row["students"], row["mean"], row["finished"]


async def set_percent(conn: Connection, student: UserId, course_id: CourseId, percent: int) -> None:
    await conn.execute(
        "UPDATE enrollments SET progress = $3 WHERE student_id = $1 AND course_id = $2",
        student,
        course_id,
        percent,
    )


async def recount(conn: Connection, course_id: CourseId) -> None:
    """Compute everybody's percent anew: the course has other lessons now."""
    await conn.execute(
        "UPDATE enrollments e SET progress = n.percent FROM ("
        " SELECT e.id, (100 * count(p.lesson_id) / greatest(count(l.id), 1))::integer AS percent"
        " FROM enrollments e LEFT JOIN (lessons l JOIN sections s ON s.id = l.section_id"
        " AND s.deleted_at IS NULL AND l.deleted_at IS NULL AND l.published) ON s.course_id = e.course_id"
        " LEFT JOIN lesson_progress p ON p.lesson_id = l.id AND p.student_id = e.student_id"
        " AND p.completed_at IS NOT NULL WHERE e.course_id = $1 GROUP BY e.id"
        ") n WHERE n.id = e.id AND e.progress <> n.percent",
        course_id,
    )


async def lock_watched(conn: Connection, student: UserId, lesson_id: LessonId) -> Watched:
    """Return what a student has watched of a video, locked, so that what is added to it is."""
    await conn.execute(
        "INSERT INTO lesson_progress (student_id, lesson_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        student,
        lesson_id,
    )
    row = await conn.fetchrow(
        "SELECT watched, credited_at, credit_left FROM lesson_progress"
        " WHERE student_id = $1 AND lesson_id = $2 FOR UPDATE",
        student,
        lesson_id,
    )
    assert row is not None  # noqa: S101 - inserted above
    ranges = [(float(one.lower), float(one.upper)) for one in row["watched"] or []]
    return Watched(ranges=ranges, credited_at=row["credited_at"], left=row["credit_left"])


async def set_watched(
    conn: Connection,
    student: UserId,
    lesson_id: LessonId,
    watched: Sequence[Range],
    position: float,
    *,
    left: float,
) -> None:
    await conn.execute(
        "UPDATE lesson_progress SET watched = $3, watched_seconds = $4, position_seconds = $5,"
        " credited_at = now(), credit_left = $6, content_changed = false, updated_at = now()"
        " WHERE student_id = $1 AND lesson_id = $2",
        student,
        lesson_id,
        [asyncpg.Range(Decimal(f"{start:.3f}"), Decimal(f"{end:.3f}")) for start, end in watched],
        sum(end - start for start, end in watched),
        position,
        left,
    )


async def content_changed(conn: Connection, lesson_id: LessonId) -> None:
    """Flag that what students watched was another video; what they achieved stays."""
    await conn.execute("UPDATE lesson_progress SET content_changed = true WHERE lesson_id = $1", lesson_id)
