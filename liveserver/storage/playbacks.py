"""Tables playbacks and downloads: who watches and took what."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg

from liveserver.models.ids import LessonId, PlaybackId, UploadId, UserId, uuid7
from liveserver.models.watching import Playback
from liveserver.storage.postgres import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """The last word of a player."""

    at: datetime
    seq: int


def _playback(row: asyncpg.Record) -> Playback:
    return Playback(
        id=row["id"], user_id=row["user_id"], lesson_id=row["lesson_id"], upload_id=row["upload_id"]
    )


async def begin(
    conn: Connection, user: UserId | None, lesson_id: LessonId, upload_id: UploadId, lease: timedelta
) -> Playback:
    row = await conn.fetchrow(
        "INSERT INTO playbacks (id, user_id, lesson_id, upload_id, alive_until)"
        " VALUES ($1, $2, $3, $4, now() + $5) RETURNING id, user_id, lesson_id, upload_id",
        uuid7(),
        user,
        lesson_id,
        upload_id,
        lease,
    )
    assert row is not None  # noqa: S101 - RETURNING of an insert
    return _playback(row)


async def alive_of(conn: Connection, user: UserId) -> int:
    """Return how many videos somebody watches now."""
    count: int = await conn.fetchval(
        "SELECT count(*) FROM playbacks WHERE user_id = $1 AND alive_until > now()", user
    )
    return count


async def keep_alive(conn: Connection, playback_id: PlaybackId, lease: timedelta) -> Playback | None:
    """Lengthen a playback's life; None when it has ended."""
    row = await conn.fetchrow(
        "UPDATE playbacks SET alive_until = greatest(alive_until, now() + $2)"
        " WHERE id = $1 AND alive_until > now() RETURNING id, user_id, lesson_id, upload_id",
        playback_id,
        lease,
    )
    return _playback(row) if row else None


async def lock_beat(conn: Connection, playback_id: PlaybackId, user: UserId) -> tuple[Playback, Beat] | None:
    """Return somebody's playback and its last beat, locked; one that has ended, too: phones go offline."""
    row = await conn.fetchrow(
        "SELECT id, user_id, lesson_id, upload_id, beat_at, beat_seq FROM playbacks"
        " WHERE id = $1 AND user_id = $2 FOR UPDATE",
        playback_id,
        user,
    )
    return (_playback(row), Beat(at=row["beat_at"], seq=row["beat_seq"])) if row else None


async def beat(
    conn: Connection, playback_id: PlaybackId, seq: int, credited: float, lease: timedelta, *, offline: bool
) -> None:
    await conn.execute(
        "UPDATE playbacks SET beat_at = now(), beat_seq = $2, credited = credited + $3,"
        " offline = offline OR $5, alive_until = CASE WHEN alive_until > now()"
        " THEN greatest(alive_until, now() + $4) ELSE alive_until END WHERE id = $1",
        playback_id,
        seq,
        credited,
        lease,
        offline,
    )


async def end(conn: Connection, playback_id: PlaybackId, user: UserId) -> bool:
    """End somebody's playback; False when they have no such."""
    row = await conn.fetchrow(
        "UPDATE playbacks SET alive_until = least(alive_until, now())"
        " WHERE id = $1 AND user_id = $2 RETURNING id",
        playback_id,
        user,
    )
    return row is not None


async def note_download(conn: Connection, lesson_id: LessonId, user: UserId | None) -> None:
    await conn.execute(
        "INSERT INTO downloads (id, lesson_id, user_id) VALUES ($1, $2, $3)", uuid7(), lesson_id, user
    )
