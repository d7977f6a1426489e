"""Sending files to the store: signed addresses of exact lengths, checked before anybody sees them."""

import secrets
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

import structlog

from liveserver.errors import (
    ForbiddenRole,
    Invalid,
    NotFound,
    QuotaExceeded,
    StoreUnavailable,
    UploadIncomplete,
    WrongState,
)
from liveserver.models.accounts import Role, User
from liveserver.models.ids import UploadId, UserId
from liveserver.models.uploads import (
    KINDS,
    MULTIPART_FROM,
    PART_SIZE,
    Purpose,
    SignedPart,
    Upload,
    UploadPlan,
    UploadStatus,
    extension_of,
    looks_like,
    zip_fault,
)
from liveserver.services.platform import Platform
from liveserver.storage import jobs, uploads, users
from liveserver.storage.jobs import Payload
from liveserver.storage.postgres import Connection, Database
from liveserver.storage.s3 import ObjectStore

HASH_DIFFERS = "content_differs_from_sha256"
PREPARE_VIDEO, PREPARE_PORTRAIT, SCREEN_FILE = "video.prepare", "portrait.prepare", "file.screen"
_PREPARED_BY = {Purpose.VIDEO: PREPARE_VIDEO, Purpose.AVATAR: PREPARE_PORTRAIT}
SECONDS_SIGNED = 600
_LARGEST_AVATAR_MIB = 5
_HEAD, _TAIL = 64 << 10, 4 << 20
_log = structlog.get_logger()


