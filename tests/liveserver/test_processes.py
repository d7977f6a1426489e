"""The processes of a host: none outlives the supervisor, all come back, two copies never meet."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import aiohttp
import psutil
import pytest

from tests.builders import Person, School, until
from tests.product import ROOT, Product


def _family(product: Product) -> list[psutil.Process]:
    return psutil.Process(product.process.pid).children(recursive=True)


def _named(product: Product, *words: str) -> psutil.Process:
    for process in _family(product):
        if all(word in " ".join(process.cmdline()) for word in words):
            return process
    raise AssertionError(f"no process {words}")


def _gone(processes: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    return [one for one in alive if one.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_outlives_the_supervisor(tmp_path: Path, how: signal.Signals) -> None:
    with Product(tmp_path / "s") as product:
        family = _family(product)
        assert len(family) >= 5, "web, media, postgres, valkey, seaweedfs"
        os.kill(product.process.pid, how)
        product.process.wait(30)
        assert not _gone(family, 20)


def test_a_media_worker_has_its_heap_in_huge_pages(product: Product) -> None:
    pages = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    if not pages.exists() or "[madvise]" not in pages.read_text():
        pytest.skip("this kernel gives huge pages to everybody, or to nobody")
    worker = product.media_worker()
    assert worker is not None
    maps = Path(f"/proc/{worker.pid}/smaps").read_text()
    flags = maps.partition("[heap]")[2].partition("VmFlags:")[2].partition("\n")[0]
    assert "hg" in flags.split()


def test_data_is_kept_after_a_hard_kill_and_the_demo_class_starts_now(tmp_path: Path) -> None:
    async def sessions(product: Product) -> list[tuple[str, str]]:
        async with aiohttp.ClientSession() as client:
            school = await School.open(product, client)
            teacher = await school.login("instructor2@example.com")
            found = (await school.call("GET", "/api/live-sessions", teacher)).body["items"]
            if len(found) == 1:
                await school.call("POST", f"/api/live-sessions/{found[0]['id']}/start", teacher)
            await school.close()
            return [(one["status"], one["id"]) for one in found]

    with Product(tmp_path / "s") as product:
        first = asyncio.run(sessions(product))
        assert [status for status, _ in first] == ["scheduled"]
        os.kill(product.process.pid, signal.SIGKILL)
        product.process.wait(10)
    with Product(tmp_path / "s") as product:
        second = asyncio.run(sessions(product))
        assert [status for status, _ in second] == ["scheduled", "ended"]
        assert second[1][1] == first[0][1], "the class of the last run was ended, and is kept"


def test_a_second_server_on_the_same_state_is_refused_in_words(tmp_path: Path) -> None:
    with Product(tmp_path / "s") as product:
        second = subprocess.run(
            [sys.executable, "-m", "liveserver", "serve"],
            cwd=ROOT,
            env={**os.environ, "LIVE_STATE__DIR": str(product.state), "LIVE_HTTP__PORT": "0"},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert second.returncode == 1
        assert "another liveserver runs on" in second.stderr
        assert "Traceback" not in second.stderr


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        refused = subprocess.run(
            [sys.executable, "-m", "liveserver", "serve"],
            cwd=ROOT,
            env={**os.environ, "LIVE_STATE__DIR": str(tmp_path), "LIVE_HTTP__PORT": port},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert refused.returncode == 1
    assert "http.port" in refused.stderr
    assert port in refused.stderr
    assert "Traceback" not in refused.stderr


def test_two_copies_run_side_by_side_and_never_meet(tmp_path: Path) -> None:
    async def register(product: Product, email: str) -> int:
        async with aiohttp.ClientSession() as client:
            body = {"name": "x", "email": email, "password": "liveserver-demo"}
            async with client.post(product.url() + "/api/auth/register", json=body) as answer:
                return answer.status

    with Product(tmp_path / "a") as one, Product(tmp_path / "b") as two:
        assert asyncio.run(register(one, "same@example.com")) == 201
        assert asyncio.run(register(two, "same@example.com")) == 201
        assert asyncio.run(register(one, "same@example.com")) == 409


async def test_a_class_lives_through_the_death_of_each_server(tmp_path: Path) -> None:
    """Media worker, then the seat store: the socket stays, the seat stays, joins work again."""
    with Product(tmp_path / "s") as product:
        async with aiohttp.ClientSession() as client:
            school = await School.open(product, client)
            teacher, student = await school.register("instructor"), await school.register()
            late = await school.register()
            course = await school.course(teacher)
            await school.enroll([student, late], course)
            session = await school.session(teacher, course, seats=5)
            socket_ = await school.enter(student, session)
            await until(lambda: socket_.heard("welcome"))

            _named(product, "liveserver", "media").kill()
            await until(lambda: socket_.heard("media.lost"), 15)
            assert "sdp" in (await socket_.ask("media.subscribe"))["ok"]

            _named(product, "valkey-server").kill()
            await _joins_again(school, late, session)
            assert socket_.client.connected
            status = await school.call("GET", f"/api/live-sessions/{session}/status", student)
            assert status.body["mine"]["state"] == "seated", "the seat of who was there is kept"
            assert (await socket_.ask("hand.raise", {"up": True})) == {"ok": {}}

            _named(product, "postgres", "-D").kill()
            await _answers_again(school, student)
            assert socket_.client.connected
            school.database.terminate()  # its server is dead: there is nobody to say goodbye to


async def _joins_again(school: School, who: Person, session: str) -> None:
    deadline = time.monotonic() + 30
    while True:
        answer = await school.call("POST", f"/api/live-sessions/{session}/join", who)
        if answer.status == 200:
            return
        assert answer.status == 503, answer
        assert answer.headers["Retry-After"]
        assert time.monotonic() < deadline
        await asyncio.sleep(0.3)


async def _answers_again(school: School, who: Person) -> None:
    deadline = time.monotonic() + 30
    while True:
        answer = await school.call("GET", "/api/auth/me", who)
        if answer.status == 200:
            return
        assert answer.status == 503, answer
        assert time.monotonic() < deadline
        await asyncio.sleep(0.3)
