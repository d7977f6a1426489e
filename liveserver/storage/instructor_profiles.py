"""Table instructor_profiles: what an instructor says of themselves."""

import json
from collections.abc import Sequence

from liveserver.models.accounts import InstructorProfile, User
from liveserver.storage.postgres import Connection


async def of_user(conn: Connection, user: User) -> InstructorProfile:
    """Return the profile, empty before the first word, with what there is of theirs."""
    row = await conn.fetchrow(
        "SELECT p.headline, p.bio, p.links,"
        " (SELECT count(*) FROM courses c WHERE c.instructor_id = $1 AND c.deleted_at IS NULL) AS courses,"
        " (SELECT coalesce(sum(c.student_count), 0) FROM courses c"
        " WHERE c.instructor_id = $1 AND c.deleted_at IS NULL) AS students,"
        " (SELECT count(*) FROM live_sessions v WHERE v.host_id = $1 AND v.status = 'ended') AS sessions"
        " FROM (SELECT $1::uuid AS user_id) one LEFT JOIN instructor_profiles p USING (user_id)",
        user.id,
    )
    assert row is not None  # noqa: S101 - selected from one row
    return InstructorProfile(
        user=user,
        headline=row["headline"] or "",
        bio=row["bio"] or "",
        links=json.loads(row["links"] or "[]"),
        course_count=row["courses"],
        student_count=row["students"],
        session_count=row["sessions"],
    )


async def put(
    conn: Connection, user: User, *, headline: str | None, bio: str | None, links: Sequence[str] | None
) -> None:
    """Change what is given; None leaves a column as it is."""
    await conn.execute(
        "INSERT INTO instructor_profiles (user_id, headline, bio, links)"
        " VALUES ($1, coalesce($2, ''), coalesce($3, ''), coalesce($4::jsonb, '[]'))"
        " ON CONFLICT (user_id) DO UPDATE SET headline = coalesce($2, instructor_profiles.headline),"
        " bio = coalesce($3, instructor_profiles.bio),"
        " links = coalesce($4::jsonb, instructor_profiles.links), updated_at = now()",
        user.id,
        headline,
        bio,
        None if links is None else json.dumps(list(links)),
    )
