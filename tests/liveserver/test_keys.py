"""Signing keys change under load and nobody is refused for it; a leaked one is void."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from liveserver.config import Running
from liveserver.errors import TokenInvalid
from liveserver.models.accounts import AccountStatus, Role, User
from liveserver.models.ids import FamilyId, UserId, uuid7
from liveserver.services.keys import KeysUnreadable, SigningKeys
from liveserver.services.tokens import TokenSigner
from liveserver.storage.migrating import migrate
from liveserver.storage.postgres import Database
from tests.product import Product

SECRET = "s" * 32
READ, AHEAD, ACCESS = 0.05, 0.2, 1
SOMEBODY = User(
    id=UserId(uuid7()),
    name="n",
    email="e@x.example",
    role=Role.STUDENT,
    status=AccountStatus.ACTIVE,
    locale="en",
    timezone="UTC",
    token_version=0,
    created_at=datetime.now(UTC),
)


@pytest.fixture
async def database(product: Product) -> AsyncIterator[Database]:
    """A database of its own beside the product's, where keys may be made void."""
    running = Running.model_validate_json((product.state / "run.json").read_text())
    name = f"keys_{uuid7().hex[-8:]}"
    conn = await asyncpg.connect(running.database_url)
    await conn.execute(f"CREATE DATABASE {name}")
    await conn.close()
    url = urlsplit(running.database_url)._replace(path=f"/{name}").geturl()
    await migrate(url)
    opened = await Database.open(url, 4)
    yield opened
    await opened.close()


def _keys(
    database: Database, *, secret: str = SECRET, directory: str = "", days: float | None = None
) -> SigningKeys:
    return SigningKeys(
        database,
        secret=secret,
        directory=directory,
        rotate_after=timedelta(days=days) if days is not None else None,
        read_seconds=READ,
        ahead_seconds=AHEAD,
        lived_seconds=ACCESS + 0.5,
    )


async def _processes(database: Database) -> list[TokenSigner]:
    signers = []
    for _ in range(2):
        keys = _keys(database)
        await keys.load()
        signers.append(TokenSigner(keys, access_seconds=ACCESS))
    return signers


async def test_twenty_rotations_under_load_refuse_nobody(database: Database) -> None:
    signers = await _processes(database)
    reading = [asyncio.create_task(one._keys.run()) for one in signers]
    checked, names, fresh = 0, set(), [(time.time(), signers[0].access(SOMEBODY, FamilyId(uuid7())))]

    async def load() -> None:
        nonlocal checked, fresh
        while True:
            now = time.time()
            fresh = [(at, token) for at, token in fresh if now - at < ACCESS]
            fresh += [(now, one.access(SOMEBODY, FamilyId(uuid7()))) for one in signers]
            for _, token in (fresh[0], fresh[-1], fresh[-2], fresh[len(fresh) // 2]):
                for signer in signers:
                    names.add((await signer.read_access(token)).kid)
                    checked += 1
            await asyncio.sleep(0.001)

    loading = asyncio.create_task(load())
    for _ in range(20):
        await _keys(database).rotate()
        await asyncio.sleep(0.1)
        assert not loading.done(), loading.exception()
    await asyncio.sleep(AHEAD + ACCESS + 1)
    assert not loading.done(), loading.exception()
    for task in (*reading, loading):
        task.cancel()
    print(f"{checked} checks, {len(names)} keys")
    assert len(names) >= 20
    assert len(signers[0]._keys._keys) < 5, "the old ones are gone"


async def test_a_key_that_leaked_is_void_at_once(database: Database) -> None:
    signers = await _processes(database)
    token = signers[1].access(SOMEBODY, FamilyId(uuid7()))
    await signers[1].read_access(token)
    await signers[0]._keys.rotate(at_once=True)
    await signers[1]._keys.load()
    for signer in signers:
        with pytest.raises(TokenInvalid):
            await signer.read_access(token)
        await signers[0].read_access(signer.access(SOMEBODY, FamilyId(uuid7())))


async def test_several_processes_make_one_key_when_the_newest_is_old(database: Database) -> None:
    made = [_keys(database, days=1) for _ in range(3)]
    await made[0].load()
    async with database.transaction() as conn:
        await conn.execute("UPDATE signing_keys SET active_from = now() - interval '2 days'")
    running = [asyncio.create_task(one.run()) for one in made]
    await asyncio.sleep(READ * 10)
    for task in running:
        task.cancel()
    async with database.connection() as conn:
        assert await conn.fetchval("SELECT count(*) FROM signing_keys") == 2


async def test_keys_of_a_directory_sign_when_all_had_time_to_read_them(
    database: Database, tmp_path: Path
) -> None:
    def lay(kid: str, age: float) -> None:
        pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (tmp_path / f"{kid}.pem").write_bytes(pem)
        os.utime(tmp_path / f"{kid}.pem", (time.time() - age, time.time() - age))

    keys = _keys(database, directory=str(tmp_path))
    with pytest.raises(KeysUnreadable):
        await keys.load()
    lay("first", 10)
    await keys.load()
    lay("second", 0)
    await keys.load()
    assert (keys.signing().kid, "second" in keys) == ("first", True)
    signs_from = (tmp_path / "second.pem").stat().st_mtime + AHEAD
    await asyncio.sleep(signs_from - time.time() + 0.01)  # the loop counts whole milliseconds
    assert keys.signing().kid == "second"
    (tmp_path / "first.pem").unlink()
    await keys.load()
    assert await keys.find("first") is None


async def test_another_secret_does_not_open_them(database: Database) -> None:
    await _keys(database).load()
    with pytest.raises(KeysUnreadable, match="restore the secret"):
        await _keys(database, secret="other").load()
