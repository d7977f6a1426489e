"""Watching videos and taking files: every address is signed for one person, and signed anew as they go on."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from liveserver.errors import (
    NoContent,
    NotFound,
    PlaybackEnded,
    TooManyPlaybacks,
    VideoFailed,
    VideoProcessing,
    WrongType,
)
from liveserver.models.accounts import User
from liveserver.models.courses import Lesson, LessonType
from liveserver.models.ids import LessonId, PlaybackId, UploadId
from liveserver.models.uploads import Rendition, Upload, UploadStatus, Video
from liveserver.models.watching import (
    OFFLINE_AFTER,
    SLACK,
    Descriptor,
    Playback,
    Range,
    allowance,
    credited,
    length,
    union,
)
from liveserver.services.access import open_lesson
from liveserver.services.notifications import Notifications
from liveserver.services.platform import Platform
from liveserver.services.progress import Progress
from liveserver.services.sealing import unseal
from liveserver.services.tokens import TokenSigner
from liveserver.services.videos import CONTENT_KEY
from liveserver.storage import lesson_progress, playbacks, uploads, users
from liveserver.storage.postgres import Connection, Database
from liveserver.storage.s3 import ObjectStore

_LEASE = timedelta(seconds=60)  # a player that is silent for so long has gone
_SECONDS_SIGNED = 300
_SECONDS_TOKEN = 12 * 3600  # the playback must be alive, too


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedFile:
    url: str
    file_name: str
    size: int
    expires_in: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracked:
    """What was believed of a beat: seconds credited now and in all, and whether the lesson is complete."""

    credited: float
    watched: float
    completed: bool


class Watching:
    def __init__(
        self,
        database: Database,
        store: ObjectStore,
        signer: TokenSigner,
        platform: Platform,
        progress: Progress,
        notifications: Notifications,
        *,
        secret: str,
    ) -> None:
        self._database = database
        self._store = store
        self._signer = signer
        self._platform = platform
        self._progress = progress
        self._notifications = notifications
        self._secret = secret.encode()

    # Files

    async def file(self, viewer: User | None, lesson_id: LessonId) -> SignedFile:
        """Return where a lesson's file can be had for five minutes, under its own name; it is logged.

        Raises what opening the lesson raises, WrongType, NoContent.
        """
        async with self._database.transaction() as conn:
            opened = await open_lesson(conn, viewer, lesson_id)
            upload = await _upload_of(conn, opened.lesson, LessonType.FILE)
            if upload.status is not UploadStatus.READY:
                raise NoContent
            await playbacks.note_download(conn, lesson_id, viewer.id if viewer else None)
        url = await self._store.sign_get(
            upload.object_key,
            seconds=_SECONDS_SIGNED,
            file_name=upload.file_name,
            content_type=upload.content_type,
        )
        return SignedFile(url=url, file_name=upload.file_name, size=upload.size, expires_in=_SECONDS_SIGNED)

    # Videos

    async def begin(self, viewer: User | None, lesson_id: LessonId) -> Descriptor:
        """Begin to watch a video. Raises what opening the lesson raises, WrongType, NoContent,
        VideoProcessing, VideoFailed, TooManyPlaybacks.
        """
        limit = self._platform.current.max_playbacks
        async with self._database.transaction() as conn:
            opened = await open_lesson(conn, viewer, lesson_id)
            upload, video = await _playable(conn, opened.lesson)
            resume = 0.0
            if viewer is not None:
                await users.lock(conn, viewer.id)  # two devices at once count each other
                if await playbacks.alive_of(conn, viewer.id) >= limit:
                    raise TooManyPlaybacks(limit=limit)
                mark = (await lesson_progress.of_course(conn, viewer.id, opened.course.id)).get(lesson_id)
                resume = mark.position if mark and mark.position < video.duration - 5 else 0.0
            playback = await playbacks.begin(
                conn, viewer.id if viewer else None, lesson_id, upload.id, _LEASE
            )
        watermark = _watermark(viewer, playback)
        return Descriptor(
            playback=playback,
            token=self._signer.playback(playback.id, watermark, _SECONDS_TOKEN),
            poster_url=await self._store.sign_get(video.poster_key, seconds=_SECONDS_SIGNED),
            watermark=watermark,
            resume_at=resume,
            duration=video.duration,
            expires_at=datetime.now(UTC) + timedelta(seconds=_SECONDS_TOKEN),
        )

    async def renditions(self, playback_id: PlaybackId, token: str) -> Sequence[Rendition]:
        """Return the qualities a player may choose from."""
        return (await self._granted(playback_id, token)).renditions

    async def rendition(self, playback_id: PlaybackId, token: str, name: str) -> Rendition:
        video = await self._granted(playback_id, token)
        found = next((one for one in video.renditions if one.name == name), None)
        if found is None:
            raise NotFound
        return found

    async def segment(self, playback_id: PlaybackId, token: str, name: str, number: int) -> str:
        """Return where one segment can be had for five minutes; the right to it is checked each time."""
        video = await self._granted(playback_id, token)
        found = next((one for one in video.renditions if one.name == name), None)
        if found is None or not 0 <= number < len(found.segments):
            raise NotFound
        return await self._store.sign_get(
            f"{video.prefix}/{name}/{number}.ts", seconds=_SECONDS_SIGNED, content_type="video/mp2t"
        )

    async def content_key(self, playback_id: PlaybackId, token: str) -> bytes:
        """Return the 16 bytes that open the segments."""
        video = await self._granted(playback_id, token)
        return unseal(self._secret, CONTENT_KEY, video.content_key)

    async def end(self, user: User, playback_id: PlaybackId) -> None:
        """Stop watching: the place among those at once is free again."""
        async with self._database.connection() as conn:
            if not await playbacks.end(conn, playback_id, user.id):
                raise NotFound

    async def track(
        self,
        student: User,
        lesson_id: LessonId,
        playback_id: PlaybackId,
        *,
        seq: int,
        ranges: Sequence[Range],
        position: float,
        rate: float,
    ) -> Tracked:
        """Note what was watched since the last beat. A beat told again or out of order changes nothing.

        No more is credited than time has passed since, at the rate played; a player that was offline is
        believed for two hours, and flagged. Enough of it completes the lesson, once.
        """
        keys: list[str] = []
        async with self._database.transaction() as conn:
            opened = await open_lesson(conn, student, lesson_id)
            found = await playbacks.lock_beat(conn, playback_id, student.id)
            if found is None or found[0].lesson_id != lesson_id:
                raise NotFound
            playback, last = found
            video = await uploads.video(conn, playback.upload_id)
            if video is None or not opened.as_student:
                raise NotFound
            before = await lesson_progress.lock_watched(conn, student.id, lesson_id)
            known = union(before.ranges)
            believed: list[Range] = []
            if seq > last.seq:
                # Time passes once for a student, however many players they have open.
                since = max(last.at, before.credited_at or last.at)
                elapsed = (datetime.now(UTC) - since).total_seconds()
                allowed = allowance(elapsed, rate, before.left)
                believed = credited(ranges, known, allowed=allowed, duration=video.duration)
                left = min(SLACK, allowed - length(believed))
                known = union([*known, *believed])
                await playbacks.beat(
                    conn, playback_id, seq, length(believed), _LEASE, offline=elapsed > OFFLINE_AFTER
                )
                at = min(max(position, 0.0), video.duration)
                await lesson_progress.set_watched(conn, student.id, lesson_id, known, at, left=left)
            enough = 100 * length(known) / video.duration >= self._platform.current.completion_percent
            if enough:
                keys = await self._progress.note_completed(conn, student.id, opened.lesson, opened.course)
        for key in keys:
            await self._notifications.push(key)
        return Tracked(credited=length(believed), watched=length(known), completed=enough)

    async def _granted(self, playback_id: PlaybackId, token: str) -> Video:
        """Return the video of a playback that is alive and still allowed. Raises PlaybackEnded and what
        opening the lesson raises.
        """
        if await self._signer.read_playback(token) != playback_id:
            raise PlaybackEnded
        async with self._database.connection() as conn:
            playback = await playbacks.keep_alive(conn, playback_id, _LEASE)
            if playback is None:
                raise PlaybackEnded
            viewer = await _still_there(conn, playback)
            await open_lesson(conn, viewer, playback.lesson_id)
            video = await uploads.video(conn, UploadId(playback.upload_id))
        if video is None:
            raise NotFound
        return video


async def _still_there(conn: Connection, playback: Playback) -> User | None:
    if playback.user_id is None:
        return None
    viewer = await users.by_id(conn, playback.user_id)
    if viewer is None or viewer.is_disabled:
        raise PlaybackEnded
    return viewer


async def _upload_of(conn: Connection, lesson: Lesson, wanted: LessonType) -> Upload:
    if lesson.type is not wanted:
        raise WrongType(type=lesson.type)
    upload = await uploads.of_lesson(conn, lesson.id)
    if upload is None:
        raise NoContent
    return upload


async def _playable(conn: Connection, lesson: Lesson) -> tuple[Upload, Video]:
    upload = await _upload_of(conn, lesson, LessonType.VIDEO)
    if upload.status is UploadStatus.FAILED:
        raise VideoFailed(reason=upload.failure)
    video = await uploads.video(conn, upload.id)
    if video is None:
        raise VideoProcessing(percent=upload.percent)
    return upload, video


def _watermark(viewer: User | None, playback: Playback) -> str:
    """Return the text laid over the picture: who watches, and a short name of this playback."""
    who = f"{viewer.name} · {viewer.email}" if viewer is not None else "preview"
    return f"{who} · {UUID(str(playback.id)).hex[-8:]}"
