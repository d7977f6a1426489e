"""People and their logins."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from liveserver.models.ids import AuditId, FamilyId, UserId


class Role(StrEnum):
    STUDENT = "student"
    INSTRUCTOR = "instructor"
    ADMIN = "admin"


class AccountStatus(StrEnum):
    ACTIVE = "active"
    PENDING = "pending"  # an instructor an admin has yet to approve
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    id: UserId
    name: str
    email: str
    role: Role
    status: AccountStatus
    locale: str
    timezone: str
    token_version: int
    created_at: datetime
    avatar_key: str | None = None
    email_verified_at: datetime | None = None
    awaits_confirmation: bool = False  # registered while addresses were to be confirmed, and did not yet

    @property
    def is_disabled(self) -> bool:
        return self.status is AccountStatus.DISABLED


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """What a verified access token says: who, by which login."""

    user: User
    family: FamilyId


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """What login, register and refresh hand out. `expires_in` is in seconds."""

    user: User
    access: str
    expires_in: int
    refresh: str
    refresh_expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceLogin:
    """One login of one device, as its owner sees it."""

    id: FamilyId
    user_agent: str
    address: str
    created_at: datetime
    used_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class InstructorProfile:
    """What an instructor says of themselves, and what there is of theirs."""

    user: User
    headline: str
    bio: str
    links: Sequence[str] = field(default_factory=tuple)
    course_count: int = 0
    student_count: int = 0
    session_count: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class UserFilter:
    """What an admin looks for among accounts; None leaves a question open."""

    words: str | None = None
    role: Role | None = None
    status: AccountStatus | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One change by somebody; `details` in JSON names."""

    id: AuditId
    actor_id: UserId | None
    actor_name: str | None
    action: str
    subject: str | None
    details: dict[str, object]
    at: datetime
