"""Five hundred students, a hundred seats, two web processes, all at once, again and again."""

import asyncio
from collections import Counter

from tests.builders import Person, School, until

ROUNDS, STUDENTS, SEATS = 20, 500, 100


async def test_exactly_as_many_are_admitted_as_there_are_seats(school: School) -> None:
    instructor = await school.register("instructor")
    course = await school.course(instructor)
    students = await school.students(STUDENTS)
    await school.enroll(students, course)
    for round_number in range(ROUNDS):
        session = await school.session(instructor, course, seats=SEATS)
        answers = await asyncio.gather(
            *(school.join(one, session, process=n % 2) for n, one in enumerate(students))
        )
        counted = Counter((answer.status, answer.code) for answer in answers)
        assert counted == {(200, ""): SEATS, (409, "session_full"): STUDENTS - SEATS}, round_number
        slots = {answer.body["slot"] for answer in answers if answer.status == 200}
        assert slots == set(range(1, SEATS + 1))
        await _current(school, instructor, session, SEATS)
        admitted = [answer.body["ticket"] for answer in answers if answer.status == 200]
        sockets = await asyncio.gather(
            *(school.connect(ticket, process=n % 2, device=f"d{n}") for n, ticket in enumerate(admitted))
        )
        await until(lambda sockets=sockets: all(one.heard("welcome") for one in sockets), 20)
        await _current(school, instructor, session, SEATS)
        open_stays = await school.database.fetchval(
            "SELECT count(DISTINCT slot_no) FROM attendance_intervals"
            " WHERE session_id = $1 AND left_at IS NULL",
            session,
        )
        assert open_stays == SEATS
        ended = await school.call("POST", f"/api/live-sessions/{session}/end", instructor)
        assert ended.body["status"] == "ended"
        await until(lambda sockets=sockets: not any(one.client.connected for one in sockets), 10)
        await _current(school, instructor, session, 0)


async def _current(school: School, instructor: Person, session: str, expected: int) -> None:
    for process in (0, 1):
        shown = await school.call("GET", f"/api/live-sessions/{session}", instructor, process=process)
        assert shown.body["currentStudents"] == expected
