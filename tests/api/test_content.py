"""Uploading, watching and downloading with a real store: the application never carries the bytes."""

import asyncio
import hashlib
import io
import time
import zipfile
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin
from uuid import UUID

import av
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from liveserver.outside.transcoding import Transcoder, TranscodingFailed
from tests.builders import Person, School
from tests.videos import make_video

PDF = b"%PDF-1.7\n" + b"x" * 3000
TYPES = {
    "pdf": "application/pdf",
    "mp4": "video/mp4",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
}
MIB = 1 << 20


async def _begin(school: School, who: Person, name: str, size: int, **other: Any) -> Any:
    extension = name.rpartition(".")[2]
    body = {
        "purpose": "video" if extension == "mp4" else "file",
        "fileName": name,
        "contentType": TYPES[extension],
        "size": size,
        **other,
    }
    return await school.call("POST", "/api/uploads/signed-url", who, json=body)


async def _put(school: School, url: str, data: bytes, kind: str | None) -> int:
    """PUT as a browser does: a part of a multipart upload carries no type."""
    headers = {"Content-Type": kind} if kind else {}
    skipped = () if kind else ("Content-Type",)
    body = io.BytesIO(data)
    async with school.client.put(url, data=body, headers=headers, skip_auto_headers=skipped) as answer:
        return answer.status


async def upload_as_a_browser(school: School, who: Person, name: str, data: bytes, **other: Any) -> Any:
    """Upload as a browser does, and return what became of it."""
    plan = await _begin(school, who, name, len(data), **other)
    assert plan.status == 201, plan
    at = 0
    single = len(plan.body["parts"]) == 1
    for part in plan.body["parts"]:
        piece = data[at : at + part["size"]]
        at += part["size"]
        assert await _put(school, part["url"], piece, plan.body["contentType"] if single else None) == 200
    done = await school.call("POST", f"/api/uploads/{plan.body['id']}/complete", who)
    assert done.status == 200, done
    return done.body


async def _course(school: School) -> tuple[Person, Person, str, str]:
    owner, student = await school.register("instructor"), await school.register()
    course = await school.course(owner)
    await school.call("POST", f"/api/courses/{course}/enroll", student)
    tree = await school.call("GET", f"/api/instructor/courses/{course}", owner)
    return owner, student, course, tree.body["sections"][0]["id"]


async def test_a_file_arrives_in_the_store_and_is_saved_under_its_arabic_name(school: School) -> None:
    owner, student, _, section = await _course(school)
    upload = await upload_as_a_browser(school, owner, "ملخص الدرس.pdf", PDF)
    assert upload["status"] == "ready"
    lesson = await school.lesson(owner, section, contentUrl=upload["contentUrl"])
    answer = await school.call("GET", f"/api/lessons/{lesson}/file", student)
    assert answer.status == 200, answer
    async with school.client.get(answer.body["url"]) as got:
        assert await got.read() == PDF
        assert unquote(got.headers["Content-Disposition"].partition("UTF-8''")[2]) == "ملخص الدرس.pdf"
    logged = await school.database.fetchval("SELECT count(*) FROM downloads WHERE lesson_id = $1", lesson)
    assert logged == 1
    url: str = answer.body["url"]
    for wrong in (
        url.replace(".pdf", ".pdg", 1),
        url.partition("?")[0],
        url.replace("Signature=", "Signature=0"),
    ):
        async with school.client.get(wrong) as refused:
            assert refused.status in {403, 404}, wrong
    async with school.client.delete(url) as refused:
        assert refused.status == 403
    stranger = await school.register()
    hidden = await school.call("GET", f"/api/lessons/{lesson}/file", stranger)
    assert (hidden.status, hidden.code) == (403, "not_enrolled")
    assert "http" not in str({key: value for key, value in hidden.body.items() if key != "type"})


