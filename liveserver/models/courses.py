"""Course > Section > Lesson, and who is enrolled."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """`price` is in minor units of `currency`."""

    id: CourseId
    instructor_id: UserId
    instructor_name: str
    title: str
    description: str
    price: int
    currency: str
    status: CourseStatus
    language: str
    rejection_reason: str | None
    lesson_count: int
    student_count: int
    version: int
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None
    staff: frozenset[UserId]  # the owner and the co-instructors

    @property
    def is_public(self) -> bool:
        return self.status is CourseStatus.APPROVED and self.deleted_at is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    id: SectionId
    course_id: CourseId
    title: str
    order: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """`duration` is in seconds and known for video only."""

    id: LessonId
    section_id: SectionId
    course_id: CourseId
    type: LessonType
    title: str
    duration: int | None
    order: int
    preview: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrollment:
    id: EnrollmentId
    student_id: UserId
    course_id: CourseId
    progress: int  # percent of completed lessons
    created_at: datetime
    removed_at: datetime | None