class Uploads:
    def __init__(
        self, database: Database, store: ObjectStore, platform: Platform, *, screens_files: bool
    ) -> None:
        self._database = database
        self._store = store
        self._platform = platform
        # What a video was made into is served, never the file itself: it needs no screening.
        self._prepared_by = _PREPARED_BY | ({Purpose.FILE: SCREEN_FILE} if screens_files else {})

    async def begin(
        self,
        user: User,
        *,
        purpose: Purpose,
        file_name: str,
        content_type: str,
        size: int,
        sha256: bytes | None = None,
    ) -> UploadPlan:
        """Plan an upload of `size` bytes; with `sha256`, what arrives must have it.

        Raises ForbiddenRole, Invalid, QuotaExceeded.
        """
        if purpose is not Purpose.AVATAR and user.role is not Role.INSTRUCTOR:
            raise ForbiddenRole
        kind = KINDS[purpose].get(extension_of(file_name))
        if kind is None:
            raise Invalid(("fileName", "type_not_allowed"), allowed=sorted(KINDS[purpose]))
        if content_type != kind.content_type:
            raise Invalid(("contentType", "does_not_match_name"), expected=kind.content_type)
        largest = self._largest(purpose)
        if size > largest:
            raise Invalid(("size", "too_large"), largest=largest)
        key = _new_key(user.id, extension_of(file_name))
        multipart = None
        part_size = size
        if size >= MULTIPART_FROM:
            multipart = await self._store.begin_multipart(key, content_type)
            part_size = PART_SIZE
        try:
            upload = await self._reserve(
                user,
                purpose=purpose,
                file_name=file_name,
                content_type=content_type,
                size=size,
                sha256=sha256,
                key=key,
                multipart_id=multipart,
                part_size=part_size,
            )
        except BaseException:
            if multipart is not None:
                with suppress(StoreUnavailable):
                    await self._store.abort_multipart(key, multipart)
            raise
        return await self._plan(upload, done=set())

    def _largest(self, purpose: Purpose) -> int:
        settings = self._platform.current
        mib = {Purpose.VIDEO: settings.max_video_mib, Purpose.FILE: settings.max_file_mib}
        return mib.get(purpose, _LARGEST_AVATAR_MIB) << 20

    async def _reserve(self, user: User, *, size: int, **facts: Any) -> Upload:
        """Take room for an upload out of the owner's. Raises QuotaExceeded."""
        quota = self._platform.current.quota_gib << 30
        async with self._database.transaction() as conn:
            await users.lock(conn, user.id)
            used = await uploads.total_of(conn, user.id)
            if used + size > quota:
                raise QuotaExceeded(used=used, quota=quota)
            return await uploads.insert(conn, user.id, size=size, **facts)

    async def view(self, user: User, upload_id: UploadId) -> UploadPlan:
        """Return an upload of one's own, with fresh addresses for the parts that are missing."""
        upload = await self._own(user, upload_id)
        if upload.status is not UploadStatus.UPLOADING:
            return UploadPlan(upload=upload, parts=[], expires_in=SECONDS_SIGNED)
        done: set[int] = set()
        if upload.multipart_id is not None:
            wanted = upload.part_sizes()
            done = {
                part.number
                for part in await self._store.parts(upload.key, upload.multipart_id)
                if part.number <= len(wanted) and part.size == wanted[part.number - 1]
            }
        return await self._plan(upload, done)

    async def complete(self, user: User, upload_id: UploadId) -> Upload:
        """Put the parts together and look at what arrived. Again: the same answer.

        Raises UploadIncomplete. A file that is not what it says it is becomes `failed` with a reason.
        """
        upload = await self._own(user, upload_id)
        if upload.status is not UploadStatus.UPLOADING:
            return upload
        place = await self._gather(upload)
        try:
            failure = await self._fault(upload, place)
        except StoreUnavailable:
            if place != upload.key:  # a copy that nobody knows of: the next try makes another
                await self._throw_away(place)
            raise
        async with self._database.transaction() as conn:
            current = await uploads.by_id(conn, upload_id, lock=True) or upload
            if current.status is UploadStatus.UPLOADING:
                await self._settle(conn, upload, place, failure)
                current = await uploads.by_id(conn, upload_id) or upload
        waste = set() if upload.multipart_id is not None else {upload.key}
        if current.object_key != place or failure is not None:
            waste.add(place)
        await self._throw_away(*waste)  # what can be sent there again is deleted once more by the sweep
        return current

    async def _throw_away(self, *keys: str) -> None:
        with suppress(StoreUnavailable):
            await self._store.delete(sorted(keys))

    async def _settle(self, conn: Connection, upload: Upload, place: str, failure: str | None) -> None:
        await uploads.set_object_key(conn, upload.id, place)
        if failure is not None:
            await uploads.set_status(conn, upload.id, UploadStatus.FAILED, failure)
        elif upload.purpose in self._prepared_by:
            await uploads.set_status(conn, upload.id, UploadStatus.PROCESSING)
            await jobs.enqueue(conn, self._prepared_by[upload.purpose], {"upload": str(upload.id)})
        else:
            await uploads.set_status(conn, upload.id, UploadStatus.READY)

    async def give_up(self, payload: Payload) -> None:
        """What an upload was to be made into could not be made, however often it was tried."""
        upload_id = UploadId(UUID(payload["upload"]))
        async with self._database.transaction() as conn:
            upload = await uploads.by_id(conn, upload_id, lock=True)
            if upload is None or upload.status is not UploadStatus.PROCESSING:
                return
            await uploads.set_status(conn, upload_id, UploadStatus.FAILED, "try_again")

    async def abandon(self, user: User, upload_id: UploadId) -> None:
        """Give an unfinished upload up. Raises WrongState once it is complete."""
        upload = await self._own(user, upload_id)
        if upload.status is not UploadStatus.UPLOADING:
            raise WrongState(state=upload.status)
        async with self._database.transaction() as conn:
            current = await uploads.by_id(conn, upload_id, lock=True)
            if current is None or current.status is not UploadStatus.UPLOADING:
                raise WrongState(state=current.status if current else UploadStatus.FAILED)
            await uploads.set_status(conn, upload.id, UploadStatus.FAILED, "abandoned")

    async def _own(self, user: User, upload_id: UploadId) -> Upload:
        async with self._database.connection() as conn:
            upload = await uploads.by_id(conn, upload_id)
        if upload is None or upload.owner_id != user.id:
            raise NotFound
        return upload

    async def _plan(self, upload: Upload, done: set[int]) -> UploadPlan:
        parts: list[SignedPart] = []
        for number, size in enumerate(upload.part_sizes(), 1):
            url = None
            if number not in done:
                url = await self._sign(upload, number, size)
            parts.append(SignedPart(number=number, size=size, done=number in done, url=url))
        return UploadPlan(upload=upload, parts=parts, expires_in=SECONDS_SIGNED)

    async def _sign(self, upload: Upload, number: int, size: int) -> str:
        if upload.multipart_id is None:
            return await self._store.sign_put(
                upload.key, content_type=upload.content_type, size=size, seconds=SECONDS_SIGNED
            )
        return await self._store.sign_part(
            upload.key, upload.multipart_id, number, size=size, seconds=SECONDS_SIGNED
        )

    async def _gather(self, upload: Upload) -> str:
        """Return the key of the whole file, where nobody can send anything any more."""
        if upload.multipart_id is None:
            if await self._store.facts(upload.key) is None:
                raise UploadIncomplete(missing=[1])
            place = _new_key(upload.owner_id, upload.extension)
            await self._store.copy(upload.key, place, upload.content_type)
            return place
        if await self._store.facts(upload.key) is not None:
            return upload.key  # the parts were joined before
        parts = await self._store.parts(upload.key, upload.multipart_id)
        arrived = {part.number: part for part in parts}
        missing = _missing(upload, {number: part.size for number, part in arrived.items()})
        if missing:
            raise UploadIncomplete(missing=missing)
        await self._store.finish_multipart(
            upload.key, upload.multipart_id, [arrived[n] for n in range(1, len(upload.part_sizes()) + 1)]
        )
        return upload.key

    async def _fault(self, upload: Upload, place: str) -> str | None:
        """Return what is wrong with what arrived, None when nothing is."""
        facts = await self._store.facts(place)
        if facts is None or facts.size != upload.size:
            return "wrong_size"
        head = await self._store.read(place, 0, min(_HEAD, upload.size))
        if not looks_like(upload.kind, head):
            return "content_does_not_match_type"
        if upload.kind.zipped:
            start = max(0, upload.size - _TAIL)
            fault = zip_fault(await self._store.read(place, start, upload.size), upload.size)
            if fault is not None:
                return fault
        # A video's is looked at when it is fetched to be made playable.
        if upload.sha256 is not None and upload.purpose is not Purpose.VIDEO:
            return None if await self._store.sha256(place) == upload.sha256 else HASH_DIFFERS
        return None


async def in_work(database: Database, payload: Payload) -> Upload | None:
    """Return the upload a job is about, None when there is nothing left to do for it."""
    async with database.connection() as conn:
        upload = await uploads.by_id(conn, UploadId(UUID(payload["upload"])))
    return upload if upload is not None and upload.status is UploadStatus.PROCESSING else None


def _new_key(owner: UserId, extension: str) -> str:
    """Return a name no one can guess or choose; the owner's id keeps a bucket readable for its operator."""
    return f"u/{owner}/{secrets.token_hex(16)}.{extension}"


def _missing(upload: Upload, arrived: dict[int, int]) -> Sequence[int]:
    return [n for n, size in enumerate(upload.part_sizes(), 1) if arrived.get(n) != size]
