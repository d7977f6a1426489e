"""The verbs: one class per activity, one transaction per deed."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from liveserver.services.accounts import Accounts
    from liveserver.services.attendance import Attendance
    from liveserver.services.classroom import Classroom
    from liveserver.services.coupons import Coupons
    from liveserver.services.courses import Courses
    from liveserver.services.curriculum import Curriculum
    from liveserver.services.enrollment import EnrollmentDesk
    from liveserver.services.keys import SigningKeys
    from liveserver.services.live_sessions import LiveSessions
    from liveserver.services.mailing import Mailing
    from liveserver.services.media_keys import MediaKeys
    from liveserver.services.moderation import Moderation
    from liveserver.services.notifications import Notifications
    from liveserver.services.payments import Payments
    from liveserver.services.platform import Platform
    from liveserver.services.playback import Watching
    from liveserver.services.polls import Polls
    from liveserver.services.portraits import Portraits
    from liveserver.services.profiles import Profiles
    from liveserver.services.progress import Progress
    from liveserver.services.relays import Relays
    from liveserver.services.retention import Retention
    from liveserver.services.scheduling import Scheduling
    from liveserver.services.screening import Screening
    from liveserver.services.seats import Seats
    from liveserver.services.statistics import Statistics
    from liveserver.services.uploads import Uploads
    from liveserver.services.videos import Videos
    from liveserver.services.webhooks import Webhooks


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Every activity of one process, built once by its composition root."""

    accounts: "Accounts"
    attendance: "Attendance"
    classroom: "Classroom"
    coupons: "Coupons"
    courses: "Courses"
    curriculum: "Curriculum"
    enrollment: "EnrollmentDesk"
    keys: "SigningKeys"
    live_sessions: "LiveSessions"
    mailing: "Mailing"
    media_keys: "MediaKeys"
    moderation: "Moderation"
    notifications: "Notifications"
    payments: "Payments"
    platform: "Platform"
    polls: "Polls"
    portraits: "Portraits"
    profiles: "Profiles"
    progress: "Progress"
    relays: "Relays"
    retention: "Retention"
    scheduling: "Scheduling"
    screening: "Screening"
    seats: "Seats"
    statistics: "Statistics"
    uploads: "Uploads"
    videos: "Videos"
    watching: "Watching"
    webhooks: "Webhooks"
