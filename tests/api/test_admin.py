"""What an admin does: it bites at once, on every process, and is written down."""

import asyncio

from tests.builders import Person, School, until


async def _ban(school: School, admin: Person, user: str) -> int:
    body = {"reason": "abuse"}
    return (await school.call("PATCH", f"/api/admin/users/{user}/ban", admin, json=body)).status


async def test_a_ban_shuts_out_within_a_second_everywhere(school: School) -> None:
    admin = await school.login("admin@example.com")
    teacher, student = await school.register("instructor"), await school.register()
    course = await school.course(teacher)
    await school.enroll([student], course)
    session = await school.session(teacher, course)
    socket = await school.enter(student, session, process=1)
    await until(lambda: socket.heard("welcome"))
    assert await _ban(school, admin, student.id) == 200
    loop = asyncio.get_running_loop()
    began = loop.time()
    for process in (0, 1):
        me = await school.call("GET", "/api/auth/me", student, process=process)
        assert (me.status, me.code) == (403, "account_disabled")
    await until(lambda: not socket.client.connected, 1)
    status = (await school.call("GET", f"/api/live-sessions/{session}/status", teacher)).body
    assert status["seats"]["taken"] == 0
    assert loop.time() - began < 1
    refresh = {"refreshToken": student.refresh_token}
    assert (await school.call("POST", "/api/auth/refresh", json=refresh)).status == 401
    assert await _ban(school, admin, student.id) == 200
    entries = await school.call("GET", "/api/admin/audit?action=user.", admin)
    assert [one["action"] for one in entries.body["items"] if one["subject"] == student.id] == [
        "user.disabled"
    ]

    activated = await school.call("PATCH", f"/api/admin/users/{student.id}/activate", admin)
    assert (activated.status, activated.body["status"]) == (200, "active")
    assert (await school.call("GET", "/api/auth/me", student)).status == 401, "old tokens stay dead"
    await school.login(student.email)


async def test_an_admin_cannot_shut_themselves_out_nor_the_last_of_them(school: School) -> None:
    admin = await school.login("admin@example.com")
    mine = (await school.call("GET", "/api/auth/me", admin)).body["id"]
    for path, body in (("ban", {"reason": "x"}), ("role", {"role": "student"})):
        answer = await school.call("PATCH", f"/api/admin/users/{mine}/{path}", admin, json=body)
        assert (answer.status, answer.code) == (409, "not_yourself")


async def test_two_admins_who_ban_each_other_at_once_leave_one(school: School) -> None:
    admin = await school.login("admin@example.com")
    pair = [await school.register(), await school.register()]
    for one in pair:
        role = {"role": "admin"}
        assert (await school.call("PATCH", f"/api/admin/users/{one.id}/role", admin, json=role)).body[
            "role"
        ] == "admin"
    first, second = [await school.login(one.email) for one in pair]
    answers = await asyncio.gather(
        _ban(school, first, second.id), _ban(school, second, first.id), return_exceptions=False
    )
    assert 200 in answers
    left = await school.database.fetchval("SELECT count(*) FROM users WHERE role='admin' AND status='active'")
    assert left >= 1
    for one in pair:
        await school.call("PATCH", f"/api/admin/users/{one.id}/activate", admin)
        await school.call("PATCH", f"/api/admin/users/{one.id}/role", admin, json={"role": "student"})


async def test_an_instructor_is_demoted_between_classes_and_the_courses_find_a_new_home(
    school: School,
) -> None:
    admin = await school.login("admin@example.com")
    old, heir = await school.register("instructor"), await school.register("instructor")
    course = await school.course(old)
    session = await school.session(old, course)
    path = f"/api/admin/users/{old.id}/role"
    body = {"role": "student", "reassignTo": heir.id}
    refused = await school.call("PATCH", path, admin, json=body)
    assert (refused.status, refused.code) == (409, "session_live")
    await school.call("POST", f"/api/live-sessions/{session}/end", old)
    wrong = await school.call("PATCH", path, admin, json={"role": "student", "reassignTo": admin.id})
    assert wrong.status == 422
    assert (await school.call("PATCH", path, admin, json=body)).status == 200
    assert (await school.call("GET", f"/api/courses/{course}")).body["instructorId"] == heir.id
    assert (await school.call("GET", "/api/auth/me", old)).status == 401


