"""A short run of the fuzzing that `make fuzz-api` does at length."""

import asyncio
from pathlib import Path

from tests.api.fuzzing import fuzz
from tests.product import UNHURRIED, Product


async def test_requests_made_from_the_document_get_answers_it_names(tmp_path: Path) -> None:
    with Product(tmp_path / "state", settings={**UNHURRIED, "LIVE_AUTH__ACCESS_MINUTES": "15"}) as product:
        sent, failures = await asyncio.to_thread(fuzz, product, 300, tmp_path)
        faults = product.log.read_text().count("http.internal")
    print(f"{sent} requests")
    assert not failures, failures[0]
    assert sent > 3000
    assert not faults
