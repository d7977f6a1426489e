"""The object store: any S3. Signed addresses for browsers; reads and whole files for the server itself."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from aiobotocore.session import get_session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.handlers import add_expect_header

from liveserver.errors import StoreUnavailable

_MOST_AT_ONCE = 1000  # keys in one request to delete
_CHUNK = 1 << 20
# Seconds, with every try: of what somebody waits for, for each object more of it, and of anything else but to
# read an object through.
_PROMPTLY, _PER_OBJECT, _AT_MOST = 2.0, 0.05, 60.0
_GONE = {"404", "NoSuchKey", "NotFound", "NoSuchUpload"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the store says of an object."""

    size: int
    content_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    number: int
    size: int
    etag: str


class ObjectStore:
    """One bucket. `_server` speaks to it from here; `_browser` only signs, for the address browsers use."""

    def __init__(self, server: Any, browser: Any, bucket: str) -> None:
        self._server = server
        self._browser = browser
        self._bucket = bucket

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        *,
        endpoint: str,
        public_endpoint: str,
        bucket: str,
        region: str,
        access_key: str,
        secret_key: str,
    ) -> AsyncIterator["ObjectStore"]:
        session = get_session()
        common = {
            "region_name": region,
            "aws_access_key_id": access_key,
            "aws_secret_access_key": secret_key,
            "config": Config(
                s3={"addressing_style": "path"},
                signature_version="s3v4",
                retries={"max_attempts": 3},
                connect_timeout=3,
                read_timeout=30,
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        }
        async with (
            session.create_client("s3", endpoint_url=endpoint, **common) as server,
            session.create_client("s3", endpoint_url=public_endpoint or endpoint, **common) as browser,
        ):
            # aiohttp waits without end for the "100 Continue" of a store that says nothing.
            server.meta.events.unregister("before-call.s3", add_expect_header)
            yield cls(server, browser, bucket)

    async def prepare(self, origins: Sequence[str]) -> None:
        """Make the bucket if it is not there, and let our pages read and write by signed address."""
        async with _told(_AT_MOST):
            try:
                await self._server.head_bucket(Bucket=self._bucket)
            except ClientError:
                await self._server.create_bucket(Bucket=self._bucket)
            await self._server.put_bucket_cors(
                Bucket=self._bucket,
                CORSConfiguration={
                    "CORSRules": [
                        {
                            "AllowedOrigins": list(origins),
                            "AllowedMethods": ["GET", "PUT", "HEAD"],
                            "AllowedHeaders": ["*"],
                            "ExposeHeaders": ["ETag", "Content-Range"],
                            "MaxAgeSeconds": 3600,
                        }
                    ]
                },
            )

    async def ping(self) -> None:
        async with _told(_PROMPTLY):
            await self._server.head_bucket(Bucket=self._bucket)

    # Signed addresses

    async def sign_put(self, key: str, *, content_type: str, size: int, seconds: int) -> str:
        """Return where to PUT exactly `size` bytes of that type; the store refuses any others."""
        return await self._sign("put_object", seconds, Key=key, ContentType=content_type, ContentLength=size)

    async def sign_part(self, key: str, multipart: str, part: int, *, size: int, seconds: int) -> str:
        """Return where to PUT one part of exactly `size` bytes."""
        return await self._sign(
            "upload_part", seconds, Key=key, UploadId=multipart, PartNumber=part, ContentLength=size
        )

    async def sign_get(
        self, key: str, *, seconds: int, file_name: str | None = None, content_type: str | None = None
    ) -> str:
        """Return where to GET one object; with a name it is saved as that, whatever its letters."""
        extra: dict[str, Any] = {}
        if file_name is not None:
            plain = "".join(c if c.isascii() and (c.isalnum() or c in "._- ") else "_" for c in file_name)
            extra["ResponseContentDisposition"] = (
                f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(file_name, safe='')}"
            )
        if content_type is not None:
            extra["ResponseContentType"] = content_type
        return await self._sign("get_object", seconds, Key=key, **extra)

    async def _sign(self, deed: str, seconds: int, **parameters: Any) -> str:
        url: str = await self._browser.generate_presigned_url(
            deed, Params={"Bucket": self._bucket, **parameters}, ExpiresIn=seconds
        )
        return url

    # Multipart uploads

    async def begin_multipart(self, key: str, content_type: str) -> str:
        async with _told(_PROMPTLY):
            answer = await self._server.create_multipart_upload(
                Bucket=self._bucket, Key=key, ContentType=content_type
            )
        upload: str = answer["UploadId"]
        return upload

    async def parts(self, key: str, multipart: str) -> list[Part]:
        """Return the parts that have arrived, in order."""
        found: list[Part] = []
        marker = 0
        while True:
            async with _told(_PROMPTLY):
                answer = await self._server.list_parts(
                    Bucket=self._bucket, Key=key, UploadId=multipart, PartNumberMarker=marker
                )
            found += [
                Part(number=one["PartNumber"], size=one["Size"], etag=one["ETag"])
                for one in answer.get("Parts", [])
            ]
            if not answer.get("IsTruncated"):
                return found
            marker = answer["NextPartNumberMarker"]

    async def finish_multipart(self, key: str, multipart: str, parts: Sequence[Part]) -> None:
        async with _told(_AT_MOST):
            await self._server.complete_multipart_upload(
                Bucket=self._bucket,
                Key=key,
                UploadId=multipart,
                MultipartUpload={"Parts": [{"PartNumber": p.number, "ETag": p.etag} for p in parts]},
            )

    async def abort_multipart(self, key: str, multipart: str) -> None:
        """Throw the parts away; one that is gone already is no error."""
        async with _told(_PROMPTLY):
            try:
                await self._server.abort_multipart_upload(Bucket=self._bucket, Key=key, UploadId=multipart)
            except ClientError as error:
                if error.response["Error"]["Code"] not in _GONE:
                    raise

    # Objects

    async def facts(self, key: str) -> Facts | None:
        """Return size and type of an object, None when there is none."""
        async with _told(_PROMPTLY):
            try:
                answer = await self._server.head_object(Bucket=self._bucket, Key=key)
            except ClientError as error:
                if error.response["Error"]["Code"] in _GONE:
                    return None
                raise
        return Facts(size=answer["ContentLength"], content_type=answer.get("ContentType", ""))

    async def read(self, key: str, start: int, end: int) -> bytes:
        """Return the bytes from `start` up to, not with, `end`."""
        async with _told(_AT_MOST):
            answer = await self._server.get_object(
                Bucket=self._bucket, Key=key, Range=f"bytes={start}-{end - 1}"
            )
            async with answer["Body"] as body:
                data: bytes = await body.read()
        return data

    async def sha256(self, key: str) -> bytes:
        """Read an object through, piece by piece, and return its digest."""
        digest = hashlib.sha256()
        async for piece in self.pieces(key):
            digest.update(piece)
        return digest.digest()

    async def download(self, key: str, path: Path) -> None:
        """Write an object to a file, piece by piece."""
        with path.open("wb") as file:
            async for piece in self.pieces(key):
                file.write(piece)

    async def pieces(self, key: str) -> AsyncIterator[bytes]:
        """Read an object through."""
        async with _told():
            answer = await self._server.get_object(Bucket=self._bucket, Key=key)
            async with answer["Body"] as body:
                async for piece in body.iter_chunks(_CHUNK):
                    yield piece

    async def copy(self, key: str, target: str, content_type: str) -> None:
        """Copy an object within the store; what is not there is left."""
        async with _told(_AT_MOST):
            try:
                await self._server.copy_object(
                    Bucket=self._bucket,
                    Key=target,
                    CopySource={"Bucket": self._bucket, "Key": key},
                    MetadataDirective="REPLACE",
                    ContentType=content_type,
                )
            except ClientError as error:
                if error.response["Error"]["Code"] not in _GONE:
                    raise

    async def put(self, key: str, data: bytes, content_type: str) -> None:
        async with _told(_AT_MOST):
            await self._server.put_object(Bucket=self._bucket, Key=key, Body=data, ContentType=content_type)

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete objects, however many; what is not there is as good as deleted."""
        for at in range(0, len(keys), _MOST_AT_ONCE):
            some = [{"Key": key} for key in keys[at : at + _MOST_AT_ONCE]]
            async with _told(_PROMPTLY + _PER_OBJECT * len(some)):
                answer = await self._server.delete_objects(
                    Bucket=self._bucket, Delete={"Objects": some, "Quiet": True}
                )
                if answer.get("Errors"):
                    raise OSError(answer["Errors"][0].get("Message", "not deleted"))

    async def list(self, prefix: str) -> Mapping[str, int]:
        """Return the keys below a prefix with their sizes."""
        found: dict[str, int] = {}
        async with _told():
            pages = self._server.get_paginator("list_objects_v2")
            async for page in pages.paginate(Bucket=self._bucket, Prefix=prefix):
                found.update({one["Key"]: one["Size"] for one in page.get("Contents", [])})
        return found


@asynccontextmanager
async def _told(seconds: float | None = None) -> AsyncIterator[None]:
    """Make the store's failures ours, and its silence after so many seconds."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except (ClientError, BotoCoreError, OSError, TimeoutError) as error:
        raise StoreUnavailable(retryAfter=5) from error
