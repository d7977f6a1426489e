"""Bringing a database up to date: numbered SQL files, each applied once, and the tables of the job queue."""

import asyncio
import hashlib
import itertools
import time
from pathlib import Path

import asyncpg
import structlog

from liveserver.storage import jobs

_MIGRATIONS = Path(__file__).parent / "migrations"
_MIGRATION_LOCK = 0x6C697665  # "live"
# PostgreSQL looks for a deadlock once, after a wait of a second, and refuses who looked. Of a migration and
# a query of the version that still serves, the migration gives way, well before that; a query is refused only
# if it looks in just these 200 ms. Now and then a migration waits for longer than a second: only then is a
# vacuum told to make room.
_LOCK_TIMEOUT, _LONGER_LOCK_TIMEOUT = "200ms", "1500ms"
_LONGER_EVERY = 8  # tries
_PATIENCE = 300.0  # seconds, for all files together
_PAUSE, _LONGEST_PAUSE = 0.2, 3.0  # seconds

_log = structlog.get_logger()


class CannotMigrate(Exception):
    """Why a database was not brought up to date, in a sentence a person can act on."""


class MigrationChanged(CannotMigrate):
    """A migration that was applied has another text now; the text names it."""


class MigrationBlocked(CannotMigrate):
    """Others held what a migration locks for as long as it may wait; the text names it and what to do."""


async def migrate(url: str) -> list[str]:
    """Apply the numbered SQL files not applied yet, each in one transaction; return their names.

    Safe to run from many processes at once, and beside servers of the version before. Raises MigrationChanged
    when history was edited, MigrationBlocked when locks could not be had in five minutes.
    """
    # No command timeout: neither a large table nor another process that applies before us is cut off.
    conn = await asyncpg.connect(url)
    applied: list[str] = []
    try:
        await conn.execute("SELECT pg_advisory_lock($1)", _MIGRATION_LOCK)
        await conn.execute(
            "CREATE TABLE IF NOT EXISTS schema_migrations (version text PRIMARY KEY,"
            " sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        until = time.monotonic() + _PATIENCE
        rows = await conn.fetch("SELECT version, sha256 FROM schema_migrations")
        known: dict[str, str] = {row["version"]: row["sha256"] for row in rows}
        for path in sorted(_MIGRATIONS.glob("*.sql")):
            text = path.read_text(encoding="utf-8")
            digest = hashlib.sha256(text.encode()).hexdigest()
            if known.get(path.name, digest) != digest:
                raise MigrationChanged(f"{path.name} differs from the text that was applied")
            if path.name in known:
                continue
            await _apply(conn, path.name, text, digest, until)
            applied.append(path.name)
        await jobs.install(conn)
    finally:
        await conn.close()
    return applied


async def _apply(
    conn: "asyncpg.Connection[asyncpg.Record]", name: str, text: str, digest: str, until: float
) -> None:
    """One file in one transaction, begun again whenever what it locks is in use."""
    for tries in itertools.count(1):
        timeout = _LOCK_TIMEOUT if tries % _LONGER_EVERY else _LONGER_LOCK_TIMEOUT
        try:
            async with conn.transaction():
                await conn.execute("SELECT set_config('lock_timeout', $1, true)", timeout)
                await conn.execute(text)
                await conn.execute(
                    "INSERT INTO schema_migrations (version, sha256) VALUES ($1, $2)", name, digest
                )
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError) as error:
            if time.monotonic() > until:
                raise MigrationBlocked(
                    f"{name} waited too long for tables that are in use; nothing of it was applied."
                    " End the transactions that hold them (pg_stat_activity shows the oldest) and start again"
                ) from error
            if tries & (tries - 1) == 0:
                _log.warning("migration.waits", version=name, tries=tries, reason=str(error))
            await asyncio.sleep(min(_PAUSE * tries, _LONGEST_PAUSE))
        else:
            return
