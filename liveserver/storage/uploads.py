"""Tables uploads and videos."""

import json
from collections.abc import Sequence
from datetime import datetime

import asyncpg

from liveserver.models.ids import UploadId, UserId, uuid7
from liveserver.models.uploads import Purpose, Rendition, Upload, UploadStatus, Video
from liveserver.storage.postgres import Connection

_IN_USE = """
    EXISTS (SELECT 1 FROM lessons l JOIN sections s ON s.id = l.section_id
            JOIN courses c ON c.id = s.course_id
        WHERE l.upload_id = u.id AND l.deleted_at IS NULL AND s.deleted_at IS NULL AND c.deleted_at IS NULL)
"""
_COLUMNS = (
    "id, owner_id, purpose, file_name, content_type, size, sha256, key,"
    " coalesce(object_key, key) AS object_key, multipart_id, part_size, status, failure, percent, created_at"
)


def _upload(row: asyncpg.Record) -> Upload:
    return Upload(
        id=row["id"],
        owner_id=row["owner_id"],
        purpose=Purpose(row["purpose"]),
        file_name=row["file_name"],
        content_type=row["content_type"],
        size=row["size"],
        sha256=row["sha256"],
        key=row["key"],
        object_key=row["object_key"],
        multipart_id=row["multipart_id"],
        part_size=row["part_size"],
        status=UploadStatus(row["status"]),
        failure=row["failure"],
        percent=row["percent"],
        created_at=row["created_at"],
    )


async def insert(
    conn: Connection,
    owner: UserId,
    *,
    purpose: Purpose,
    file_name: str,
    content_type: str,
    size: int,
    sha256: bytes | None,
    key: str,
    multipart_id: str | None,
    part_size: int,
) -> Upload:
    row = await conn.fetchrow(
        "INSERT INTO uploads (id, owner_id, purpose, file_name, content_type, size, key, multipart_id,"
        " part_size, sha256, status, staged)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'uploading', $8::text IS NULL)"
        f" RETURNING {_COLUMNS}",
        uuid7(),
        owner,
        purpose,
        file_name,
        content_type,
        size,
        key,
        multipart_id,
        part_size,
        sha256,
    )
    assert row is not None  # noqa: S101 - RETURNING of an insert
    return _upload(row)


async def by_id(conn: Connection, upload_id: UploadId, *, lock: bool = False) -> Upload | None:
    row = await conn.fetchrow(
        f"SELECT {_COLUMNS} FROM uploads WHERE id = $1 FOR UPDATE"
        if lock
        else f"SELECT {_COLUMNS} FROM uploads WHERE id = $1",
        upload_id,
    )
    return _upload(row) if row else None


async def by_key(conn: Connection, key: str) -> Upload | None:
    row = await conn.fetchrow(f"SELECT {_COLUMNS} FROM uploads WHERE key = $1", key)
    return _upload(row) if row else None


async def of_lesson(conn: Connection, lesson_id: object) -> Upload | None:
    row = await conn.fetchrow(
        f"SELECT {_COLUMNS} FROM uploads WHERE id = (SELECT upload_id FROM lessons WHERE id = $1)", lesson_id
    )
    return _upload(row) if row else None


async def set_status(
    conn: Connection, upload_id: UploadId, status: UploadStatus, failure: str | None = None
) -> None:
    await conn.execute(
        "UPDATE uploads SET status = $2, failure = $3,"
        " completed_at = CASE WHEN $2 IN ('ready', 'failed') THEN now() END,"
        " leftover = leftover OR $2 = 'failed' WHERE id = $1",
        upload_id,
        status,
        failure,
    )


async def set_object_key(conn: Connection, upload_id: UploadId, key: str) -> None:
    await conn.execute("UPDATE uploads SET object_key = $2 WHERE id = $1", upload_id, key)


async def set_percent(conn: Connection, upload_id: UploadId, percent: int) -> None:
    await conn.execute("UPDATE uploads SET percent = $2 WHERE id = $1", upload_id, percent)


async def total_of(conn: Connection, owner: UserId) -> int:
    """Return the bytes an owner keeps, is sending, or may still send once more to an address they have."""
    total: int = await conn.fetchval(
        "SELECT coalesce(sum(size), 0)::bigint FROM uploads"
        " WHERE owner_id = $1 AND (status <> 'failed' OR staged)",
        owner,
    )
    return total


