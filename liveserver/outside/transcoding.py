"""Making videos playable and pictures portraits, by programs of this package in processes of their own."""

import asyncio
import contextlib
import json
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

_SECONDS_SILENT = 300.0  # a decoder that says nothing for so long hangs
_SECONDS_TO_PORTRAIT = 30.0
_LONGEST_LINE = 8 << 20  # it tells the length of each segment


class TranscodingFailed(Exception):
    """The file cannot be used; `reason` is a word for its owner."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Transcoder:
    """Runs one conversion at a time for each call; `spool` is emptied when the host starts and after each."""

    def __init__(self, spool: Path) -> None:
        self.spool = spool

    def clear(self) -> None:
        """Remove what a server that was killed left behind."""
        shutil.rmtree(self.spool, ignore_errors=True)

    @contextlib.asynccontextmanager
    async def folder(self, name: str) -> AsyncIterator[Path]:
        """Lend a folder of the spool; nothing of it is left afterwards."""
        place = self.spool / name
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True, mode=0o700)
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)

    async def convert(
        self, source: Path, folder: Path, key: bytes, on_percent: Callable[[int], Awaitable[None]]
    ) -> dict[str, Any]:
        """Write encrypted HLS and a poster into `folder`; return their facts. Raises TranscodingFailed.

        The end of the source's name says which kind of file it is read as.
        """
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "liveserver.outside.hls",
            str(source),
            str(folder),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            limit=_LONGEST_LINE,
        )
        try:
            assert process.stdin is not None  # noqa: S101 - asked for above
            assert process.stdout is not None  # noqa: S101 - same
            process.stdin.write(key)
            process.stdin.close()
            return await _follow(process.stdout, on_percent)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def portrait(self, source: Path, target: Path) -> None:
        """Write a small square JPEG of a picture. Raises TranscodingFailed."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "liveserver.outside.portrait",
            str(source),
            str(target),
            stdin=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            status = await asyncio.wait_for(process.wait(), _SECONDS_TO_PORTRAIT)
        except TimeoutError:
            raise TranscodingFailed("took_too_long") from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        if status != 0:
            raise TranscodingFailed("broken_picture")


async def _follow(
    output: asyncio.StreamReader, on_percent: Callable[[int], Awaitable[None]]
) -> dict[str, Any]:
    while True:
        try:
            line = await asyncio.wait_for(output.readline(), _SECONDS_SILENT)
        except TimeoutError:
            raise TranscodingFailed("took_too_long") from None
        except ValueError:
            raise TranscodingFailed("too_long") from None
        if not line:
            raise TranscodingFailed("broken_video")  # it crashed
        said = json.loads(line)
        if "done" in said:
            done: dict[str, Any] = said["done"]
            return done
        if "failed" in said:
            raise TranscodingFailed(said["failed"])
        await on_percent(int(said["percent"]))
