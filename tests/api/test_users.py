"""One's own account: what may be changed, and on which devices one is signed in."""

import pytest

from tests.builders import School
from tests.product import PASSWORD

NEW = "a-longer-passphrase-42"


async def test_what_is_given_is_changed_and_the_rest_stays(school: School) -> None:
    who = await school.register()
    answer = await school.call(
        "PATCH", "/api/users/me", who, json={"name": "ليلى 🎓", "locale": "ar", "timezone": "Africa/Cairo"}
    )
    assert answer.status == 200, answer
    assert (answer.body["name"], answer.body["locale"]) == ("ليلى 🎓", "ar")
    assert (await school.call("GET", "/api/auth/me", who)).body == answer.body
    wrong = await school.call("PATCH", "/api/users/me", who, json={"timezone": "Mars/Base"})
    assert (wrong.status, wrong.body["errors"][0]["field"]) == (422, "timezone")


@pytest.mark.parametrize("field", ["role", "status", "email", "emailVerified", "email_verified", "id"])
async def test_what_is_not_ones_own_to_change_is_refused_not_ignored(school: School, field: str) -> None:
    who = await school.register()
    answer = await school.call("PATCH", "/api/users/me", who, json={"name": "x", field: "admin"})
    assert answer.status == 422
    assert answer.body["errors"] == [{"field": field, "code": "unknown_field"}]
    assert (await school.call("GET", "/api/auth/me", who)).body["name"] != "x"


async def test_a_new_password_needs_the_old_and_signs_the_others_out(school: School) -> None:
    who = await school.register()
    other = await school.login(who.email)
    patch = {"password": NEW}
    assert (await school.call("PATCH", "/api/users/me", who, json=patch)).status == 422
    wrong = await school.call("PATCH", "/api/users/me", who, json={**patch, "currentPassword": "wrong"})
    assert (wrong.status, wrong.code) == (401, "bad_credentials")
    right = await school.call("PATCH", "/api/users/me", who, json={**patch, "currentPassword": PASSWORD})
    assert right.status == 200, right
    assert (await school.call("GET", "/api/auth/me", who)).status == 200
    assert (await school.call("GET", "/api/auth/me", other)).status == 401
    refreshed = await school.call("POST", "/api/auth/refresh", json={"refreshToken": other.refresh_token})
    assert refreshed.status == 401
    await school.login(who.email, NEW)


async def test_a_stolen_session_does_not_guess_the_password(school: School) -> None:
    who = await school.register()
    patch = {"password": NEW, "currentPassword": "wrong"}
    answers = [await school.call("PATCH", "/api/users/me", who, json=patch) for _ in range(12)]
    assert [answer.status for answer in answers] == [401] * 10 + [429] * 2
    assert answers[-1].code == "too_many_requests"
    assert int(answers[-1].headers["Retry-After"]) > 0


@pytest.mark.parametrize("name", ["a\nBcc: all@example.com", "a\tb", "a\u2028b", "a\x85b"])
async def test_a_name_is_one_line(school: School, name: str) -> None:
    who = await school.register()
    answer = await school.call("PATCH", "/api/users/me", who, json={"name": name})
    assert (answer.status, answer.body["errors"][0]["field"]) == (422, "name")


async def test_devices_are_listed_and_signed_out_one_by_one_or_all(school: School) -> None:
    who = await school.register()
    second, third = await school.login(who.email), await school.login(who.email)
    devices = (await school.call("GET", "/api/auth/sessions", third)).body["items"]
    assert len(devices) == 3
    pages, cursor = [], None
    for _ in devices:
        at = {"limit": "1", **({"cursor": cursor} if cursor else {})}
        page = (await school.call("GET", "/api/auth/sessions", third, params=at)).body
        pages += page["items"]
        cursor = page.get("nextCursor")
    assert (pages, cursor) == (devices, None)
    assert [one["current"] for one in devices].count(True) == 1
    stranger = await school.register()
    mine = next(one["id"] for one in devices if not one["current"])
    assert (await school.call("DELETE", f"/api/auth/sessions/{mine}", stranger)).status == 404
    assert (await school.call("DELETE", f"/api/auth/sessions/{mine}", third)).status == 204
    assert (await school.call("DELETE", f"/api/auth/sessions/{mine}", third)).status == 404
    left = [
        one for one in (who, second, third) if (await school.call("GET", "/api/auth/me", one)).status == 200
    ]
    assert len(left) == 2
    assert (await school.call("POST", "/api/auth/logout-all", third)).status == 204
    for one in (who, second, third):
        assert (await school.call("GET", "/api/auth/me", one)).status == 401


async def test_an_instructors_bio_keeps_no_script_and_links_only_the_web(school: School) -> None:
    who = await school.register("instructor")
    bio = '<b>Hello</b><script>alert(1)</script><a href="javascript:x">x</a>'
    answer = await school.call(
        "PATCH", "/api/instructors/me", who, json={"bio": bio, "links": ["https://example.org/me"]}
    )
    assert answer.status == 200, answer
    assert "<b>Hello</b>" in answer.body["bio"]
    assert "script" not in answer.body["bio"]
    for link in ("javascript:alert(1)", "ftp://example.org", "https://user:pw@example.org"):
        refused = await school.call("PATCH", "/api/instructors/me", who, json={"links": [link]})
        assert refused.status == 422, link
    totals = (await school.call("GET", "/api/instructors/me", who)).body
    assert (totals["courseCount"], totals["studentCount"], totals["sessionCount"]) == (0, 0, 0)
