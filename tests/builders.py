"""Making people, courses and classes in a running product, as its clients would."""

import asyncio
import contextlib
import itertools
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import aiohttp
import asyncpg
import jwt
import socketio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from liveserver.config import Running, Settings
from liveserver.models.ids import uuid7
from liveserver.services.sealing import unseal
from liveserver.storage.s3 import ObjectStore
from tests.product import PASSWORD, Product

NAMESPACE = "/classroom"
_numbers = itertools.count(1)


@dataclass
class Person:
    """Somebody with an account and an access token."""

    id: str
    email: str
    token: str
    refresh_token: str = ""

    @property
    def auth(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


@dataclass
class Answer:
    status: int
    body: Any
    headers: Any

    @property
    def code(self) -> str:
        return str(self.body.get("code", "")) if isinstance(self.body, dict) else ""


class School:
    """The product's clients: makes what a test needs, and speaks HTTP and Socket.IO."""

    def __init__(self, product: Product, client: aiohttp.ClientSession, database: Any) -> None:
        self.product = product
        self.client = client
        self.database = database
        self.sockets: list[socketio.AsyncClient] = []

    @classmethod
    async def open(cls, product: Product, client: aiohttp.ClientSession) -> "School":
        running = Running.model_validate_json((product.state / "run.json").read_text())
        return cls(product, client, await asyncpg.connect(running.database_url))

    async def close(self) -> None:
        for socket in self.sockets:
            if socket.connected:
                await socket.disconnect()
        await self.database.close()

    async def call(
        self,
        method: str,
        path: str,
        who: Person | None = None,
        *,
        process: int = 0,
        headers: dict[str, str] | None = None,
        **rest: Any,
    ) -> Answer:
        sent = {**(who.auth if who else {}), **(headers or {})}
        async with self.client.request(
            method, self.product.url(process) + path, headers=sent, **rest
        ) as answer:
            json = "json" in answer.content_type
            body = await answer.json(content_type=None) if json else await answer.text()
            return Answer(answer.status, body, answer.headers)

    @contextlib.asynccontextmanager
    async def store(self) -> AsyncIterator[ObjectStore]:
        """The product's own object store, as an operator may look into it."""
        running = Running.model_validate_json((self.product.state / "run.json").read_text())
        s3 = Settings().s3
        async with ObjectStore.open(
            endpoint=running.s3_endpoint,
            public_endpoint=s3.public_endpoint,
            bucket=s3.bucket,
            region=s3.region,
            access_key=running.s3_access_key,
            secret_key=running.s3_secret_key,
        ) as store:
            yield store

    async def settled(self, owner: Person, upload: str) -> Any:
        """Wait until an upload is ready or has failed; return it."""
        state: Any = None
        for _ in range(300):
            state = (await self.call("GET", f"/api/uploads/{upload}", owner)).body
            if state["status"] != "processing":
                return state
            await asyncio.sleep(0.1)
        raise AssertionError(f"nobody dealt with {state}")

    # People

    async def login(self, email: str, password: str = PASSWORD) -> Person:
        answer = await self.call("POST", "/api/auth/login", json={"email": email, "password": password})
        assert answer.status == 200, answer
        return _person(answer.body)

    async def register(self, role: str = "student") -> Person:
        """A new account by the public route."""
        email = f"{role}{next(_numbers)}-{secrets.token_hex(3)}@example.com"
        answer = await self.call(
            "POST",
            "/api/auth/register",
            json={"name": email, "email": email, "password": PASSWORD, "role": role},
        )
        assert answer.status == 201, answer
        return _person(answer.body)

    async def students(self, count: int) -> list[Person]:
        """Many students at once: one is registered, the rest are its likeness in the database."""
        first = await self.register()
        header = jwt.get_unverified_header(first.token)
        signer = await self._signer(header["kid"])
        rows, families, people = [], [], []
        model = await self.database.fetchrow("SELECT * FROM users WHERE id = $1", UUID(first.id))
        for _ in range(count):
            user, family = uuid7(), uuid7()
            email = f"many{next(_numbers)}-{user.hex[-6:]}@example.com"
            rows.append((user, email, email, model["password_hash"], "student", "active", "en", "UTC"))
            families.append((family, user, "test", "127.0.0.1", datetime.now(UTC) + timedelta(days=1)))
            now = int(datetime.now(UTC).timestamp())
            claims = {
                "iss": "liveserver",
                "aud": "at+jwt",
                "jti": user.hex,
                "iat": now,
                "exp": now + 600,
                "sub": str(user),
                "sid": str(family),
                "ver": 0,
                "role": "student",
            }
            token = jwt.encode(claims, signer, "EdDSA", {"typ": "at+jwt", "kid": header["kid"]})
            people.append(Person(str(user), email, token))
        await self.database.executemany(
            "INSERT INTO users (id, name, email, password_hash, role, status, locale, timezone)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            rows,
        )
        await self.database.copy_records_to_table(
            "refresh_families",
            records=families,
            columns=["id", "user_id", "user_agent", "address", "expires_at"],
        )
        return people

    async def _signer(self, kid: str) -> Any:
        """The product's own signing key, to make tokens nobody could forge."""
        running = Running.model_validate_json((self.product.state / "run.json").read_text())
        sealed = await self.database.fetchval("SELECT private_sealed FROM signing_keys WHERE kid = $1", kid)
        raw = unseal(running.auth_secret.encode(), b"signing-key", sealed)
        return Ed25519PrivateKey.from_private_bytes(raw)

    # Courses and classes

    async def course(self, instructor: Person, *, approve: bool = True, price: int = 0) -> str:
        """A course with one section and one lesson."""
        made = await self.call(
            "POST", "/api/instructor/courses", instructor, json={"title": "Course", "price": price}
        )
        assert made.status == 201, made
        course: str = made.body["id"]
        section = await self.call(
            "POST", f"/api/courses/{course}/sections", instructor, json={"title": "Section"}
        )
        lesson = {"type": "file", "title": "Lesson"}
        await self.call("POST", f"/api/sections/{section.body['id']}/lessons", instructor, json=lesson)
        if approve:
            assert (
                await self.call("POST", f"/api/instructor/courses/{course}/submit", instructor)
            ).status == 200
            admin = await self.login("admin@example.com")
            assert (await self.call("PATCH", f"/api/admin/courses/{course}/approve", admin)).status == 200
        return course

    async def lesson(self, instructor: Person, section: str, **facts: Any) -> str:
        """One more lesson of a section."""
        body = {"type": "file", "title": "Lesson", **facts}
        made = await self.call("POST", f"/api/sections/{section}/lessons", instructor, json=body)
        assert made.status == 201, made
        lesson: str = made.body["id"]
        return lesson

    async def session(self, instructor: Person, course: str, *, seats: int = 2, start: bool = True) -> str:
        made = await self.call(
            "POST",
            "/api/live-sessions",
            instructor,
            json={
                "courseId": course,
                "title": "Class",
                "startTime": datetime.now(UTC).isoformat(),
                "duration": 60,
                "maxStudents": seats,
            },
        )
        assert made.status == 201, made
        session: str = made.body["id"]
        if start:
            assert (await self.call("POST", f"/api/live-sessions/{session}/start", instructor)).status == 200
        return session

    async def enroll(self, students: list[Person], course: str) -> None:
        await self.database.copy_records_to_table(
            "enrollments",
            records=[(uuid7(), UUID(one.id), UUID(course)) for one in students],
            columns=["id", "student_id", "course_id"],
        )

    async def join(self, who: Person, session: str, *, process: int = 0) -> Answer:
        return await self.call("POST", f"/api/live-sessions/{session}/join", who, process=process)

    async def enter(self, who: Person, session: str, *, process: int = 0, device: str = "") -> "ClassSocket":
        """Join and connect: a confirmed seat."""
        admission = await self.join(who, session)
        assert admission.status == 200, admission
        return await self.connect(admission.body["ticket"], process=process, device=device or who.id)

    async def account_socket(self, who: Person, *, process: int = 0) -> "ClassSocket":
        """Somebody's socket for notifications."""
        socket = ClassSocket("/account")
        self.sockets.append(socket.client)
        await socket.client.connect(
            self.product.url(process),
            namespaces=["/account"],
            auth={"accessToken": who.token},
            transports=["websocket"],
            wait_timeout=10,
        )
        return socket

    async def connect(self, ticket: Any, *, process: int = 0, device: str = "d") -> "ClassSocket":
        socket = ClassSocket()
        self.sockets.append(socket.client)
        await socket.client.connect(
            self.product.url(process),
            namespaces=[NAMESPACE],
            auth={"ticket": ticket, "device": device},
            transports=["websocket"],
            wait_timeout=10,
        )
        return socket


class ClassSocket:
    """One student's or teacher's socket, and everything it was told."""

    def __init__(self, namespace: str = NAMESPACE) -> None:
        self.namespace = namespace
        self.client = socketio.AsyncClient(reconnection=False)
        self.told: list[tuple[str, Any]] = []
        self.client.on("*", self._hear, namespace=namespace)
        self.refused: Any = None
        self.client.on("connect_error", self._refuse, namespace=namespace)

    async def _hear(self, event: str, *args: Any) -> None:
        self.told.append((event, args[0] if args else None))

    async def _refuse(self, why: Any) -> None:
        self.refused = why

    async def ask(self, event: str, payload: Any = None) -> Any:
        return await self.client.call(
            event, {} if payload is None else payload, namespace=self.namespace, timeout=10
        )

    def heard(self, event: str) -> list[Any]:
        return [facts for name, facts in self.told if name == event]

    async def close(self) -> None:
        await self.client.disconnect()


def _person(body: Any) -> Person:
    return Person(
        body["user"]["id"], body["user"]["email"], body["accessToken"], body.get("refreshToken", "")
    )


async def until(condition: Any, seconds: float = 10.0) -> None:
    """Wait until a condition holds; fail when it does not in time."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "it did not happen in time"
        await asyncio.sleep(0.02)
