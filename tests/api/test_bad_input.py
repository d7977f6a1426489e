"""Bad input gets a clear error with a stable code, in the caller's language, and never a 500."""

import json
from typing import Any

import pytest

import api
from api.middleware import status_of
from api.texts import TEXTS
from liveserver import errors
from tests.builders import School

BODIES: list[tuple[bytes, int, str]] = [
    (b"", 400, "malformed_json"),
    (b"{", 400, "malformed_json"),
    (b"\xff\xfe", 400, "malformed_json"),
    (b'{"email": NaN, "password": "x"}', 400, "malformed_json"),
    (b'{"email": "a@b.co", "email": "a@b.co", "password": "x"}', 400, "malformed_json"),
    (b"[" * 100 + b"]" * 100, 400, "malformed_json"),
    (b"[" * 20_000 + b"]" * 20_000, 400, "malformed_json"),
    (b"[]", 422, "invalid"),
    (b"null", 422, "invalid"),
    (b'"text"', 422, "invalid"),
    (b"{}", 422, "invalid"),
    (b'{"email": 1, "password": "x"}', 422, "invalid"),
    (b'{"email": "a@b.co", "password": null}', 422, "invalid"),
    (b'{"email": "a@b.co", "password": "x", "role": "admin"}', 422, "invalid"),
    (b'{"email": "not an address", "password": "x"}', 422, "invalid"),
    (b'{"email": "a\\u0000@b.co", "password": "x"}', 422, "invalid"),
    (b'{"email": "a@b.co", "password": "' + b"x" * 70_000 + b'"}', 413, "body_too_large"),
]


@pytest.mark.parametrize(("body", "status", "code"), BODIES, ids=lambda value: str(value)[:40])
async def test_a_bad_body_is_refused_by_name(school: School, body: bytes, status: int, code: str) -> None:
    answer = await school.call(
        "POST", "/api/auth/login", data=body, headers={"Content-Type": "application/json"}
    )
    assert (answer.status, answer.code) == (status, code), answer
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert set(answer.body) >= {"type", "title", "status", "detail", "instance", "code", "requestId"}


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
        {"Content-Type": "application/x-www-form-urlencoded"},
    ],
)
async def test_other_bodies_than_json_are_415(school: School, headers: dict[str, str]) -> None:
    answer = await school.call("POST", "/api/auth/login", data=b"{}", headers=headers)
    assert (answer.status, answer.code) == (415, "unsupported_media_type")


async def test_every_wrong_field_is_named(school: School) -> None:
    answer = await school.call(
        "POST", "/api/auth/register", json={"name": "", "email": "x", "password": "y", "status": "active"}
    )
    assert answer.status == 422
    assert {error["field"]: error["code"] for error in answer.body["errors"]} == {
        "name": "string_too_short",
        "email": "string_too_short",
        "status": "unknown_field",
    }


@pytest.mark.parametrize(
    "query",
    ["?limit=0", "?limit=101", "?limit=x", "?nope=1", "?limit=1&limit=2", "?cursor=x", "?status=draft"],
)
async def test_an_unknown_or_wrong_query_key_is_422(school: School, query: str) -> None:
    answer = await school.call("GET", "/api/courses" + query)
    assert answer.status == 422, answer
    assert answer.body["errors"]


@pytest.mark.parametrize(
    "start", ["9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "2030-01-01", "0", 5]
)
async def test_odd_times_are_422(school: School, start: Any) -> None:
    instructor = await school.register("instructor")
    course = await school.course(instructor, approve=False)
    answer = await school.call(
        "POST",
        "/api/live-sessions",
        instructor,
        json={"courseId": course, "title": "x", "startTime": start, "duration": 5, "maxStudents": 5},
    )
    assert answer.status == 422, answer


async def test_a_foreign_object_is_hidden_even_from_a_body_that_is_wrong(school: School) -> None:
    owner, other = await school.register("instructor"), await school.register("instructor")
    session = await school.session(owner, await school.course(owner), start=False)
    for body in ({"duration": 0}, {"duration": 100_000}, {"nope": 1}):
        answer = await school.call("PATCH", f"/api/live-sessions/{session}", other, json=body)
        assert answer.status == 404, (body, answer)
        assert (await school.call("PATCH", f"/api/live-sessions/{session}", owner, json=body)).status == 422


async def test_refusals_speak_arabic_to_who_asks_for_it(school: School) -> None:
    answer = await school.call("GET", "/api/auth/me", headers={"Accept-Language": "ar-EG,en;q=0.5"})
    assert answer.body["title"] == TEXTS["unauthenticated"]["ar"][0]


def _refusals(kind: type[errors.Refusal]) -> set[type[errors.Refusal]]:
    return {kind}.union(*(_refusals(child) for child in kind.__subclasses__()))


def test_every_refusal_has_a_status_and_both_languages() -> None:
    for kind in _refusals(errors.Refusal) - {errors.Refusal}:
        assert status_of(kind) >= 400
        texts = TEXTS[kind.code]
        assert set(texts) == {"en", "ar"}
        assert all(all(part for part in pair) for pair in texts.values())


def test_the_openapi_document_is_complete() -> None:
    document = api.openapi.document(api.ROUTES, api.VERSION)
    assert json.loads(json.dumps(document)) == document
    listed = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert listed == {(route.method, route.path) for route in api.ROUTES}
    for methods in document["paths"].values():
        for operation in methods.values():
            assert "503" in operation["responses"]