async def test_the_store_refuses_a_link_whose_time_is_over(school: School) -> None:
    owner, _, _, _ = await _course(school)
    upload = await upload_as_a_browser(school, owner, "a.pdf", PDF)
    key = await school.database.fetchval("SELECT object_key FROM uploads WHERE id = $1", UUID(upload["id"]))
    async with school.store() as store:
        read = await store.sign_get(key, seconds=1)
        write = await store.sign_put(key, content_type=TYPES["pdf"], size=len(PDF), seconds=1)
    async with school.client.get(read) as got:
        assert got.status == 200
    await asyncio.sleep(2.5)
    async with school.client.get(read) as late:
        assert late.status == 403
    assert await _put(school, write, PDF, TYPES["pdf"]) == 403


async def test_the_store_takes_exactly_what_was_signed(school: School) -> None:
    owner = await school.register("instructor")
    plan = (await _begin(school, owner, "a.pdf", len(PDF))).body
    url = plan["parts"][0]["url"]
    assert await _put(school, url, PDF + b"more", TYPES["pdf"]) == 403
    assert await _put(school, url, PDF, "text/html") == 403
    early = await school.call("POST", f"/api/uploads/{plan['id']}/complete", owner)
    assert (early.status, early.code) == (409, "upload_incomplete")
    assert await _put(school, url, PDF, TYPES["pdf"]) == 200
    for _ in range(2):
        done = await school.call("POST", f"/api/uploads/{plan['id']}/complete", owner)
        assert done.body["status"] == "ready"
    other = await school.register("instructor")
    assert (await school.call("GET", f"/api/uploads/{plan['id']}", other)).status == 404


async def test_what_was_looked_at_is_what_is_served(school: School) -> None:
    """The address of a PUT lives on when the upload is complete; what is sent there then, nobody gets."""
    owner, student, _, section = await _course(school)
    plan = (await _begin(school, owner, "a.pdf", len(PDF))).body
    url, other = plan["parts"][0]["url"], b"<script>" + bytes(len(PDF) - 8)
    assert await _put(school, url, PDF, TYPES["pdf"]) == 200
    done = await asyncio.gather(
        *(school.call("POST", f"/api/uploads/{plan['id']}/complete", owner) for _ in range(4))
    )
    assert {one.body["status"] for one in done} == {"ready"}
    assert {one.body["contentUrl"] for one in done} == {plan["contentUrl"]}
    assert await _put(school, url, other, TYPES["pdf"]) == 200
    lesson = await school.lesson(owner, section, contentUrl=plan["contentUrl"])
    address = (await school.call("GET", f"/api/lessons/{lesson}/file", student)).body["url"]
    async with school.client.get(address) as got:
        assert (await got.read(), got.content_type) == (PDF, "application/pdf")
    async with school.store() as store:
        assert len(await store.list(f"u/{owner.id}/")) == 2
        await _age(school, plan["id"])
        for _ in range(75):
            if len(await store.list(f"u/{owner.id}/")) == 1:
                break
            await asyncio.sleep(0.2)
        assert list((await store.list(f"u/{owner.id}/")).values()) == [len(PDF)]
        assert await store.facts(plan["contentUrl"]) is None


async def _age(school: School, upload: str) -> None:
    """Let it be a quarter of an hour since an upload was finished, which ends its addresses."""
    await school.database.execute(
        "UPDATE uploads SET completed_at = completed_at - interval '16 minutes' WHERE id = $1", UUID(upload)
    )


async def test_what_failed_counts_until_it_cannot_be_sent_again(school: School) -> None:
    owner = await school.register("instructor")
    upload = await upload_as_a_browser(school, owner, "program.pdf", b"MZ\x90\0" + bytes(100))
    assert upload["status"] == "failed"
    await school.database.execute(
        "UPDATE uploads SET size = 60::bigint << 30 WHERE id = $1", UUID(upload["id"])
    )
    assert (await _begin(school, owner, "a.pdf", 10)).code == "quota_exceeded"
    await _age(school, upload["id"])
    for _ in range(75):
        if (await _begin(school, owner, "a.pdf", 10)).status == 201:
            break
        await asyncio.sleep(0.2)
    assert (await _begin(school, owner, "a.pdf", 10)).status == 201


