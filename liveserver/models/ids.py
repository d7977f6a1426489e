"""Typed identifiers. Every id is a UUIDv7 made here, so rows sort by their birth."""

import os
import time
from typing import NewType
from uuid import UUID

UserId = NewType("UserId", UUID)
FamilyId = NewType("FamilyId", UUID)
CourseId = NewType("CourseId", UUID)
SectionId = NewType("SectionId", UUID)
LessonId = NewType("LessonId", UUID)
EnrollmentId = NewType("EnrollmentId", UUID)
LiveSessionId = NewType("LiveSessionId", UUID)
NotificationId = NewType("NotificationId", UUID)
UploadId = NewType("UploadId", UUID)
OrderId = NewType("OrderId", UUID)
CouponId = NewType("CouponId", UUID)
CertificateId = NewType("CertificateId", UUID)
PlaybackId = NewType("PlaybackId", UUID)
WebhookId = NewType("WebhookId", UUID)
AuditId = NewType("AuditId", UUID)


def uuid7() -> UUID:
    """Return a new UUIDv7 (RFC 9562, section 5.7): 48 bits of Unix milliseconds, 74 random bits."""
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds & (1 << 48) - 1) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 7 << 76
    value = value & ~(0b11 << 62) | 0b10 << 62
    return UUID(int=value)
