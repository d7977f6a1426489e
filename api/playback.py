"""Watching and downloading: descriptors, playlists whose every address is signed, the key, the beats."""

from typing import Annotated, Any

from aiohttp import web
from pydantic import Field, StringConstraints

from api.contract import Request, route
from api.scalars import Body, Instant, Out, Query, Whole
from liveserver.errors import (
    CourseClosed,
    Locked,
    NoContent,
    NotEnrolled,
    NotOwner,
    PlaybackEnded,
    Removed,
    TokenExpired,
    TokenInvalid,
    TooManyPlaybacks,
    VideoFailed,
    VideoProcessing,
    WrongType,
)
from liveserver.models.accounts import Role
from liveserver.models.ids import LessonId, PlaybackId
from liveserver.models.uploads import Rendition
from liveserver.models.watching import Descriptor

_STUDENT = {Role.STUDENT}
_OPENING = (NotEnrolled, Removed, NotOwner, CourseClosed, Locked, WrongType, NoContent)
_PLAYLIST = "application/vnd.apple.mpegurl"
RenditionName = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,4}p$")]
SegmentNumber = Annotated[int, Field(ge=0, le=100_000)]
Seconds = Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)]


WatchedRange = Annotated[list[Seconds], Field(min_length=2, max_length=2)]  # from, to


class FileOut(Out):
    """`url` is good for `expiresIn` seconds and saves the file under its own name."""

    url: str
    file_name: str
    size: int
    expires_in: int


class PlaybackOut(Out):
    """`manifestUrl` is HLS; its addresses are this playback's own and end with it. `watermark` is to be shown
    over the picture; `resumeAt` and `duration` are in seconds. Ask anew before `expiresAt`.
    """

    playback_id: PlaybackId
    manifest_url: str
    poster_url: str
    watermark: str
    resume_at: float
    duration: float
    expires_at: Instant


class BeatIn(Body):
    """`ranges` are the seconds watched since the last beat; `seq` counts beats, `rate` is the speed."""

    playback_id: PlaybackId
    seq: Annotated[int, Field(ge=1, le=1 << 53), Whole]
    ranges: Annotated[list[WatchedRange], Field(max_length=200)]
    position: Seconds
    rate: Annotated[float, Field(ge=0, le=16, allow_inf_nan=False)] = 1.0


class BeatOut(Out):
    credited: float
    watched: float
    completed: bool


class TokenQuery(Query):
    t: Annotated[str, StringConstraints(min_length=10, max_length=4096, pattern=r"^[A-Za-z0-9._-]+$")]


@route("GET", "/api/lessons/{lesson}/file", public=True, raises=_OPENING)
async def lesson_file(request: Request, lesson: LessonId) -> FileOut:
    return FileOut.model_validate(await request.services.watching.file(request.viewer, lesson))


@route(
    "GET",
    "/api/lessons/{lesson}/video",
    public=True,
    raises=(*_OPENING, VideoProcessing, VideoFailed, TooManyPlaybacks),
)
async def lesson_video(request: Request, lesson: LessonId) -> PlaybackOut:
    return _descriptor(await request.services.watching.begin(request.viewer, lesson))


@route(
    "GET",
    "/api/videos/{lesson}/stream",
    public=True,
    raises=(*_OPENING, VideoProcessing, VideoFailed, TooManyPlaybacks),
)
async def stream_video(request: Request, lesson: LessonId) -> PlaybackOut:
    return _descriptor(await request.services.watching.begin(request.viewer, lesson))


async def see_lesson(request: Request, lesson: LessonId) -> None:
    await request.services.curriculum.view_lesson(request.viewer, lesson)


@route(
    "POST",
    "/api/videos/{lesson}/track",
    roles=_STUDENT,
    guard=see_lesson,
    raises=(NotEnrolled, CourseClosed, Locked),
)
async def track_video(request: Request, lesson: LessonId, body: BeatIn) -> BeatOut:
    tracked = await request.services.watching.track(
        request.user,
        lesson,
        body.playback_id,
        seq=body.seq,
        ranges=[(start, end) for start, end in body.ranges],
        position=body.position,
        rate=body.rate,
    )
    return BeatOut.model_validate(tracked)


