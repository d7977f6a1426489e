"""People and their logins."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from liveserver.models.ids import FamilyId, UserId


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
