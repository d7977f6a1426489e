"""Files are looked at by a virus scanner before anybody may have them, where the operator runs one."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import ClassVar, Protocol

import structlog

from liveserver.errors import StoreUnavailable
from liveserver.models.uploads import Upload, UploadStatus
from liveserver.services.uploads import SCREEN_FILE, in_work
from liveserver.storage import jobs, uploads
from liveserver.storage.jobs import Payload
from liveserver.storage.postgres import Database
from liveserver.storage.s3 import ObjectStore

_AGAIN = timedelta(seconds=10)
_log = structlog.get_logger()


class Scanner(Protocol):
    """What knows viruses. Raises `Away` while it cannot say, `TooLarge` for what it never will."""

    Away: ClassVar[type[Exception]]
    TooLarge: ClassVar[type[Exception]]

    async def scan(self, pieces: AsyncIterator[bytes]) -> str | None: ...


class Screening:
    def __init__(self, database: Database, store: ObjectStore, scanner: Scanner | None) -> None:
        self._database = database
        self._store = store
        self._scanner = scanner
        self._away: tuple[type[Exception], ...] = (StoreUnavailable,)
        if scanner is not None:
            self._away += (scanner.Away,)

    async def screen(self, payload: Payload) -> None:
        """Let a file be served or not; a job. While the scanner or the store is away, the file waits."""
        upload = await in_work(self._database, payload)
        if upload is None:
            return
        try:
            reason = await self._fault(upload)
        except self._away:
            _log.warning("upload.waits_for_scanner", upload=str(upload.id))
            async with self._database.transaction() as conn:
                await jobs.enqueue(conn, SCREEN_FILE, payload, after=_AGAIN)
            return
        async with self._database.transaction() as conn:
            current = await uploads.by_id(conn, upload.id, lock=True)
            if current is not None and current.status is UploadStatus.PROCESSING:
                status = UploadStatus.READY if reason is None else UploadStatus.FAILED
                await uploads.set_status(conn, upload.id, status, reason)

    async def _fault(self, upload: Upload) -> str | None:
        """Return why a file may not be had, None when it may."""
        if self._scanner is None:  # it was taken out of the settings since
            return None
        try:
            found = await self._scanner.scan(self._store.pieces(upload.object_key))
        except self._scanner.TooLarge:
            return "too_large_to_scan"
        if found is None:
            return None
        _log.warning("upload.infected", upload=str(upload.id), found=found)
        return "infected"