@route("DELETE", "/api/playbacks/{playback}", status=204)
async def end_playback(request: Request, playback: PlaybackId) -> None:
    await request.services.watching.end(request.user, playback)


# What players fetch: the token in the address says who they are.

_PLAYER: dict[str, Any] = {
    "public": True,
    "reads_login": False,
    "raises": (PlaybackEnded, TokenInvalid, TokenExpired, NotEnrolled, Removed, Locked),
}


@route("GET", "/api/playbacks/{playback}/master.m3u8", produces=_PLAYLIST, **_PLAYER)
async def master_playlist(request: Request, playback: PlaybackId, query: TokenQuery) -> web.Response:
    renditions = await request.services.watching.renditions(playback, query.t)
    lines = ["#EXTM3U", "#EXT-X-VERSION:6", "#EXT-X-INDEPENDENT-SEGMENTS"]
    for one in renditions:
        lines.append(f"#EXT-X-STREAM-INF:BANDWIDTH={one.bitrate},RESOLUTION={one.width}x{one.height}")
        lines.append(f"{one.name}/index.m3u8?t={query.t}")
    return _playlist(lines)


@route("GET", "/api/playbacks/{playback}/{rendition}/index.m3u8", produces=_PLAYLIST, **_PLAYER)
async def rendition_playlist(
    request: Request, playback: PlaybackId, rendition: RenditionName, query: TokenQuery
) -> web.Response:
    found = await request.services.watching.rendition(playback, query.t, rendition)
    return _playlist(_segments(found, query.t))


@route("GET", "/api/playbacks/{playback}/{rendition}/{segment}.ts", status=302, **_PLAYER)
async def video_segment(
    request: Request,
    playback: PlaybackId,
    rendition: RenditionName,
    segment: SegmentNumber,
    query: TokenQuery,
) -> web.Response:
    """Lead to the segment in the store: the bytes never pass through here."""
    url = await request.services.watching.segment(playback, query.t, rendition, segment)
    return web.Response(status=302, headers={"Location": url, "Cache-Control": "no-store"})


@route("GET", "/api/playbacks/{playback}/key", produces="application/octet-stream", **_PLAYER)
async def content_key(request: Request, playback: PlaybackId, query: TokenQuery) -> web.Response:
    key = await request.services.watching.content_key(playback, query.t)
    return web.Response(body=key, content_type="application/octet-stream")


def _segments(rendition: Rendition, token: str) -> list[str]:
    longest = max(rendition.segments, default=1.0)
    lines = [
        "#EXTM3U",
        "#EXT-X-VERSION:6",
        f"#EXT-X-TARGETDURATION:{int(longest) + 1}",
        "#EXT-X-MEDIA-SEQUENCE:0",
        "#EXT-X-PLAYLIST-TYPE:VOD",
        "#EXT-X-INDEPENDENT-SEGMENTS",
        f'#EXT-X-KEY:METHOD=AES-128,URI="../key?t={token}",IV=0x{"0" * 32}',
    ]
    for number, seconds in enumerate(rendition.segments):
        lines += [f"#EXTINF:{seconds:.6f},", f"{number}.ts?t={token}"]
    return [*lines, "#EXT-X-ENDLIST"]


def _playlist(lines: list[str]) -> web.Response:
    return web.Response(text="\n".join(lines) + "\n", content_type=_PLAYLIST)


def _descriptor(one: Descriptor) -> PlaybackOut:
    return PlaybackOut(
        playback_id=one.playback.id,
        manifest_url=f"/api/playbacks/{one.playback.id}/master.m3u8?t={one.token}",
        poster_url=one.poster_url,
        watermark=one.watermark,
        resume_at=one.resume_at,
        duration=one.duration,
        expires_at=one.expires_at,
    )


ROUTES = [
    lesson_file,
    lesson_video,
    stream_video,
    track_video,
    end_playback,
    master_playlist,
    rendition_playlist,
    video_segment,
    content_key,
]
