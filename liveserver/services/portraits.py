"""Portraits of people: an uploaded picture is made small and square, then its owner may show it."""

from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path
from typing import Protocol

import structlog

from liveserver.errors import Invalid, StoreUnavailable
from liveserver.models.accounts import User
from liveserver.models.ids import UploadId, UserId
from liveserver.models.uploads import Purpose, UploadStatus, portrait_key
from liveserver.services.uploads import in_work
from liveserver.storage import uploads
from liveserver.storage.jobs import Payload
from liveserver.storage.postgres import Connection, Database
from liveserver.storage.s3 import ObjectStore

_SECONDS_SIGNED = 600
_log = structlog.get_logger()


class PictureConverter(Protocol):
    """What makes a portrait of a picture; its failures say why in a word."""

    def folder(self, name: str) -> AbstractAsyncContextManager[Path]: ...
    async def portrait(self, source: Path, target: Path) -> None: ...


class Portraits:
    def __init__(
        self, database: Database, store: ObjectStore, converter: PictureConverter, failed: type[Exception]
    ) -> None:
        self._database = database
        self._store = store
        self._converter = converter
        self._failed = failed

    async def prepare(self, payload: Payload) -> None:
        """Make a portrait of one uploaded picture; a job. Again, and it is made anew or was done.

        What was uploaded is thrown away: it may tell where it was taken.
        """
        upload = await in_work(self._database, payload)
        if upload is None:
            return
        status, reason = UploadStatus.READY, None
        async with self._converter.folder(str(upload.id)) as folder:
            source, made = folder / "source", folder / "portrait.jpg"
            await self._store.download(upload.object_key, source)
            try:
                await self._converter.portrait(source, made)
            except self._failed as error:
                status, reason = UploadStatus.FAILED, str(error)
                _log.info("portrait.failed", upload=str(upload.id), reason=reason)
            else:
                key = portrait_key(upload.owner_id, upload.id)
                await self._store.put(key, made.read_bytes(), "image/jpeg")
        async with self._database.transaction() as conn:
            await uploads.set_status(conn, upload.id, status, reason)
        await self._store.delete([upload.object_key])

    async def chosen(self, conn: Connection, user: User, upload_id: UploadId) -> str:
        """Return the key of a portrait somebody may show as theirs. Raises Invalid."""
        upload = await uploads.by_id(conn, upload_id)
        if upload is None or upload.owner_id != user.id or upload.purpose is not Purpose.AVATAR:
            raise Invalid(("avatar", "unknown"))
        if upload.status is not UploadStatus.READY:
            raise Invalid(("avatar", upload.status))
        return portrait_key(user.id, upload_id)

    async def address(self, owner: UserId, upload_id: UploadId) -> str:
        """Return where to GET a portrait for the next ten minutes; whether there is one the store says."""
        return await self._store.sign_get(portrait_key(owner, upload_id), seconds=_SECONDS_SIGNED)

    async def forget(self, key: str) -> None:
        """Throw away a portrait nobody shows any more; one that is left harms nobody."""
        with suppress(StoreUnavailable):
            await self._store.delete([key])