async def unfinished_before(conn: Connection, at: datetime) -> list[Upload]:
    """Return uploads nobody has finished since, and lock them; who else sweeps passes them over."""
    rows = await conn.fetch(
        f"SELECT {_COLUMNS} FROM uploads WHERE status = 'uploading' AND created_at < $1"
        " ORDER BY created_at LIMIT 50 FOR UPDATE SKIP LOCKED",
        at,
    )
    return [_upload(row) for row in rows]


async def staged_before(conn: Connection, at: datetime) -> list[Upload]:
    """Return uploads that were finished before, and may have been sent once more since."""
    rows = await conn.fetch(
        f"SELECT {_COLUMNS} FROM uploads WHERE staged AND completed_at < $1 ORDER BY completed_at LIMIT 50",
        at,
    )
    return [_upload(row) for row in rows]


async def set_unstaged(conn: Connection, upload_ids: Sequence[UploadId]) -> None:
    await conn.execute("UPDATE uploads SET staged = false WHERE id = ANY($1)", list(upload_ids))


async def left_over(conn: Connection) -> list[Upload]:
    """Return some failed uploads of which the store may still keep something, in any order."""
    rows = await conn.fetch(f"SELECT {_COLUMNS} FROM uploads WHERE leftover ORDER BY random() LIMIT 20")
    return [_upload(row) for row in rows]


async def set_erased(conn: Connection, upload_id: UploadId) -> None:
    await conn.execute("UPDATE uploads SET leftover = false WHERE id = $1", upload_id)


async def take_into_use(conn: Connection, upload_id: UploadId) -> bool:
    """Note that a lesson is about to show an upload; say whether it still can."""
    row = await conn.fetchrow(
        "UPDATE uploads SET used_at = now() WHERE id = $1 AND status IN ('ready', 'processing') RETURNING 1",
        upload_id,
    )
    return row is not None


async def note_use(conn: Connection, looked_before: datetime) -> None:
    """Note of some uploads, nobody looked at since, whether a lesson shows them."""
    await conn.execute(
        "WITH due AS (SELECT id FROM uploads WHERE status = 'ready' AND purpose <> 'avatar'"
        " AND looked_at < $1 ORDER BY looked_at LIMIT 200 FOR UPDATE SKIP LOCKED)"
        " UPDATE uploads u SET looked_at = now(),"
        f" used_at = CASE WHEN {_IN_USE} THEN now() ELSE u.used_at END FROM due WHERE u.id = due.id",
        looked_before,
    )


async def unused_since(conn: Connection, at: datetime) -> list[Upload]:
    """Return some uploads no lesson has shown since, and shows now; locked as above."""
    rows = await conn.fetch(
        f"SELECT {_COLUMNS} FROM uploads u WHERE status = 'ready' AND purpose <> 'avatar' AND used_at < $1"
        f" AND NOT {_IN_USE} ORDER BY used_at LIMIT 10 FOR UPDATE SKIP LOCKED",
        at,
    )
    return [_upload(row) for row in rows]


async def put_video(conn: Connection, video: Video) -> None:
    await conn.execute(
        "INSERT INTO videos (upload_id, prefix, duration, renditions, content_key, poster_key)"
        " VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (upload_id) DO UPDATE SET prefix = $2, duration = $3,"
        " renditions = $4, content_key = $5, poster_key = $6",
        video.upload_id,
        video.prefix,
        video.duration,
        json.dumps(
            [
                {
                    "name": one.name,
                    "width": one.width,
                    "height": one.height,
                    "bitrate": one.bitrate,
                    "segments": list(one.segments),
                }
                for one in video.renditions
            ]
        ),
        video.content_key,
        video.poster_key,
    )


async def video(conn: Connection, upload_id: UploadId) -> Video | None:
    row = await conn.fetchrow(
        "SELECT upload_id, prefix, duration, renditions, content_key, poster_key FROM videos"
        " WHERE upload_id = $1",
        upload_id,
    )
    if row is None:
        return None
    renditions: Sequence[dict[str, object]] = json.loads(row["renditions"])
    return Video(
        upload_id=row["upload_id"],
        prefix=row["prefix"],
        duration=row["duration"],
        renditions=[Rendition(**one) for one in renditions],  # type: ignore[arg-type]
        content_key=row["content_key"],
        poster_key=row["poster_key"],
    )


async def set_durations(conn: Connection, upload_id: UploadId, seconds: int) -> None:
    """Tell every lesson of a video how long it is."""
    await conn.execute("UPDATE lessons SET duration = $2 WHERE upload_id = $1", upload_id, seconds)
