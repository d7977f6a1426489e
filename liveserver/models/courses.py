"""Course > Section > Lesson, and who is enrolled."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypedDict

from liveserver.models.ids import CourseId, EnrollmentId, LessonId, SectionId, UserId


class CourseStatus(StrEnum):
    DRAFT = "draft"
    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"


class LessonType(StrEnum):
    VIDEO = "video"
    FILE = "file"
    LIVE = "live"


class CourseFacts(TypedDict, total=False):
    """What an instructor says of a course, in the units of `Course`; None says nothing."""

    title: str | None
    description: str | None
    price: int | None
    currency: str | None
    language: str | None
    sequential: bool | None
    late_after: int | None
    early_before: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """`price` is in minor units of `currency`.

    Who comes to a class more than `late_after` minutes after its begin is late, who goes more than
    `early_before` minutes before its end left early.
    """

    id: CourseId
    instructor_id: UserId
    instructor_name: str
    title: str
    description: str
    price: int
    currency: str
    status: CourseStatus
    closed: bool  # rejected, and not even who is enrolled may use its lessons and classes
    language: str
    rejection_reason: str | None
    sequential: bool  # lessons open one after the other
    late_after: int
    early_before: int
    lesson_count: int
    student_count: int
    version: int
    created_at: datetime
    updated_at: datetime
    approved_at: datetime | None
    edited_at: datetime | None  # when what a visitor reads or pays was last changed
    deleted_at: datetime | None
    staff: frozenset[UserId]  # the owner and the co-instructors

    @property
    def is_public(self) -> bool:
        return self.status is CourseStatus.APPROVED and self.deleted_at is None

    @property
    def changed_since_review(self) -> bool:
        approved = self.status is CourseStatus.APPROVED and self.approved_at is not None
        return (
            approved and self.edited_at is not None and self.edited_at > (self.approved_at or self.edited_at)
        )


class CourseSort(StrEnum):
    RELEVANCE = "relevance"
    NEWEST = "newest"
    POPULAR = "popular"
    PRICE_UP = "price"
    PRICE_DOWN = "-price"


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueFilter:
    """What a visitor looks for. `words` is as typed; None leaves a question open."""

    words: str | None = None
    language: str | None = None
    free: bool | None = None
    instructor_id: UserId | None = None
    sort: CourseSort = CourseSort.NEWEST


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    id: SectionId
    course_id: CourseId
    title: str
    order: int
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """`duration` is in seconds and known for video only; `content_url` is the key of what was uploaded."""

    id: LessonId
    section_id: SectionId
    course_id: CourseId
    type: LessonType
    title: str
    content_url: str | None
    duration: int | None
    order: int
    preview: bool
    published: bool
    available_from: datetime | None
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrollment:
    id: EnrollmentId
    student_id: UserId
    course_id: CourseId
    progress: int  # percent of completed lessons
    created_at: datetime
    removed_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolledStudent:
    """A line of an instructor's list; `last_seen_at` is the student's last deed in this course or class."""

    enrollment_id: EnrollmentId
    user_id: UserId
    name: str
    email: str
    progress: int
    enrolled_at: datetime
    last_seen_at: datetime | None
