"""With SMTP: links that work once, mails that tell nobody who has an account, notifications by mail once."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import aiohttp
import pytest
from aiosmtpd.controller import Controller

from tests.builders import School
from tests.product import PASSWORD, Product, free_ports

NEW = "another-long-passphrase-9"


class _Inbox:
    """A relay that keeps what it is given."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        self.mails.append(message_from_bytes(envelope.content, policy=policy.default))
        return "250 OK"

    async def to(self, email: str, count: int = 1) -> list[str]:
        """Wait for so many mails to somebody; return their texts, with the subject in front."""
        for _ in range(100):
            found = [mail for mail in self.mails if mail["To"] == email]
            if len(found) >= count:
                return [f"{mail['Subject']}\n{mail.get_content()}" for mail in found]
            await asyncio.sleep(0.1)
        raise AssertionError(f"{len(found)} mails to {email}")


@pytest.fixture(scope="module")
def inbox() -> Iterator[tuple[_Inbox, int]]:
    keeper, port = _Inbox(), free_ports(1)
    controller = Controller(keeper, hostname="127.0.0.1", port=port)
    controller.start()
    yield keeper, port
    controller.stop()


@pytest.fixture(scope="module")
async def post(
    inbox: tuple[_Inbox, int], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[School, _Inbox]]:
    settings = {"LIVE_MAIL__SMTP_URL": f"smtp://127.0.0.1:{inbox[1]}"}
    with Product(tmp_path_factory.mktemp("post") / "state", settings=settings) as product:
        async with aiohttp.ClientSession() as client:
            school = await School.open(product, client)
            yield school, inbox[0]
            await school.close()


async def test_a_password_is_reset_by_a_link_that_works_once(post: tuple[School, _Inbox]) -> None:
    school, inbox = post
    who = await school.register()
    forgot = "/api/auth/password/forgot"
    known = await school.call("POST", forgot, json={"email": who.email})
    unknown = await school.call("POST", forgot, json={"email": "nobody@example.com"})
    assert (known.status, known.body) == (unknown.status, unknown.body) == (202, "")
    (text,) = await inbox.to(who.email)
    token = re.findall(r"/reset#(\S+)", text)[0]
    weak = await school.call("POST", "/api/auth/password/reset", json={"token": token, "password": "short"})
    assert weak.status == 422
    body = {"token": token, "password": NEW}
    assert (await school.call("POST", "/api/auth/password/reset", json=body)).status == 204
    again = await school.call("POST", "/api/auth/password/reset", json=body)
    assert (again.status, again.code) == (409, "email_link_invalid")
    assert (await school.call("GET", "/api/auth/me", who)).status == 401, "every login has ended"
    await school.login(who.email, NEW)
    assert not [mail for mail in inbox.mails if mail["To"] == "nobody@example.com"]
    for _ in range(4):
        await school.call("POST", forgot, json={"email": who.email})
    assert (await school.call("POST", forgot, json={"email": who.email})).status == 429


async def test_with_verification_on_nobody_learns_who_has_an_account(post: tuple[School, _Inbox]) -> None:
    school, inbox = post
    old = await school.register()
    admin = await school.login("admin@example.com")
    await school.call("PATCH", "/api/admin/settings", admin, json={"verifyEmail": True})
    try:
        new = "fresh-face@example.com"
        answers = []
        for email in (new, old.email):
            body = {"name": "Lina", "email": email, "password": PASSWORD, "locale": "ar"}
            answers.append(await school.call("POST", "/api/auth/register", json=body))
        assert answers[0].status == answers[1].status == 202
        assert answers[0].body == answers[1].body
        early = await school.call("POST", "/api/auth/login", json={"email": new, "password": PASSWORD})
        assert (early.status, early.code) == (403, "email_unverified")
        await school.login(old.email)  # who was here before is not asked
        (text,) = await inbox.to(new)
        assert "أكّد بريدك" in text
        assert "already" in (await inbox.to(old.email))[0]
        token = re.findall(r"/confirm#(\S+)", text)[0]
        assert (await school.call("POST", "/api/auth/email/confirm", json={"token": token})).status == 204
        await school.login(new)
        # Nobody's mailbox is filled by who keeps registering with it.
        body = {"name": "Lina", "email": "often@example.com", "password": PASSWORD}
        for _ in range(8):
            assert (await school.call("POST", "/api/auth/register", json=body)).status == 202
        await asyncio.sleep(2)
        assert len(await inbox.to("often@example.com", 5)) == 5
    finally:
        await school.call("PATCH", "/api/admin/settings", admin, json={"verifyEmail": False})


async def test_a_notification_is_mailed_once_in_the_readers_language(post: tuple[School, _Inbox]) -> None:
    school, inbox = post
    owner, student = await school.register("instructor"), await school.register()
    await school.call("PATCH", "/api/users/me", student, json={"locale": "ar"})
    course = await school.course(owner)
    await school.call("POST", f"/api/courses/{course}/enroll", student)
    await school.session(owner, course)
    texts = await inbox.to(student.email, 3)
    assert sorted(text.partition("\n")[0] for text in texts) == ["بدأت الحصة", "تم تسجيلك", "حُدد موعد حصة"]
    await asyncio.sleep(1)
    assert len(await inbox.to(student.email, 3)) == 3
