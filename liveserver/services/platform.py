"""What an admin may set while the server runs."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

import structlog

from liveserver.errors import Invalid, Unavailable
from liveserver.models.accounts import User
from liveserver.storage import audit, platform_settings
from liveserver.storage.bus import Bus, Happening
from liveserver.storage.postgres import Database

_SECONDS_FRESH = 2.0
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformSettings:
    """Every setting and its default."""

    registration_open: bool = True
    instructor_approval: bool = False
    verify_email: bool = False
    public_catalog: bool = True
    review_edits: bool = False  # an edit of an approved course sends it back to review
    keep_access_when_rejected: bool = True  # who is enrolled goes on with a course that is rejected
    allow_overlap: bool = False  # an instructor may plan two classes at one time
    max_playbacks: int = 2  # videos one person may watch at once
    completion_percent: int = 90  # of a video's seconds, before its lesson counts as complete
    attendance_percent: int = 50  # of a class, before its live lesson counts as complete
    quota_gib: int = 50  # what one instructor may keep in the store
    max_video_mib: int = 5120
    max_file_mib: int = 100
    purge_days: int = 90  # after which what no lesson shows any more leaves the store


def _in_json(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


_NAMES = {
    _in_json(field.name): field.name for field in fields(PlatformSettings)
}  # stored in their JSON names


class Platform:
    """Keeps the settings at hand: read again every two seconds, and at once when a process changed them."""

    def __init__(self, database: Database, bus: Bus, *, has_mail: bool) -> None:
        self._database = database
        self._bus = bus
        self._has_mail = has_mail
        self._changed = asyncio.Event()
        self.current = PlatformSettings()
        bus.listen(self._happened)

    async def refresh(self) -> None:
        async with self._database.connection() as conn:
            stored = await platform_settings.all_of(conn)
        self.current = PlatformSettings(
            **{_NAMES[key]: value for key, value in stored.items() if key in _NAMES}  # type: ignore[arg-type]
        )

    async def run(self) -> None:
        """Follow the database until cancelled."""
        while True:
            try:
                async with asyncio.timeout(_SECONDS_FRESH):
                    await self._changed.wait()
            except TimeoutError:
                pass
            self._changed.clear()
            try:
                await self.refresh()
            except Unavailable as error:
                _log.warning("platform.unavailable", code=error.code)

    async def change(self, admin: User, given: Mapping[str, bool | int]) -> PlatformSettings:
        """Set what is given, note old and new in the audit log, tell every process. Raises Invalid."""
        if given.get("verify_email") and not self._has_mail:
            raise Invalid(("verifyEmail", "needs_mail"))  # nobody could confirm
        async with self._database.transaction() as conn:
            await platform_settings.lock(conn)
            default = {_in_json(name): value for name, value in asdict(PlatformSettings()).items()}
            old = default | await platform_settings.all_of(conn)
            wanted = {_in_json(name): value for name, value in given.items()}
            changed = {key: value for key, value in wanted.items() if old[key] != value}
            for key, value in changed.items():
                await platform_settings.put(conn, key, json.dumps(value))
            if changed:
                await audit.write(
                    conn,
                    admin.id,
                    "settings.changed",
                    None,
                    old={key: old[key] for key in changed},
                    new=changed,
                )
        await self.refresh()
        await self._bus.publish("settings.changed")
        return self.current

    def _happened(self, happening: Happening) -> None:
        if happening["kind"] == "settings.changed":
            self._changed.set()