async def test_what_exceeds_the_quota_leaves_no_parts(school: School) -> None:
    owner = await school.register("instructor")
    await school.database.execute(
        "INSERT INTO uploads (id, owner_id, purpose, file_name, content_type, size, key, part_size, status)"
        " VALUES (gen_random_uuid(), $1, 'video', 'x.mp4', 'video/mp4', 60::bigint << 30, $2, 1, 'ready')",
        owner.id,
        "k/" + owner.id,
    )
    assert (await _begin(school, owner, "a.mp4", 200 * MIB)).code == "quota_exceeded"
    async with school.store() as store:
        left = await store._server.list_multipart_uploads(Bucket=store._bucket, Prefix=f"u/{owner.id}/")
    assert left.get("Uploads", []) == []


async def test_an_upload_goes_on_where_it_was_cut_off(school: School) -> None:
    owner = await school.register("instructor")
    data = b"%PDF-1.7\n" + bytes(40 * MIB)
    plan = (await _begin(school, owner, "big.pdf", len(data))).body
    assert [part["size"] for part in plan["parts"]] == [16 * MIB, 16 * MIB, 8 * MIB + 9]
    for n in (0, 2):
        start = n * 16 * MIB
        piece = data[start : start + plan["parts"][n]["size"]]
        assert await _put(school, plan["parts"][n]["url"], piece, None) == 200
    early = await school.call("POST", f"/api/uploads/{plan['id']}/complete", owner)
    assert (early.status, early.body["missing"]) == (409, [2])
    again = (await school.call("GET", f"/api/uploads/{plan['id']}", owner)).body
    assert [part["done"] for part in again["parts"]] == [True, False, True]
    assert await _put(school, again["parts"][1]["url"], data[16 * MIB : 32 * MIB], None) == 200
    done = await school.call("POST", f"/api/uploads/{plan['id']}/complete", owner)
    assert (done.status, done.body["status"]) == (200, "ready"), done


