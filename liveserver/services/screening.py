"""Files are looked at by a virus scanner before anybody may have them, where the operator runs one."""

from collections.abc import AsyncIterator
from typing import Protocol
from uuid import UUID

import structlog

from liveserver.models.ids import UploadId
from liveserver.models.uploads import UploadStatus
from liveserver.storage import uploads
from liveserver.storage.jobs import Payload
from liveserver.storage.postgres import Database
from liveserver.storage.s3 import ObjectStore

_log = structlog.get_logger()


class Scanner(Protocol):
    """What knows viruses; it raises while it cannot say, and is asked again then."""

    async def scan(self, pieces: AsyncIterator[bytes]) -> str | None: ...


class Screening:
    def __init__(
        self, database: Database, store: ObjectStore, scanner: Scanner | None, too_large: type[Exception]
    ) -> None:
        self._database = database
        self._store = store
        self._scanner = scanner
        self._too_large = too_large

    async def screen(self, payload: Payload) -> None:
        """Let a file be served or not; a job. Raises what the scanner raises, to be tried again."""
        upload_id = UploadId(UUID(payload["upload"]))
        async with self._database.connection() as conn:
            upload = await uploads.by_id(conn, upload_id)
        if upload is None or upload.status is not UploadStatus.PROCESSING:
            return
        reason = None
        if self._scanner is not None:  # it may have been taken out of the settings since
            try:
                found = await self._scanner.scan(self._store.pieces(upload.object_key))
            except self._too_large:
                reason = "too_large_to_scan"
            else:
                reason = "infected" if found else None
                if found:
                    _log.warning("upload.infected", upload=str(upload_id), found=found)
        async with self._database.transaction() as conn:
            status = UploadStatus.READY if reason is None else UploadStatus.FAILED
            await uploads.set_status(conn, upload_id, status, reason)
        if reason is not None:
            await self._store.delete([upload.object_key])
