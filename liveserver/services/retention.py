"""What is thrown away: uploads nobody finished, what failed, what no lesson shows any more."""

from datetime import UTC, datetime, timedelta

import structlog

from liveserver.errors import StoreUnavailable
from liveserver.models.uploads import Upload, UploadStatus
from liveserver.services.platform import Platform
from liveserver.services.uploads import SECONDS_SIGNED
from liveserver.storage import uploads
from liveserver.storage.postgres import Database
from liveserver.storage.s3 import ObjectStore

_ADDRESSES_OVER = timedelta(seconds=SECONDS_SIGNED + 300)
_UNFINISHED_AFTER = timedelta(hours=24)
_LOOK_EVERY = timedelta(hours=6)
_log = structlog.get_logger()


class Retention:
    """An upload first fails, by its row; then its objects go, so that nobody is promised what is gone."""

    def __init__(self, database: Database, store: ObjectStore, platform: Platform) -> None:
        self._database = database
        self._store = store
        self._platform = platform

    async def sweep(self) -> None:
        """Throw away what is due. Raises StoreUnavailable, and goes on where it was the next time."""
        await self._unfinished()
        await self._unused()
        await self._sent_late()
        await self._leftovers()

    async def _unfinished(self) -> None:
        """What nobody finished within a day has failed."""
        async with self._database.transaction() as conn:
            for upload in await uploads.unfinished_before(conn, datetime.now(UTC) - _UNFINISHED_AFTER):
                await uploads.set_status(conn, upload.id, UploadStatus.FAILED, "not_finished")

    async def _unused(self) -> None:
        """So has what no lesson has shown for as long as the settings say: of deleted courses, sections and
        lessons, what was replaced, what was never used.
        """
        now = datetime.now(UTC)
        async with self._database.transaction() as conn:
            await uploads.note_use(conn, now - _LOOK_EVERY)
        async with self._database.transaction() as conn:
            kept = timedelta(days=self._platform.current.purge_days)
            for upload in await uploads.unused_since(conn, now - kept):
                await uploads.set_status(conn, upload.id, UploadStatus.FAILED, "purged")
                _log.info("upload.purged", upload=str(upload.id))

    async def _sent_late(self) -> None:
        """What was sent to an address after its file was taken away from there."""
        async with self._database.connection() as conn:
            over = await uploads.staged_before(conn, datetime.now(UTC) - _ADDRESSES_OVER)
        if over:
            await self._store.delete([upload.key for upload in over if upload.key != upload.object_key])
            async with self._database.connection() as conn:
                await uploads.set_unstaged(conn, [upload.id for upload in over])

    async def _leftovers(self) -> None:
        async with self._database.connection() as conn:
            left = [(one, await uploads.video(conn, one.id)) for one in await uploads.left_over(conn)]
        refused: StoreUnavailable | None = None
        for upload, video in left:
            try:
                await self._erase(upload, video.prefix if video is not None else None)
            except StoreUnavailable as error:  # what cannot be deleted is in nobody's way
                refused = error
                continue
            async with self._database.connection() as conn:
                await uploads.set_erased(conn, upload.id)
        if refused is not None:
            raise refused

    async def _erase(self, upload: Upload, prefix: str | None) -> None:
        if upload.multipart_id is not None:
            await self._store.abort_multipart(upload.key, upload.multipart_id)
        made = await self._store.list(f"{prefix}/") if prefix is not None else {}
        await self._store.delete(list(dict.fromkeys([upload.key, upload.object_key, *made])))
