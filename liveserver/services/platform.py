"""What an admin may set while the server runs."""

import time
from dataclasses import dataclass

from liveserver.storage import platform_settings
from liveserver.storage.postgres import Database

_SECONDS_FRESH = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformSettings:
    registration_open: bool = True
    instructor_approval: bool = False
    public_catalog: bool = True


_KEYS = {
    "registrationOpen": "registration_open",
    "instructorApproval": "instructor_approval",
    "publicCatalog": "public_catalog",
}


class Platform:
    """Reads the settings, at most every five seconds: that is how soon a change is in force."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._settings = PlatformSettings()
        self._read_at = float("-inf")

    async def settings(self) -> PlatformSettings:
        if time.monotonic() - self._read_at > _SECONDS_FRESH:
            async with self._database.connection() as conn:
                stored = await platform_settings.all_of(conn)
            self._settings = PlatformSettings(
                **{_KEYS[key]: bool(value) for key, value in stored.items() if key in _KEYS}
            )
            self._read_at = time.monotonic()
        return self._settings
