"""Other systems that are told what happens, and how each telling went."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from liveserver.models.ids import WebhookId

# When a delivery that failed is tried again; after the last it is given up.
RETRIES = tuple(timedelta(seconds=one) for one in (10, 60, 300, 1800, 7200, 21_600, 86_400))


class WebhookEvent(StrEnum):
    SESSION_STARTED = "session.started"
    SESSION_ENDED = "session.ended"
    ATTENDANCE_FINAL = "attendance.final"
    ENROLLMENT_CREATED = "enrollment.created"
    CERTIFICATE_ISSUED = "certificate.issued"
    PAYMENT_RECEIVED = "payment.received"


class DeliveryStatus(StrEnum):
    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    id: WebhookId
    url: str
    events: Sequence[WebhookEvent]
    secret_sealed: bytes
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """`response` is the receiver's status, or in a word why there was none."""

    id: WebhookId
    webhook_id: WebhookId
    event: WebhookEvent
    payload: Mapping[str, Any]
    status: DeliveryStatus
    attempts: int
    response: str | None
    created_at: datetime
    attempted_at: datetime | None
