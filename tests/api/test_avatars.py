"""Portraits: whatever picture is uploaded, what is shown is small, square and silent about its origin."""

import io
from typing import Any

import pytest
from PIL import Image

from tests.builders import Person, School


def _photo() -> bytes:
    """A picture that lies on its side, its left half red when upright, with the place it was taken at."""
    picture = Image.new("RGB", (600, 400), "blue")
    picture.paste("red", (0, 200, 600, 400))
    notes = Image.Exif()
    notes[0x0112] = 6  # turn it by a quarter to see it upright
    notes[0x8825] = {1: "N", 2: (30.0, 2.0, 40.0)}
    raw = io.BytesIO()
    picture.save(raw, "JPEG", quality=95, exif=notes)
    return raw.getvalue()


async def _upload(school: School, who: Person, data: bytes) -> Any:
    asked = {"purpose": "avatar", "fileName": "me.jpg", "contentType": "image/jpeg", "size": len(data)}
    plan = (await school.call("POST", "/api/uploads/signed-url", who, json=asked)).body
    headers = {"Content-Type": "image/jpeg"}
    async with school.client.put(plan["parts"][0]["url"], data=data, headers=headers) as put:
        assert put.status == 200
    path = f"/api/uploads/{plan['id']}"
    assert (await school.call("POST", f"{path}/complete", who)).body["status"] == "processing"

    return await school.settled(who, plan["id"])


async def _uploads_left(school: School, who: Person) -> list[str]:
    async with school.store() as store:
        return [*await store.list(f"u/{who.id}/")]


async def test_a_portrait_is_small_square_upright_and_tells_no_place(school: School) -> None:
    who = await school.register()
    upload = await _upload(school, who, _photo())
    assert upload["status"] == "ready"
    changed = await school.call("PATCH", "/api/users/me", who, json={"avatar": upload["id"]})
    url = changed.body["avatarUrl"]
    assert (await school.call("GET", "/api/auth/me", who)).body["avatarUrl"] == url
    async with school.client.get(school.product.url() + url) as shown:
        assert (shown.status, shown.content_type) == (200, "image/jpeg")
        raw = await shown.read()
    with Image.open(io.BytesIO(raw)) as portrait:
        assert portrait.size == (256, 256)
        assert not portrait.getexif()
        left: Any = portrait.convert("RGB").getpixel((10, 128))
        assert left[0] > 200 > left[2]
    assert not await _uploads_left(school, who), "what was uploaded is thrown away"

    gone = await school.call("PATCH", "/api/users/me", who, json={"avatar": ""})
    assert "avatarUrl" not in gone.body
    async with school.client.get(school.product.url() + url) as shown:
        assert shown.status == 404


async def test_a_picture_that_is_none_is_refused_with_a_reason(school: School) -> None:
    who = await school.register()
    upload = await _upload(school, who, b"\xff\xd8\xff" + b"no picture" * 10)
    assert (upload["status"], upload["failure"]) == ("failed", "broken_picture")
    answer = await school.call("PATCH", "/api/users/me", who, json={"avatar": upload["id"]})
    assert (answer.status, answer.body["errors"]) == (422, [{"field": "avatar", "code": "failed"}])


@pytest.mark.parametrize("purpose", ["another's", "a file"])
async def test_only_ones_own_portrait_may_be_shown(school: School, purpose: str) -> None:
    who, other = await school.register("instructor"), await school.register()
    if purpose == "another's":
        upload = (await _upload(school, other, _photo()))["id"]
    else:
        asked = {"purpose": "file", "fileName": "a.pdf", "contentType": "application/pdf", "size": 9}
        upload = (await school.call("POST", "/api/uploads/signed-url", who, json=asked)).body["id"]
    answer = await school.call("PATCH", "/api/users/me", who, json={"avatar": upload})
    assert (answer.status, answer.body["errors"]) == (422, [{"field": "avatar", "code": "unknown"}])
