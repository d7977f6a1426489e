"""Files on their way from a browser to the store, and what became of them."""

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from liveserver.models.ids import UploadId, UserId

MULTIPART_FROM = 16 << 20
PART_SIZE = 16 << 20
_GIB = 1 << 30
_MOST_ENTRIES, _MOST_RATIO, _MOST_UNPACKED = 2000, 100, _GIB


class Purpose(StrEnum):
    VIDEO = "video"
    FILE = "file"
    AVATAR = "avatar"


class UploadStatus(StrEnum):
    UPLOADING = "uploading"
    PROCESSING = "processing"
    READY = "ready"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of file we take: its type, and how its first bytes look."""

    content_type: str
    magic: tuple[tuple[int, bytes], ...]  # any of (offset, bytes)
    zipped: bool = False


_OLE = ((0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),)
_ZIP = ((0, b"PK\x03\x04"),)
_OFFICE = "application/vnd.openxmlformats-officedocument"
KINDS: dict[Purpose, dict[str, Kind]] = {
    Purpose.VIDEO: {
        "mp4": Kind("video/mp4", ((4, b"ftyp"),)),
        "mov": Kind("video/quicktime", ((4, b"ftyp"), (4, b"moov"), (4, b"wide"), (4, b"mdat"))),
        "webm": Kind("video/webm", ((0, b"\x1a\x45\xdf\xa3"),)),
    },
    Purpose.FILE: {
        "pdf": Kind("application/pdf", ((0, b"%PDF-"),)),
        "doc": Kind("application/msword", _OLE),
        "docx": Kind(f"{_OFFICE}.wordprocessingml.document", _ZIP, zipped=True),
        "pptx": Kind(f"{_OFFICE}.presentationml.presentation", _ZIP, zipped=True),
    },
    Purpose.AVATAR: {
        "png": Kind("image/png", ((0, b"\x89PNG\r\n\x1a\n"),)),
        "jpg": Kind("image/jpeg", ((0, b"\xff\xd8\xff"),)),
        "jpeg": Kind("image/jpeg", ((0, b"\xff\xd8\xff"),)),
        "webp": Kind("image/webp", ((8, b"WEBP"),)),
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """`percent` is of the processing; `failure` says in a word why it failed.

    `key` is its name and where it is sent to; `object_key` is where what was looked at lies. `sha256` is what
    its sender said.
    """

    id: UploadId
    owner_id: UserId
    purpose: Purpose
    file_name: str
    content_type: str
    size: int
    sha256: bytes | None
    key: str
    object_key: str
    multipart_id: str | None
    part_size: int
    status: UploadStatus
    failure: str | None
    percent: int
    created_at: datetime

    @property
    def extension(self) -> str:
        return extension_of(self.file_name)

    @property
    def kind(self) -> Kind:
        return KINDS[self.purpose][self.extension]

    def part_sizes(self) -> list[int]:
        """Return the exact length of each part, the last one the rest."""
        whole, rest = divmod(self.size, self.part_size)
        return [self.part_size] * whole + ([rest] if rest else [])


def portrait_key(owner: UserId, upload: UploadId) -> str:
    """Return where in the store the portrait lies that was made of an uploaded picture."""
    return f"a/{owner}/{upload}.jpg"


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedPart:
    """Where to PUT part `number`, exactly `size` bytes; `done` when it has arrived and needs no address."""

    number: int
    size: int
    done: bool
    url: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadPlan:
    """An upload and what is left of it to send."""

    upload: Upload
    parts: Sequence[SignedPart]
    expires_in: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendition:
    """One quality of a video: its height in pixels, bits per second, and the lengths of its segments."""

    name: str
    width: int
    height: int
    bitrate: int
    segments: Sequence[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Video:
    """A video that can be played; everything of it lies below `prefix`."""

    upload_id: UploadId
    prefix: str
    duration: float
    renditions: Sequence[Rendition]
    content_key: bytes  # sealed
    poster_key: str


def extension_of(file_name: str) -> str:
    return file_name.rpartition(".")[2].lower()


def looks_like(kind: Kind, head: bytes) -> bool:
    """Say whether a file begins as its kind does."""
    return any(head[at : at + len(magic)] == magic for at, magic in kind.magic)


def zip_fault(tail: bytes, size: int) -> str | None:
    """Return what is wrong with an office document's table of contents, None when nothing is.

    `tail` is the end of the file; the table stands there, and no more than it is read or unpacked.
    """
    try:
        with zipfile.ZipFile(_Tail(tail, size)) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return "broken_archive"
    if len(entries) > _MOST_ENTRIES:
        return "too_many_entries"
    for one in entries:
        if one.filename.startswith(("/", "\\")) or ".." in one.filename.replace("\\", "/").split("/"):
            return "unsafe_path"
        if one.external_attr >> 16 & 0o170000 == 0o120000:
            return "symbolic_link"
        if one.filename.lower().endswith("vbaproject.bin"):
            return "macros"
    unpacked, packed = sum(one.file_size for one in entries), sum(one.compress_size for one in entries)
    if unpacked > _MOST_UNPACKED or unpacked > _MOST_RATIO * max(packed, 1):
        return "unpacks_too_large"
    if not any(one.filename == "[Content_Types].xml" for one in entries):
        return "not_an_office_document"
    return None


class _Tail(io.RawIOBase):
    """A file of which only the end is at hand."""

    def __init__(self, tail: bytes, size: int) -> None:
        self._tail = tail
        self._size = size
        self._missing = size - len(tail)
        self._at = 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = base + offset
        if self._at < 0:
            raise ValueError("before the beginning")
        return self._at

    def read(self, size: int = -1, /) -> bytes:
        if self._at < self._missing:
            raise OSError("that part of the file is not at hand")
        start = self._at - self._missing
        data = self._tail[start:] if size is None or size < 0 else self._tail[start : start + size]
        self._at += len(data)
        return data
