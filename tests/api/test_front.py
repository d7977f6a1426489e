"""What the front asks of every request: a name of ours, a listed origin, a pace a person can have."""

import asyncio
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from api.front import FRONT, Front, Pace, own_names
from api.middleware import boundary
from liveserver.errors import TooMany
from liveserver.models.ids import UserId, uuid7
from tests.builders import School
from tests.product import Product

_PARTNER = "https://partner.example"


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("127.0.0.1:8080", True),
        ("[::1]:8080", True),
        ("203.0.113.7", True),
        ("localhost:8080", True),
        ("CLASS.example.org", True),
        ("class.example.org.:443", True),
        ("xn--mgbb3dhb2b.example", False),
        ("مدرسة.example", True),
        ("class.example.org.evil.example", False),
        ("evil.example:8080", False),
        ("class.example.org@evil.example", False),
        ("", False),
        ("[::1", False),
        ("127.0.0.1.evil.example", False),
    ],
)
def test_a_host_is_ours_by_name_or_by_digits(host: str, known: bool) -> None:
    front = Front(allowed_hosts=own_names("https://class.example.org", ("مدرسة.example",)))
    assert front.is_known(host) is known


@pytest.mark.parametrize("said", ["Inner.Example", "inner.example:8080", "inner.example."])
def test_further_names_are_ours_however_the_operator_writes_them(said: str) -> None:
    assert Front(allowed_hosts=own_names("", (said,))).is_known("inner.example:80")


def test_an_arabic_name_is_known_as_browsers_send_it() -> None:
    sent = "مدرسة.example".encode("idna").decode()
    assert sent.startswith("xn--")
    assert Front(allowed_hosts=own_names("https://مدرسة.example:8443/", ())).is_known(sent)


async def test_a_request_for_somebody_elses_host_is_refused_with_its_remedy(school: School) -> None:
    for path in ("/api/health", "/", "/socket.io/?EIO=4&transport=websocket"):
        answer = await school.call("GET", path, headers={"Host": "rebound.example"})
        assert (answer.status, answer.code) == (421, "unknown_host"), path
        assert "allowed_hosts" in answer.body["detail"]


async def _client() -> TestClient[web.Request, web.Application]:
    front = Front(allowed_origins=frozenset({_PARTNER}))

    async def fact(_request: web.Request) -> web.Response:
        return web.json_response({"fact": 1}, headers={"ETag": '"1"'})

    app = web.Application(middlewares=[boundary, front.middleware()])
    app[FRONT] = front
    app.on_response_prepare.append(front.on_prepare())
    app.router.add_patch("/api/fact", fact)
    client = TestClient(TestServer(app))
    await client.start_server()
    return client


async def test_a_listed_origin_may_call_and_read_and_no_other() -> None:
    client = await _client()
    asks = {"Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "authorization"}
    for origin, shared in ((_PARTNER, True), ("https://partner.example.evil", False), ("null", False)):
        asked = await client.options("/api/fact", headers={"Origin": origin, **asks})
        answered = await client.patch("/api/fact", headers={"Origin": origin})
        assert asked.status == (204 if shared else 405)
        for response in (asked, answered):
            assert response.headers.get("Access-Control-Allow-Origin") == (origin if shared else None)
            assert ("Access-Control-Allow-Credentials" in response.headers) is shared
            assert "Origin" in response.headers["Vary"]
        assert ("ETag" in answered.headers.get("Access-Control-Expose-Headers", "")) is shared
        assert ("PATCH" in asked.headers.get("Access-Control-Allow-Methods", "")) is shared
    refused = await client.patch("/api/nothing", headers={"Origin": _PARTNER})
    assert refused.status == 404
    assert refused.headers["Access-Control-Allow-Origin"] == _PARTNER  # the page may read why
    await client.close()


async def test_without_a_list_no_answer_speaks_of_origins(school: School) -> None:
    answer = await school.call("GET", "/api/health", headers={"Origin": _PARTNER})
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]


def test_a_bucket_holds_a_burst_and_fills_at_its_rate() -> None:
    pace, one, other = Pace(rate=20, burst=60), UserId(uuid7()), UserId(uuid7())
    for _ in range(60):
        pace.take(one, 100.0)
    with pytest.raises(TooMany) as refused:
        pace.take(one, 100.0)
    assert refused.value.details["retryAfter"] == 1
    pace.take(other, 100.0)  # nobody waits for somebody else
    for _ in range(20):
        pace.take(one, 101.0)
    with pytest.raises(TooMany):
        pace.take(one, 101.0)


async def test_who_asks_too_fast_is_told_when_to_ask_again(tmp_path: Path) -> None:
    with Product(tmp_path / "state") as product:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client:
            school = await School.open(product, client)
            person, other = await school.register(), await school.register()
            answers = await asyncio.gather(*(school.call("GET", "/api/auth/me", person) for _ in range(150)))
            refused = [answer for answer in answers if answer.status != 200]
            assert 60 <= len(answers) - len(refused) < 150
            for one in refused:
                said = (one.status, one.code, one.headers["Retry-After"])
                assert said == (429, "too_many_requests", "1")
            assert (await school.call("GET", "/api/auth/me", other)).status == 200
            await asyncio.sleep(1.1)
            assert (await school.call("GET", "/api/auth/me", person)).status == 200
            await school.close()
