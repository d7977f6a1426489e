"""What an operator's virus scanner says of a file decides whether anybody may have it."""

import asyncio
import re
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from liveserver.outside.antivirus import Clamd, ScannerAway, TooLargeToScan
from tests.api.test_content import PDF, upload_as_a_browser
from tests.builders import School
from tests.clamd import EICAR, LARGEST, clamd
from tests.product import Product


async def _pieces(data: bytes, size: int = 65_536) -> AsyncIterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


async def test_clamd_is_asked_in_its_own_words(tmp_path: Path) -> None:
    path = tmp_path / "clamd.ctl"
    scanner = Clamd(str(path))
    with pytest.raises(ScannerAway):
        await scanner.scan(_pieces(b"x"))
    async with clamd(path) as looked_at:
        assert await scanner.scan(_pieces(b"plain " * 1000)) is None
        assert await scanner.scan(_pieces(b"before " + EICAR, size=9)) == "Eicar-Test-Signature"
        with pytest.raises(TooLargeToScan):
            await scanner.scan(_pieces(bytes(8 * LARGEST)))
        assert looked_at[:2] == [6000, 7 + len(EICAR)]


@pytest.mark.parametrize("said", [b"", b"stream: \0", b"UNKNOWN COMMAND\0", b"\xff\xfe"])
async def test_what_is_no_answer_lets_nothing_pass(tmp_path: Path, said: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1 << 16)
        writer.write(said)
        writer.close()

    server = await asyncio.start_unix_server(serve, str(tmp_path / "s"))
    with pytest.raises(ScannerAway):
        await Clamd(str(tmp_path / "s")).scan(_pieces(b"x"))
    server.close()


async def _kept(school: School, owner: Any) -> list[int]:
    """Return the sizes of what the store keeps, once what failed was swept out."""
    async with school.store() as store:
        for _ in range(150):
            kept = await store.list(f"u/{owner.id}/")
            if len(kept) == 1:
                break
            await asyncio.sleep(0.1)
    return list(kept.values())


async def test_only_what_was_looked_at_is_served(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="clamd-") as short:
        path = Path(short) / "s"
        with Product(tmp_path / "state", settings={"LIVE_UPLOADS__CLAMD": str(path)}) as product:
            async with aiohttp.ClientSession() as client:
                school = await School.open(product, client)
                owner = await school.register("instructor")
                course = await school.course(owner)
                tree = (await school.call("GET", f"/api/instructor/courses/{course}", owner)).body
                waiting = await upload_as_a_browser(school, owner, "notes.pdf", PDF)
                assert waiting["status"] == "processing"
                lesson = await school.lesson(
                    owner, tree["sections"][0]["id"], contentUrl=waiting["contentUrl"]
                )
                early = await school.call("GET", f"/api/lessons/{lesson}/file", owner)
                assert (early.status, early.code) == (409, "no_content")
                async with clamd(path) as looked_at:  # it was away until now: the file waited
                    assert (await school.settled(owner, waiting["id"]))["status"] == "ready"
                    assert (await school.call("GET", f"/api/lessons/{lesson}/file", owner)).status == 200
                    for data, reason in (
                        (PDF + EICAR, "infected"),
                        (PDF + bytes(LARGEST), "too_large_to_scan"),
                    ):
                        bad = await upload_as_a_browser(school, owner, "bad.pdf", data)
                        state = await school.settled(owner, bad["id"])
                        assert (state["status"], state["failure"]) == ("failed", reason)
                    assert looked_at[:2] == [len(PDF), len(PDF + EICAR)]
                assert await _kept(school, owner) == [len(PDF)]
                assert re.search(r"upload.infected.*Eicar", product.log.read_text())
                await school.close()
