"""What people are told: one fact, to one person, once."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from liveserver.models.ids import NotificationId, UserId


class NotificationKind(StrEnum):
    ENROLLED = "enrolled"
    REMOVED = "removed"
    COURSE_APPROVED = "course_approved"
    COURSE_REJECTED = "course_rejected"
    SESSION_SCHEDULED = "session_scheduled"
    SESSION_CHANGED = "session_changed"
    SESSION_CANCELLED = "session_cancelled"
    SESSION_IN_A_DAY = "session_in_a_day"
    SESSION_IN_AN_HOUR = "session_in_an_hour"
    SESSION_NOW = "session_now"
    SESSION_STARTED = "session_started"
    CERTIFICATE_ISSUED = "certificate_issued"
    PAYMENT_RECEIVED = "payment_received"
    PAYMENT_REFUNDED = "payment_refunded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """`facts` are what its words are filled with and where it leads, in JSON names."""

    id: NotificationId
    user_id: UserId
    kind: NotificationKind
    facts: Mapping[str, Any]
    created_at: datetime
    read_at: datetime | None
