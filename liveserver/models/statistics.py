"""Figures of a school, a course, a class."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from liveserver.models.ids import LessonId


@dataclass(frozen=True, slots=True, kw_only=True)
class SchoolFigures:
    """`active7` and `active30` are accounts seen in so many days; `storage_bytes` what uploads keep.

    `peak_seats` is the most students that a class which is over had at once.
    """

    users: Mapping[str, int]
    active7: int
    active30: int
    courses: Mapping[str, int]
    deleted_courses: int
    enrollments: int
    live_now: int
    sessions_held: int
    live_hours: float
    attended_hours: float
    peak_seats: int
    refused_joins: int
    certificates: int
    storage_bytes: int
    as_of: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LessonFigures:
    lesson_id: LessonId
    title: str
    type: str
    completed: int
    plays: int
    downloads: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CourseFigures:
    """`progress` and `attendance`, of ended classes, are mean percents; `revenue` is in minor units."""

    students: int
    removed: int
    progress: int
    finished: int
    certificates: int
    sessions_held: int
    attendance: int
    watched_hours: float
    revenue: Mapping[str, int]
    lessons: Sequence[LessonFigures]


@dataclass(slots=True)
class Viewing:
    """How a class arrives, summed up, in seconds of one student each: sent media, a picture poorer than their
    page had use for, lost on the way.
    """

    seconds: float = 0.0
    reduced: float = 0.0
    lost: float = 0.0

    def add(self, *, seconds: float, reduced: float, lost: float) -> None:
        self.seconds += seconds
        self.reduced += reduced
        self.lost += lost


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """How well a class arrived: of the `minutes` its students were sent media, the percent in which a picture
    came poorer than their pages had use for; and the percent of packets lost on the way, in the mean.
    """

    minutes: float
    reduced: float
    lost: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFigures:
    """`peak` and `mean` count students there at once; `minutes` is what they were there in all.

    `quality` is None while nobody was sent anything.
    """

    peak: int
    mean: float
    students: int
    minutes: float
    connections: int
    reconnects: int
    refused_joins: int
    quality: Quality | None
