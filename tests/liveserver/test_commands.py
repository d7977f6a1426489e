"""What an operator runs beside the server: the first admin, new keys, the listener of their own."""

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.builders import School
from tests.product import ROOT, Product, free_ports


def _run(product: Product, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "liveserver", *arguments],
        cwd=ROOT,
        env={**os.environ, "LIVE_STATE__DIR": str(product.state)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def _users(school: School, email: str, password: str) -> Any:
    admin = await school.login(email, password)
    return await school.call("GET", "/api/admin/users", admin)


async def test_the_first_admin_is_made_by_who_runs_the_server(school: School) -> None:
    made = _run(school.product, "create-admin", "Boss@Example.com")
    found = re.fullmatch(r"boss@example.com is an admin, password (\S+)\n", made.stdout)
    assert found, made
    assert (await _users(school, "boss@example.com", found[1])).status == 200
    student = await school.register()
    risen = _run(school.product, "create-admin", student.email)
    assert risen.stdout == f"{student.email} is an admin and signs in anew\n", risen
    assert (await school.call("GET", "/api/auth/me", student)).status == 401
    wrong = _run(school.product, "create-admin", "nobody")
    assert (wrong.returncode, wrong.stderr) == (2, "liveserver: nobody is no e-mail address\n")


async def test_a_new_key_is_published_and_the_old_ones_go_on(school: School) -> None:
    who = await school.register()
    rotated = _run(school.product, "rotate-keys")
    assert (rotated.returncode, rotated.stdout.splitlines()[0]) == (0, "it signs in ten minutes"), rotated
    assert (await school.call("GET", "/api/auth/me", who)).status == 200
    assert (await school.call("GET", "/api/auth/me", await school.register())).status == 200


@pytest.mark.parametrize("processes", [2])
async def test_each_web_process_has_a_listener_for_its_operator(tmp_path: Path, processes: int) -> None:
    port = free_ports(processes)
    settings = {"LIVE_HTTP__ADMIN_PORT": str(port)}
    with Product(tmp_path / "s", processes=processes, settings=settings):
        async with aiohttp.ClientSession() as client:
            for n in range(processes):
                async with client.get(f"http://127.0.0.1:{port + n}/readyz") as answer:
                    said = await answer.json()
                assert answer.status == 200
                assert set(said["parts"].items()) == {
                    (part, "ok") for part in ("postgres", "redis", "store", "media", "serving")
                }
                for _ in range(20):  # a worker without a class ticks four times a second
                    async with client.get(f"http://127.0.0.1:{port + n}/metrics") as answer:
                        figures = await answer.text()
                    ticks = re.search(
                        r'^liveserver_media_ticks_total{worker="0"} (\d+)', figures, re.MULTILINE
                    )
                    assert ticks, figures
                    if float(ticks[1]) > 10:
                        break
                    await asyncio.sleep(0.2)
                assert ticks
                assert float(ticks[1]) > 10
                assert 'liveserver_media_participants{worker="0"} 0.0' in figures
