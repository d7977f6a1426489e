"""Uploading: a plan of signed addresses, what is left of it, and the check at the end."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from api.contract import Request, route
from api.scalars import ONE_LINE, Body, Instant, Out, Whole
from liveserver.errors import ForbiddenRole, QuotaExceeded, StoreUnavailable, UploadIncomplete, WrongState
from liveserver.models.ids import UploadId
from liveserver.models.uploads import Purpose, Upload, UploadPlan, UploadStatus

FileName = Annotated[
    str, StringConstraints(min_length=3, max_length=200, strip_whitespace=True, pattern=ONE_LINE)
]


class UploadIn(Body):
    """`size` is in bytes, and is what must arrive: the store refuses another length.

    With `sha256`, in hex, what arrives is compared with it before anybody sees it.
    """

    purpose: Literal["video", "file", "avatar"]
    file_name: FileName
    content_type: Annotated[str, StringConstraints(min_length=3, max_length=100)]
    size: Annotated[int, Field(ge=1, le=1 << 40), Whole]
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = None


class PartOut(Out):
    """PUT exactly `size` bytes to `url`; a part that is `done` has arrived and has none."""

    number: int
    size: int
    done: bool
    url: str | None = None


class UploadOut(Out):
    """`contentUrl` is the key a lesson is given; `percent` is of the processing, `failure` a word."""

    id: UploadId
    purpose: Purpose
    file_name: str
    content_type: str
    size: int
    content_url: str
    status: UploadStatus
    failure: str | None = None
    percent: int
    created_at: Instant


class UploadPlanOut(UploadOut):
    """`expiresIn` is in seconds; ask again for fresh addresses. `partSize` is each part's but the last's."""

    part_size: int
    parts: list[PartOut]
    expires_in: int


@route(
    "POST",
    "/api/uploads/signed-url",
    status=201,
    raises=(ForbiddenRole, QuotaExceeded, StoreUnavailable),
)
async def begin_upload(request: Request, body: UploadIn) -> UploadPlanOut:
    plan = await request.services.uploads.begin(
        request.user,
        purpose=Purpose(body.purpose),
        file_name=body.file_name,
        content_type=body.content_type,
        size=body.size,
        sha256=bytes.fromhex(body.sha256) if body.sha256 else None,
    )
    return _plan(plan)


@route("GET", "/api/uploads/{upload}", raises=(StoreUnavailable,))
async def read_upload(request: Request, upload: UploadId) -> UploadPlanOut:
    """Say what has arrived, with addresses for what has not: an upload goes on after a crash."""
    return _plan(await request.services.uploads.view(request.user, upload))


@route("POST", "/api/uploads/{upload}/complete", raises=(UploadIncomplete, StoreUnavailable))
async def complete_upload(request: Request, upload: UploadId) -> UploadOut:
    return _out(await request.services.uploads.complete(request.user, upload))


@route("DELETE", "/api/uploads/{upload}", status=204, raises=(WrongState, StoreUnavailable))
async def abandon_upload(request: Request, upload: UploadId) -> None:
    await request.services.uploads.abandon(request.user, upload)


def _out(upload: Upload) -> UploadOut:
    return UploadOut(
        id=upload.id,
        purpose=upload.purpose,
        file_name=upload.file_name,
        content_type=upload.content_type,
        size=upload.size,
        content_url=upload.key,
        status=upload.status,
        failure=upload.failure,
        percent=upload.percent,
        created_at=upload.created_at,
    )


def _plan(plan: UploadPlan) -> UploadPlanOut:
    return UploadPlanOut(
        **_out(plan.upload).model_dump(),
        part_size=plan.upload.part_size,
        parts=[PartOut.model_validate(part) for part in plan.parts],
        expires_in=plan.expires_in,
    )


ROUTES = [begin_upload, read_upload, complete_upload, abandon_upload]