def _archive(entries: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return made.getvalue()


OFFICE = {"[Content_Types].xml": b"<x/>"}


@pytest.mark.parametrize(
    ("name", "data", "failure"),
    [
        ("program.pdf", b"MZ\x90\0" + bytes(100), "content_does_not_match_type"),
        ("words.docx", b"PK\x03\x04 and no archive", "broken_archive"),
        ("words.docx", _archive({"a.txt": b"x"}), "not_an_office_document"),
        ("words.docx", _archive({**OFFICE, "word/vbaProject.bin": b"x"}), "macros"),
        ("words.docx", _archive({**OFFICE, "../../etc/passwd": b"x"}), "unsafe_path"),
        ("words.docx", _archive({**OFFICE, "bomb": bytes(5_000_000)}), "unpacks_too_large"),
        ("words.docx", _archive({**OFFICE, **{str(n): b"" for n in range(2001)}}), "too_many_entries"),
    ],
)
async def test_a_file_that_is_not_what_it_says_is_refused_by_name(
    school: School, name: str, data: bytes, failure: str
) -> None:
    owner, _, _, section = await _course(school)
    upload = await upload_as_a_browser(school, owner, name, data)
    assert (upload["status"], upload["failure"]) == ("failed", failure)
    body = {"type": "file", "title": "x", "contentUrl": upload["contentUrl"]}
    refused = await school.call("POST", f"/api/sections/{section}/lessons", owner, json=body)
    assert refused.status == 422


@pytest.mark.parametrize("right", [True, False])
async def test_what_arrives_has_the_hash_its_sender_named(school: School, right: bool) -> None:
    owner = await school.register("instructor")
    digest = hashlib.sha256(PDF if right else PDF[:-1]).hexdigest()
    plan = (await _begin(school, owner, "a.pdf", len(PDF), sha256=digest)).body
    assert await _put(school, plan["parts"][0]["url"], PDF, TYPES["pdf"]) == 200
    done = (await school.call("POST", f"/api/uploads/{plan['id']}/complete", owner)).body
    assert done["status"] == ("ready" if right else "failed")
    assert done.get("failure") == (None if right else "content_differs_from_sha256")


async def _looked_at(school: School, uploads: list[str], *, unused: str) -> None:
    """Make it `unused` days ago that these were last seen in use, and time to look again."""
    await school.database.execute(
        "UPDATE uploads SET looked_at = looked_at - interval '1 day', used_at = now() - $2::text::interval"
        " WHERE id = ANY($1::uuid[])",
        uploads,
        unused,
    )


async def test_what_no_lesson_shows_leaves_the_store_when_its_time_is_over(school: School) -> None:
    owner, _, _, section = await _course(school)
    kinds = ("shown", "fresh", "of a deleted lesson", "never used", "of a deleted course")
    sent = {kind: await upload_as_a_browser(school, owner, "notes.pdf", PDF) for kind in kinds}
    for kind in kinds[:3]:
        lesson = await school.lesson(owner, section, contentUrl=sent[kind]["contentUrl"])
        if kind != "shown":
            assert (await school.call("DELETE", f"/api/lessons/{lesson}", owner)).status == 204
    other = await school.course(owner)
    tree = (await school.call("GET", f"/api/instructor/courses/{other}", owner)).body
    lesson = await school.lesson(owner, tree["sections"][0]["id"], contentUrl=sent[kinds[4]]["contentUrl"])
    assert (await school.call("DELETE", f"/api/instructor/courses/{other}", owner)).status == 204
    ids = {kind: one["id"] for kind, one in sent.items()}
    await _looked_at(school, [ids["fresh"]], unused="89 days")
    await _looked_at(school, [one for kind, one in ids.items() if kind != "fresh"], unused="91 days")

    async def state(kind: str) -> tuple[str, str | None]:
        body = (await school.call("GET", f"/api/uploads/{ids[kind]}", owner)).body
        return body["status"], body.get("failure")

    for _ in range(150):
        if await state("never used") != ("ready", None) and await state("of a deleted course") != (
            "ready",
            None,
        ):
            break
        await asyncio.sleep(0.1)
    assert {kind: await state(kind) for kind in kinds} == {
        kind: ("ready", None) if kind in {"shown", "fresh"} else ("failed", "purged") for kind in kinds
    }
    async with school.store() as store:
        assert len(await store.list(f"u/{owner.id}/")) == 2
    restored = await school.call("POST", f"/api/instructor/courses/{other}/restore", owner)
    assert restored.status == 200, restored
    gone = await school.call("GET", f"/api/lessons/{lesson}/file", owner)
    assert (gone.status, gone.code) == (409, "no_content")


async def test_the_largest_size_is_a_setting(school: School) -> None:
    owner, admin = await school.register("instructor"), await school.login("admin@example.com")
    await school.call("PATCH", "/api/admin/settings", admin, json={"maxFileMib": 1, "maxVideoMib": 2})
    try:
        for name, largest in (("a.pdf", MIB), ("a.mp4", 2 * MIB)):
            assert (await _begin(school, owner, name, largest)).status == 201
            refused = await _begin(school, owner, name, largest + 1)
            assert (refused.status, refused.body["largest"]) == (422, largest)
    finally:
        await school.call(
            "PATCH", "/api/admin/settings", admin, json={"maxFileMib": 100, "maxVideoMib": 5120}
        )


async def test_a_good_office_document_is_taken(school: School) -> None:
    owner = await school.register("instructor")
    upload = await upload_as_a_browser(
        school, owner, "words.docx", _archive({**OFFICE, "word/document.xml": b"<w/>" * 99})
    )
    assert upload["status"] == "ready"


async def test_what_may_not_be_uploaded_is_refused_before_a_byte_is_sent(school: School) -> None:
    owner = await school.register("instructor")
    for name, size, other in (
        ("a.pdf", 101 * MIB, {}),
        ("a.pdf", 10, {"contentType": "text/html"}),
        ("a.pdf", 10, {"fileName": "a.exe"}),
        ("a.pdf", 0, {}),
    ):
        answer = await _begin(school, owner, name, size, **other)
        assert answer.status == 422, (name, answer)
    await school.database.execute(
        "INSERT INTO uploads (id, owner_id, purpose, file_name, content_type, size, key, part_size, status)"
        " VALUES (gen_random_uuid(), $1, 'video', 'x.mp4', 'video/mp4', 60::bigint << 30, $2, 1, 'ready')",
        owner.id,
        "k/" + owner.id,
    )
    full = await _begin(school, owner, "a.pdf", 10)
    assert (full.status, full.code) == (409, "quota_exceeded")


async def test_a_lesson_is_given_ones_own_upload_only(school: School) -> None:
    owner, _, _, section = await _course(school)
    other = await school.register("instructor")
    theirs = await upload_as_a_browser(school, other, "a.pdf", PDF)
    path = f"/api/sections/{section}/lessons"
    for url in (theirs["contentUrl"], "u/x/y.pdf", "https://evil.example/a.pdf", "../../etc/passwd"):
        body = {"type": "file", "title": "x", "contentUrl": url}
        assert (await school.call("POST", path, owner, json=body)).status == 422, url
    mine = await upload_as_a_browser(school, owner, "a.pdf", PDF)
    body = {"type": "video", "title": "x", "contentUrl": mine["contentUrl"]}
    assert (await school.call("POST", path, owner, json=body)).body["errors"][0]["code"] == "wrong_type"


# Video


@pytest.fixture(scope="module")
async def lecture(
    school: School, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Person, Person, str, str]:
    """A course with a video of twenty seconds that is ready: owner, student, course, lesson."""
    owner, student, course, section = await _course(school)
    path = make_video(tmp_path_factory.mktemp("video") / "v.mp4", seconds=20, width=640, height=480)
    data = path.read_bytes()
    upload = await upload_as_a_browser(
        school, owner, "lecture.mp4", data, sha256=hashlib.sha256(data).hexdigest()
    )
    assert upload["status"] == "processing"
    lesson = await school.lesson(owner, section, type="video", contentUrl=upload["contentUrl"])
    early = await school.call("GET", f"/api/videos/{lesson}/stream", student)
    assert early.status == 200 or early.code == "video_processing"
    state = await school.settled(owner, upload["id"])
    assert (state["status"], state["percent"]) == ("ready", 100), state
    return owner, student, course, lesson


async def _stream(school: School, who: Person | None, lesson: str) -> Any:
    return await school.call("GET", f"/api/videos/{lesson}/stream", who)


async def _text(school: School, path: str) -> str:
    answer = await school.call("GET", path)
    assert answer.status == 200, answer
    return str(answer.body)


def _addresses(playlist: str) -> list[str]:
    return [line for line in playlist.splitlines() if line and not line.startswith("#")]


async def test_a_video_plays_in_every_quality_from_signed_encrypted_segments(
    school: School, lecture: tuple[Person, Person, str, str]
) -> None:
    _, student, _, lesson = lecture
    begun = await _stream(school, student, lesson)
    assert begun.status == 200, begun
    assert student.email in begun.body["watermark"]
    master = begun.body["manifestUrl"]
    qualities = _addresses(await _text(school, master))
    assert [one.partition("/")[0] for one in qualities] == ["240p", "480p"]
    for quality in qualities:
        address = urljoin(master, quality)
        playlist = await _text(school, address)
        key_address = urljoin(address, playlist.partition('URI="')[2].partition('"')[0])
        async with school.client.get(school.product.url() + key_address) as answer:
            key = await answer.read()
        assert len(key) == 16
        data = b""
        for segment in _addresses(playlist):
            async with school.client.get(
                school.product.url() + urljoin(address, segment), allow_redirects=False
            ) as led:
                assert led.status == 302
            async with school.client.get(led.headers["Location"]) as got:
                assert got.status == 200
                sealed = await got.read()
            opened = Cipher(algorithms.AES(key), modes.CBC(bytes(16))).decryptor()
            plain = opened.update(sealed) + opened.finalize()
            assert set(sealed[::188]) != {0x47}, "each packet of a plain one begins so"
            assert plain[0] == plain[188] == 0x47, "an MPEG transport stream"
            data += plain[: -plain[-1]]
        with av.open(io.BytesIO(data), "r") as decoded:
            assert len(list(decoded.decode(video=0))) == 400
    async with school.client.get(begun.body["posterUrl"]) as poster:
        assert (await poster.read())[:3] == b"\xff\xd8\xff"
    await school.call("DELETE", f"/api/playbacks/{begun.body['playbackId']}", student)


async def test_a_playback_is_its_owners_and_ends_with_the_right_to_it(
    school: School, lecture: tuple[Person, Person, str, str]
) -> None:
    owner, _, course, lesson = lecture
    student = await school.register()
    await school.call("POST", f"/api/courses/{course}/enroll", student)
    begun = (await _stream(school, student, lesson)).body
    other = (await _stream(school, owner, lesson)).body
    mixed = begun["manifestUrl"].replace(begun["playbackId"], other["playbackId"])
    assert (await school.call("GET", mixed)).code == "playback_ended"
    path = urljoin(begun["manifestUrl"], "240p/0.ts?" + begun["manifestUrl"].partition("?")[2])
    async with school.client.get(school.product.url() + path, allow_redirects=False) as answer:
        assert answer.status == 302
    assert (await school.call("GET", path.replace("/0.ts", "/999.ts"))).status == 404
    await school.call("DELETE", f"/api/instructor/courses/{course}/students/{student.id}", owner)
    refused = await school.call("GET", path)
    assert (refused.status, refused.code) == (403, "removed")
    await school.call("DELETE", f"/api/playbacks/{other['playbackId']}", owner)
    assert (await school.call("GET", other["manifestUrl"])).code == "playback_ended"


async def test_only_so_many_videos_are_watched_at_once(
    school: School, lecture: tuple[Person, Person, str, str]
) -> None:
    _, _, course, lesson = lecture
    student = await school.register()
    await school.call("POST", f"/api/courses/{course}/enroll", student)
    answers = await asyncio.gather(*(_stream(school, student, lesson) for _ in range(8)))
    assert sorted(one.status for one in answers) == [200] * 2 + [409] * 6
    refused = next(one for one in answers if one.status == 409)
    assert (refused.code, refused.body["limit"]) == ("too_many_playbacks", 2)
    first = next(one for one in answers if one.status == 200).body["playbackId"]
    assert (await school.call("DELETE", f"/api/playbacks/{first}", student)).status == 204
    assert (await _stream(school, student, lesson)).status == 200


async def test_watching_is_credited_no_faster_than_time_passes(
    school: School, lecture: tuple[Person, Person, str, str]
) -> None:
    _, _, course, lesson = lecture
    student = await school.register()
    await school.call("POST", f"/api/courses/{course}/enroll", student)
    begun = (await _stream(school, student, lesson)).body

    async def beat(seq: int, ranges: list[list[float]], position: float, rate: float = 1.0) -> Any:
        body = {
            "playbackId": begun["playbackId"],
            "seq": seq,
            "ranges": ranges,
            "position": position,
            "rate": rate,
        }
        answer = await school.call("POST", f"/api/videos/{lesson}/track", student, json=body)
        assert answer.status == 200, answer
        return answer.body

    script = await beat(1, [[0, 20]], 20)
    assert script["credited"] < 4
    assert not script["completed"]
    assert (await beat(1, [[0, 20]], 20))["credited"] == 0, "the same beat again"
    # Many beats at once, from as many players as there are, are worth no more than the time they took.
    began = time.monotonic()
    burst = [(await beat(n, [[0, 20]], 20, 1.0))["credited"] for n in range(2, 12)]
    second_player = (await _stream(school, student, lesson)).body["playbackId"]
    body = {"playbackId": second_player, "seq": 1, "ranges": [[0, 20]], "position": 20, "rate": 1}
    burst.append(
        (await school.call("POST", f"/api/videos/{lesson}/track", student, json=body)).body["credited"]
    )
    assert sum(burst) <= 2 + time.monotonic() - began
    await school.call("DELETE", f"/api/playbacks/{second_player}", student)
    refused = await school.call("POST", f"/api/progress/lesson/{lesson}/complete", student)
    assert (refused.status, refused.code) == (409, "threshold_not_reached")
    await school.database.execute(
        "UPDATE lesson_progress SET watched = '{}' WHERE student_id = $1", student.id
    )

    async def pass_time(interval: timedelta) -> None:
        for statement in (
            "UPDATE playbacks SET beat_at = beat_at - $2::interval WHERE user_id = $1",
            "UPDATE lesson_progress SET credited_at = credited_at - $2::interval WHERE student_id = $1",
        ):
            await school.database.execute(statement, UUID(student.id), interval)

    await pass_time(timedelta(seconds=12))
    second = await beat(12, [[5, 15], [3, 9]], 14.5)
    assert 10 <= second["watched"] <= 15.1
    resumed = (await _stream(school, student, lesson)).body
    assert resumed["resumeAt"] == 14.5
    await pass_time(timedelta(hours=1))
    last = await beat(13, [[0, 20]], 20)
    assert last["completed"]
    assert last["watched"] == pytest.approx(20, abs=0.1)
    flagged = await school.database.fetchval(
        "SELECT offline FROM playbacks WHERE id = $1", begun["playbackId"]
    )
    assert flagged
    progress = (await school.call("GET", f"/api/courses/{course}/progress", student)).body
    assert next(one for one in progress["lessons"] if one["lessonId"] == lesson)["state"] == "completed"
    other = await school.register()
    await school.call("POST", f"/api/courses/{course}/enroll", other)
    body = {"playbackId": begun["playbackId"], "seq": 9, "ranges": [[0, 20]], "position": 1}
    assert (await school.call("POST", f"/api/videos/{lesson}/track", other, json=body)).status == 404


async def test_a_preview_is_watched_by_anybody(
    school: School, lecture: tuple[Person, Person, str, str]
) -> None:
    owner, _, _, lesson = lecture
    assert (await _stream(school, None, lesson)).status == 401
    await school.call("PATCH", f"/api/lessons/{lesson}", owner, json={"preview": True})
    begun = await _stream(school, None, lesson)
    assert begun.status == 200, begun
    await _text(school, begun.body["manifestUrl"])
    await school.call("PATCH", f"/api/lessons/{lesson}", owner, json={"preview": False})
    assert (await school.call("GET", begun.body["manifestUrl"])).status == 401


async def test_a_file_is_read_as_what_its_name_says(tmp_path: Path) -> None:
    """A playlist that calls itself a video would have the server read files for it."""
    make_video(tmp_path / "secret.ts", seconds=2)
    playlist = "ffconcat version 1.0\nfile secret.ts\n"
    for source, data in (("real.mp4", None), ("playlist.mp4", playlist), ("playlist.webm", playlist)):
        path, folder = tmp_path / source, tmp_path / f"of-{source}"
        folder.mkdir()
        if data is None:
            make_video(path, seconds=2)
        else:
            path.write_text(data)
        made = Transcoder(tmp_path / "spool").convert(path, folder, bytes(16), _ignore)
        if data is None:
            assert (await made)["duration"] == pytest.approx(2, abs=0.2)
        else:
            with pytest.raises(TranscodingFailed, match="broken_video"):
                await made


async def _ignore(_percent: int) -> None:
    pass


@pytest.mark.parametrize(
    ("other", "reason"),
    [({}, "broken_video"), ({"sha256": "0" * 64}, "content_differs_from_sha256")],
)
async def test_a_broken_video_fails_with_a_reason(school: School, other: dict[str, Any], reason: str) -> None:
    owner, student, _, section = await _course(school)
    data = b"\0\0\0\x18ftypmp42" + bytes(5000)
    path, lesson = f"/api/sections/{section}/lessons", {"type": "video", "title": "Broken"}
    for _ in range(10):
        upload = await upload_as_a_browser(school, owner, "broken.mp4", data, **other)
        made = await school.call("POST", path, owner, json={**lesson, "contentUrl": upload["contentUrl"]})
        if made.status == 201:
            break
        # It was found broken before a lesson could show it: it says so, and the next may be quicker.
        assert made.body["errors"] == [{"field": "contentUrl", "code": "failed"}]
    assert made.status == 201
    state = await school.settled(owner, upload["id"])
    assert (state["status"], state["failure"]) == ("failed", reason)
    shown = await _stream(school, student, made.body["id"])
    assert (shown.status, shown.code, shown.body["reason"]) == (409, "video_failed", reason)


async def test_no_users_media_stays_on_the_servers_disk(
    school: School, lecture: tuple[Person, Person, str, str]
) -> None:
    """All but the embedded store's own folder: there it is an object among objects."""
    spool = school.product.state / "spool"
    left = await asyncio.to_thread(lambda: [one for one in spool.glob("**/*") if one.is_file()])
    assert not left, lecture
