"""How far a student has come in a course."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from liveserver.models.courses import Lesson
from liveserver.models.ids import CertificateId, CourseId, LessonId, UserId


class LessonState(StrEnum):
    LOCKED = "locked"
    OPEN = "open"
    STARTED = "started"
    COMPLETED = "completed"


@dataclass(frozen=True, slots=True, kw_only=True)
class LessonMark:
    """What is known of one student and one lesson; positions and lengths are in seconds."""

    completed_at: datetime | None
    position: float
    watched: float
    content_changed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LessonProgress:
    lesson: Lesson
    state: LessonState
    mark: LessonMark | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CourseProgress:
    """`percent` counts completed published lessons, rounded down: 100 means all of them."""

    course_id: CourseId
    user_id: UserId
    percent: int
    lessons: Sequence[LessonProgress]

    @property
    def next_lesson(self) -> LessonProgress | None:
        going = [one for one in self.lessons if one.state in {LessonState.OPEN, LessonState.STARTED}]
        return going[0] if going else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """Proof that somebody finished a course, with the names as they were on that day."""

    id: CertificateId
    code: str
    student_id: UserId
    course_id: CourseId
    student_name: str
    course_title: str
    instructor_name: str
    language: str
    issued_at: datetime
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """Why a lesson is not open yet."""

    unlocked_by: LessonId | None
    available_from: datetime | None


def lock_of(
    lesson: Lesson,
    published: Sequence[Lesson],
    done: Mapping[LessonId, LessonMark],
    *,
    sequential: bool,
    now: datetime,
) -> Lock | None:
    """Say what keeps a lesson closed; previews never are. `published` is in the course's order."""
    if lesson.preview:
        return None
    waits = lesson.available_from if lesson.available_from and lesson.available_from > now else None
    before = None
    if sequential:
        for one in published:
            if one.id == lesson.id:
                break
            mark = done.get(one.id)
            if mark is None or mark.completed_at is None:
                before = one.id
                break
    return Lock(unlocked_by=before, available_from=waits) if before or waits else None


def percent_of(published: Sequence[Lesson], done: Mapping[LessonId, LessonMark]) -> int:
    """Return whole percent, rounded down."""
    if not published:
        return 0
    completed = sum(1 for one in published if (mark := done.get(one.id)) and mark.completed_at)
    return 100 * completed // len(published)