async def test_the_end_of_a_class_as_moderation_is_audited_once(school: School) -> None:
    admin, teacher = await school.login("admin@example.com"), await school.register("instructor")
    course = await school.course(teacher)
    for start in (True, False):
        session = await school.session(teacher, course, start=start)
        for _ in range(2):
            ended = await school.call("POST", f"/api/admin/live-sessions/{session}/end", admin)
            assert ended.status == 200
        log = (await school.call("GET", "/api/admin/audit?action=session.ended", admin)).body["items"]
        assert [one["subject"] for one in log].count(session) == 1, log[0]


async def test_a_setting_is_in_force_on_every_process_within_five_seconds(school: School) -> None:
    admin = await school.login("admin@example.com")
    unknown = await school.call("PATCH", "/api/admin/settings", admin, json={"nope": True})
    assert (unknown.status, unknown.body["errors"][0]["code"]) == (422, "unknown_field")
    try:
        closed = await school.call("PATCH", "/api/admin/settings", admin, json={"publicCatalog": False})
        assert closed.body["publicCatalog"] is False
        for process in (0, 1):
            for _ in range(50):
                if (await school.call("GET", "/api/courses", process=process)).status == 401:
                    break
                await asyncio.sleep(0.1)
            else:
                raise AssertionError(f"process {process} does not know")
    finally:
        await school.call("PATCH", "/api/admin/settings", admin, json={"publicCatalog": True})
    entry = (await school.call("GET", "/api/admin/audit?action=settings", admin)).body["items"][0]
    assert entry["details"] == {"old": {"publicCatalog": False}, "new": {"publicCatalog": True}}
    for _ in range(50):
        if (await school.call("GET", "/api/courses", process=1)).status == 200:
            return
        await asyncio.sleep(0.1)
    raise AssertionError("it stays closed")


async def test_accounts_are_found_by_name_mail_role_and_state(school: School) -> None:
    admin = await school.login("admin@example.com")
    who = await school.register()
    await school.call("PATCH", "/api/users/me", who, json={"name": "أحمد الفائز"})
    for query in ("q=احمد+الفايز", f"q={who.email.upper()}", f"q={who.email}&role=student&status=active"):
        found = await school.call("GET", f"/api/admin/users?{query}", admin)
        assert who.id in [one["id"] for one in found.body["items"]], query
        assert "hash" not in str(found.body)
    assert not (await school.call("GET", f"/api/admin/users?q={who.email}&role=admin", admin)).body["items"]


async def test_courses_that_wait_for_a_review_come_first(school: School) -> None:
    admin = await school.login("admin@example.com")
    owner = await school.register("instructor")
    waiting = await school.course(owner, approve=False)
    await school.call("POST", f"/api/instructor/courses/{waiting}/submit", owner)
    await school.course(owner)
    seen: list[str] = []
    query = "limit=3"
    while True:
        page = (await school.call("GET", f"/api/admin/courses?{query}", admin)).body
        seen += [one["status"] for one in page["items"]]
        if "nextCursor" not in page:
            break
        query = f"limit=3&cursor={page['nextCursor']}"
    first_other = next(n for n, status in enumerate(seen) if status != "pending")
    assert "pending" in seen[:first_other]
    assert "pending" not in seen[first_other:]


async def test_addresses_are_not_to_be_confirmed_where_no_mail_is_sent(school: School) -> None:
    admin = await school.login("admin@example.com")
    answer = await school.call("PATCH", "/api/admin/settings", admin, json={"verifyEmail": True})
    assert (answer.status, answer.body["errors"]) == (422, [{"field": "verifyEmail", "code": "needs_mail"}])
