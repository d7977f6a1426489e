"""Bringing a database up to date: numbered SQL files, each applied once, and the tables of the job queue."""

import asyncio
import hashlib
import logging
import time
from pathlib import Path

import asyncpg

from liveserver.storage import jobs

_MIGRATIONS = Path(__file__).parent / "migrations"
_MIGRATION_LOCK = 0x6C697665  # "live"
# Well below PostgreSQL's deadlock_timeout (1 s): where a migration and a query of the version that still
# serves wait for each other, it is the migration that gives way, before the query is refused.
_LOCK_TIMEOUT = "SET LOCAL lock_timeout = '200ms'"
_PATIENCE = 300.0
_PAUSE = 0.2

_log = logging.getLogger(__name__)


class CannotMigrate(Exception):
    """Why a database was not brought up to date, in a sentence a person can act on."""


class MigrationChanged(CannotMigrate):
    """A migration that was applied has another text now; the text names it."""


class MigrationBlocked(CannotMigrate):
    """Others held a migration's tables for all of the time it may wait; the text names it and what to do."""


async def migrate(url: str) -> list[str]:
    """Apply the numbered SQL files not applied yet, each in one transaction; return their names.

    Safe to run from many processes at once, and beside servers of the version before. Raises MigrationChanged
    when history was edited, MigrationBlocked when a table could not be locked in five minutes.
    """
    conn = await asyncpg.connect(url, command_timeout=600)
    applied = []
    try:
        await conn.execute("SELECT pg_advisory_lock($1)", _MIGRATION_LOCK)
        await conn.execute(
            "CREATE TABLE IF NOT EXISTS schema_migrations (version text PRIMARY KEY,"
            " sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        rows = await conn.fetch("SELECT version, sha256 FROM schema_migrations")
        known: dict[str, str] = {row["version"]: row["sha256"] for row in rows}
        for path in sorted(_MIGRATIONS.glob("*.sql")):
            text = path.read_text(encoding="utf-8")
            digest = hashlib.sha256(text.encode()).hexdigest()
            if known.get(path.name, digest) != digest:
                raise MigrationChanged(f"{path.name} differs from the text that was applied")
            if path.name in known:
                continue
            await _apply(conn, path.name, text, digest)
            applied.append(path.name)
        await jobs.install(conn)
    finally:
        await conn.close()
    return applied


async def _apply(conn: "asyncpg.Connection[asyncpg.Record]", name: str, text: str, digest: str) -> None:
    """One file in one transaction, begun again whenever a table it locks is in use."""
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            async with conn.transaction():
                await conn.execute(_LOCK_TIMEOUT)
                await conn.execute(text)
                await conn.execute(
                    "INSERT INTO schema_migrations (version, sha256) VALUES ($1, $2)", name, digest
                )
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError) as error:
            if time.monotonic() > until:
                raise MigrationBlocked(
                    f"{name} waited {_PATIENCE:.0f} s for tables that are in use; nothing of it was applied."
                    " End the transactions that hold them (pg_stat_activity shows the oldest) and start again"
                ) from error
            _log.info("%s waits for a table in use: %s", name, error)
            await asyncio.sleep(_PAUSE)
        else:
            return
