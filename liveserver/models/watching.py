"""What was watched of a video: ranges of seconds, and how much of a claim is believed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from liveserver.models.ids import LessonId, PlaybackId, UploadId, UserId

Range = tuple[float, float]
FASTEST = 4.0  # playback rate
LONGEST_OFFLINE = 2 * 3600.0  # seconds between two beats that are credited
OFFLINE_AFTER = 300.0
SLACK = 2.0  # seconds a beat may be late or early


@dataclass(frozen=True, slots=True, kw_only=True)
class Playback:
    """Somebody watching: alive while it beats. `user_id` is None for a stranger at a preview."""

    id: PlaybackId
    user_id: UserId | None
    lesson_id: LessonId
    upload_id: UploadId


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What a student has watched of a video, when it was last credited, and the allowance left from then."""

    ranges: Sequence[Range]
    credited_at: datetime | None
    left: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """What a player needs: an address to begin at, the text to lay over the picture, where to go on."""

    playback: Playback
    token: str
    poster_url: str
    watermark: str
    resume_at: float
    duration: float
    expires_at: datetime


def union(ranges: Sequence[Range]) -> list[Range]:
    """Return sorted ranges that do not touch."""
    merged: list[Range] = []
    for start, end in sorted(one for one in ranges if one[0] < one[1]):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def length(ranges: Sequence[Range]) -> float:
    return sum(end - start for start, end in ranges)


def without(ranges: Sequence[Range], known: Sequence[Range]) -> list[Range]:
    """Return what of `ranges` is not in `known`; both as `union` makes them."""
    fresh: list[Range] = []
    for start, end in ranges:
        at = start
        for known_start, known_end in known:
            if known_end <= at or known_start >= end:
                continue
            if known_start > at:
                fresh.append((at, known_start))
            at = max(at, known_end)
        if at < end:
            fresh.append((at, end))
    return fresh


def allowance(elapsed: float, rate: float, left: float) -> float:
    """Return how many seconds can have been watched since the last beat: no faster than time passes.

    `left` is what was not used of the beat before, at most SLACK seconds of it: beats come early and late.
    """
    return min(max(elapsed, 0.0), LONGEST_OFFLINE) * min(max(rate, 0.0), FASTEST) + min(max(left, 0.0), SLACK)


def credited(
    claimed: Sequence[Range], known: Sequence[Range], *, allowed: float, duration: float
) -> list[Range]:
    """Return what is believed of a claim: what is new in it, from the front, up to `allowed` seconds."""
    inside = union([(max(0.0, start), min(duration, end)) for start, end in claimed])
    believed: list[Range] = []
    left = allowed
    for start, end in without(inside, known):
        if left <= 0:
            break
        believed.append((start, min(end, start + left)))
        left -= end - start
    return believed
