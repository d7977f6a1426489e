"""What a hostile client tries: foreign ids, columns nobody offered, everything fifty times at once."""

import asyncio
import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

import api
from liveserver.models.ids import uuid7
from tests.api.test_matrix import MATRIX
from tests.builders import Answer, Person, School

_SWAPPED = {"course", "draft", "session", "section", "lesson", "preview", "hidden_lesson", "hidden_section"}
_KIND = {"draft": "course", "preview": "lesson", "hidden_lesson": "lesson", "hidden_section": "section"}


async def _hidden(school: School, owner: Person) -> dict[str, str]:
    """A draft nobody but its owner may know of, with everything in it."""
    course = await school.course(owner, approve=False)
    tree = (await school.call("GET", f"/api/instructor/courses/{course}", owner)).body
    session = await school.session(owner, course, start=False)
    section = tree["sections"][0]
    return {
        "course": course,
        "section": section["id"],
        "lesson": section["lessons"][0]["id"],
        "session": session,
    }


def _same(one: Answer, other: Answer) -> bool:
    def plain(answer: Answer) -> Any:
        if not isinstance(answer.body, dict):
            return answer.body
        return {key: value for key, value in answer.body.items() if key not in {"instance", "requestId"}}

    return (one.status, plain(one)) == (other.status, plain(other))


async def test_a_foreign_object_answers_exactly_as_one_that_does_not_exist(school: School) -> None:
    stranger, student = await school.register("instructor"), await school.register()
    hidden = await _hidden(school, await school.register("instructor"))
    swaps, told = 0, []
    for method, path, body, _ in MATRIX:
        names = [name for name in re.findall(r"{(\w+)}", path) if name in _SWAPPED]
        if not names or "/admin/" in path:
            continue
        nothing = {name: str(uuid7()) for name in re.findall(r"{(\w+)}", path)}
        foreign = {**nothing, **{name: hidden[_KIND.get(name, name)] for name in names}}
        rest = {} if body is None or "{" in str(body.values()) else {"json": body}
        for who in (stranger, student):
            answers = [
                await school.call(method, path.format(**ids), who, **rest) for ids in (foreign, nothing)
            ]
            swaps += 1
            if not _same(*answers) or answers[0].status < 400:
                told.append((method, path, who.email, answers))
    print(f"{swaps} swaps")
    assert not told, told[0]
    assert swaps > 80


async def test_an_id_of_another_kind_is_an_id_of_nothing(school: School) -> None:
    owner = await school.register("instructor")
    ids = await _hidden(school, owner)
    swaps = 0
    for method, path, body, _ in MATRIX:
        names = [name for name in re.findall(r"{(\w+)}", path) if name in _SWAPPED]
        if len(names) != 1 or "/admin/" in path:
            continue
        kind = _KIND.get(names[0], names[0])
        for other in sorted(set(ids) - {kind}):
            wrong = {name: str(uuid7()) for name in re.findall(r"{(\w+)}", path)} | {names[0]: ids[other]}
            rest = {} if body is None else {"json": body}
            answer = await school.call(method, path.format(**wrong), owner, **rest)
            swaps += 1
            assert answer.status in {401, 403, 404, 422}, (method, path, other, answer)
    print(f"{swaps} swaps of kinds")
    assert swaps > 80


async def test_no_column_of_any_table_is_taken_as_an_extra_field(school: School) -> None:
    rows = await school.database.fetch(
        "SELECT DISTINCT column_name FROM information_schema.columns WHERE table_schema = 'public'"
    )
    names = {row["column_name"] for row in rows} | {"isAdmin", "is_admin", "__proto__", "constructor"}
    names |= {re.sub(r"_(\w)", lambda found: found[1].upper(), name) for name in names}
    tried = 0
    for route in api.ROUTES:
        if route.body is None:
            continue
        offered = {field.alias or name for name, field in route.body.model_fields.items()}
        for name in sorted(names - offered):
            tried += 1
            with pytest.raises(ValidationError) as refused:
                route.body.model_validate_json(json.dumps({name: "admin"}))
            wrong = {(one["loc"], one["type"]) for one in refused.value.errors()}
            assert ((name,), "extra_forbidden") in wrong, f"{route.method} {route.path} takes {name}"
    print(f"{tried} fields")
    assert tried > 2000


async def test_fifty_refreshes_of_one_token_are_one(school: School) -> None:
    who = await school.register()
    body = {"refreshToken": who.refresh_token}
    answers = await asyncio.gather(
        *(school.call("POST", "/api/auth/refresh", json=body, process=n % 2) for n in range(50))
    )
    assert {one.status for one in answers} == {200}
    assert len({one.body["refreshToken"] for one in answers}) == 1
    tokens = await school.database.fetchval(
        "SELECT count(*) FROM refresh_tokens t JOIN refresh_families f ON f.id = t.family_id"
        " WHERE f.user_id = $1",
        who.id,
    )
    assert tokens == 2


async def test_fifty_starts_are_one(school: School) -> None:
    teacher, student = await school.register("instructor"), await school.register()
    course = await school.course(teacher)
    await school.enroll([student], course)
    session = await school.session(teacher, course, start=False)
    answers = await asyncio.gather(
        *(
            school.call("POST", f"/api/live-sessions/{session}/start", teacher, process=n % 2)
            for n in range(50)
        )
    )
    assert {one.status for one in answers} == {200}
    assert len({one.body["startedAt"] for one in answers}) == 1
    epoch = await school.database.fetchval("SELECT seat_epoch FROM live_sessions WHERE id = $1", session)
    assert epoch == 1
    told = (await school.call("GET", "/api/notifications", student)).body["items"]
    assert [one["kind"] for one in told].count("session_started") == 1
    assert datetime.fromisoformat(answers[0].body["startedAt"]) <= datetime.now(UTC)
