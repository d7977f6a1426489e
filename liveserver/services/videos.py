"""Making uploaded videos playable: fetched, converted in another process, put back as encrypted segments."""

import asyncio
import hashlib
import secrets
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Protocol

import structlog

from liveserver.models.uploads import Rendition, Upload, UploadStatus, Video
from liveserver.services.sealing import seal
from liveserver.services.uploads import HASH_DIFFERS, in_work
from liveserver.storage import uploads
from liveserver.storage.jobs import Payload
from liveserver.storage.postgres import Database
from liveserver.storage.s3 import ObjectStore

CONTENT_KEY = b"content-key"
_log = structlog.get_logger()


class VideoConverter(Protocol):
    """What turns a file into HLS; its failures carry a `reason`."""

    def folder(self, name: str) -> AbstractAsyncContextManager[Path]: ...
    async def convert(
        self, source: Path, folder: Path, key: bytes, on_percent: Callable[[int], Awaitable[None]]
    ) -> dict[str, Any]: ...


def _sha256(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


class Videos:
    def __init__(
        self,
        database: Database,
        store: ObjectStore,
        converter: VideoConverter,
        failed: type[Exception],
        *,
        secret: str,
    ) -> None:
        self._database = database
        self._store = store
        self._converter = converter
        self._failed = failed
        self._secret = secret.encode()

    async def prepare(self, payload: Payload) -> None:
        """Make one uploaded video playable; a job. Again, and it is made anew or was done."""
        upload = await in_work(self._database, payload)
        if upload is None:
            return
        try:
            video = await self._convert(upload)
        except self._failed as error:
            reason = str(error)
            _log.info("video.failed", upload=str(upload.id), reason=reason)
            async with self._database.transaction() as conn:
                await uploads.set_status(conn, upload.id, UploadStatus.FAILED, reason)
            return
        async with self._database.transaction() as conn:
            await uploads.put_video(conn, video)
            await uploads.set_status(conn, upload.id, UploadStatus.READY)
            await uploads.set_percent(conn, upload.id, 100)
            await uploads.set_durations(conn, upload.id, max(1, round(video.duration)))

    async def _convert(self, upload: Upload) -> Video:
        key = secrets.token_bytes(16)
        prefix = f"v/{upload.owner_id}/{upload.id}"
        async with self._converter.folder(str(upload.id)) as folder:
            source, made = folder / f"source.{upload.extension}", folder / "hls"
            made.mkdir()
            await self._store.download(upload.object_key, source)
            if upload.sha256 is not None and await asyncio.to_thread(_sha256, source) != upload.sha256:
                raise self._failed(HASH_DIFFERS)

            async def note(percent: int) -> None:
                async with self._database.connection() as conn:
                    await uploads.set_percent(conn, upload.id, percent)

            facts = await self._converter.convert(source, made, key, note)
            source.unlink()
            await self._put_back(made, prefix)
        return Video(
            upload_id=upload.id,
            prefix=prefix,
            duration=facts["duration"],
            renditions=[Rendition(**one) for one in facts["renditions"]],
            content_key=seal(self._secret, CONTENT_KEY, key),
            poster_key=f"{prefix}/poster.jpg",
        )

    async def _put_back(self, made: Path, prefix: str) -> None:
        for path in await asyncio.to_thread(lambda: sorted(made.rglob("*"))):
            kind = {".ts": "video/mp2t", ".jpg": "image/jpeg"}.get(path.suffix)
            if kind is not None:
                await self._store.put(f"{prefix}/{path.relative_to(made)}", path.read_bytes(), kind)
