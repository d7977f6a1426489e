"""The attendance report: each course says what late is, and what was said of a class stays said."""

from tests.builders import School


async def test_a_student_reads_their_own_line_only(school: School) -> None:
    teacher = await school.register("instructor")
    students = [await school.register() for _ in range(2)]
    course = await school.course(teacher)
    await school.enroll(students, course)
    session = await school.session(teacher, course)
    await school.enter(students[0], session)
    path = f"/api/live-sessions/{session}/attendance"
    whole = (await school.call("GET", path, teacher)).body["students"]
    for one in students:
        mine = (await school.call("GET", f"{path}/mine", one)).body["students"]
        assert [row["studentId"] for row in mine] == [one.id]
        expected = next(row for row in whole if row["studentId"] == one.id)
        assert mine[0].get("firstJoin") == expected.get("firstJoin")
    stranger = await school.call("GET", f"{path}/mine", await school.register())
    assert (stranger.status, stranger.code) == (403, "not_enrolled")


async def test_a_class_is_judged_by_its_courses_thresholds_and_stays_so_judged(school: School) -> None:
    teacher, student = await school.register("instructor"), await school.register()
    course = await school.course(teacher)
    await school.enroll([student], course)
    session = await school.session(teacher, course)
    path, report = f"/api/instructor/courses/{course}", f"/api/live-sessions/{session}/attendance"

    async def judged() -> str:
        (line,) = (await school.call("GET", report, teacher)).body["students"]
        return str(line["status"])

    async def say(**thresholds: int) -> None:
        answer = await school.call("PATCH", path, teacher, json=thresholds)
        assert (answer.status, {name: answer.body[name] for name in thresholds}) == (200, thresholds)

    socket = await school.enter(student, session)
    assert await judged() == "present"
    await say(lateAfter=0)
    assert await judged() == "late"
    await say(lateAfter=5, earlyBefore=0)
    await socket.close()
    await school.call("POST", f"/api/live-sessions/{session}/leave", student)
    assert (await school.call("POST", f"/api/live-sessions/{session}/end", teacher)).status == 200
    assert await judged() == "left_early"
    await say(earlyBefore=600)
    assert await judged() == "left_early", "nothing of a final report changes"
    wrong = await school.call("PATCH", path, teacher, json={"lateAfter": -1})
    assert (wrong.status, wrong.body["errors"][0]["field"]) == (422, "lateAfter")
