"""Figures of the school, of a course, of a class."""

from typing import Literal

from api.contract import Request, route
from api.scalars import Instant, Out
from liveserver.models.accounts import Role
from liveserver.models.ids import CourseId, LessonId, LiveSessionId

_INSTRUCTOR, _ADMIN = {Role.INSTRUCTOR}, {Role.ADMIN}


class SchoolFiguresOut(Out):
    """`active7` and `active30` are accounts seen in so many days; figures are those of `asOf`.

    `peakSeats` is the most students that a class which is over had at once.
    """

    users: dict[Literal["student", "instructor", "admin"], int]
    active7: int
    active30: int
    courses: dict[Literal["draft", "pending", "approved", "rejected"], int]
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
    as_of: Instant


class LessonFiguresOut(Out):
    lesson_id: LessonId
    title: str
    type: str
    completed: int
    plays: int
    downloads: int


class CourseFiguresOut(Out):
    """`progress` and `attendance` are mean percents; `revenue` is net, in minor units by currency."""

    students: int
    removed: int
    progress: int
    finished: int
    certificates: int
    sessions_held: int
    attendance: int
    watched_hours: float
    revenue: dict[str, int]
    lessons: list[LessonFiguresOut]


class QualityOut(Out):
    """Of the `minutes` in which students were sent media: the percent in which a picture came poorer than
    their pages had use for, since their links were too slow; and the percent of packets that were lost on the
    way, as their browsers reported it, in the mean over that time.
    """

    minutes: float
    reduced: float
    lost: float


class SessionFiguresOut(Out):
    """`peak` and `mean` count students there at once; `minutes` is what they were there in all.

    `quality` is absent while nobody was sent media; figures of a running class are some seconds old.
    """

    peak: int
    mean: float
    students: int
    minutes: float
    connections: int
    reconnects: int
    refused_joins: int
    quality: QualityOut | None = None


@route("GET", "/api/admin/stats", roles=_ADMIN)
async def school_figures(request: Request) -> SchoolFiguresOut:
    return SchoolFiguresOut.model_validate(await request.services.statistics.school())


@route("GET", "/api/instructor/courses/{course}/stats", roles=_INSTRUCTOR)
async def course_figures(request: Request, course: CourseId) -> CourseFiguresOut:
    return CourseFiguresOut.model_validate(await request.services.statistics.course(request.user, course))


@route("GET", "/api/live-sessions/{session}/stats", roles={Role.INSTRUCTOR, Role.ADMIN})
async def session_figures(request: Request, session: LiveSessionId) -> SessionFiguresOut:
    return SessionFiguresOut.model_validate(await request.services.statistics.session(request.user, session))


ROUTES = [school_figures, course_figures, session_figures]
