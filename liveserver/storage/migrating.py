"""Bringing a database up to date: numbered SQL files, each applied once, and the tables of the job queue."""

import hashlib
from pathlib import Path

import asyncpg

from liveserver.storage import jobs

_MIGRATIONS = Path(__file__).parent / "migrations"
_MIGRATION_LOCK = 0x6C697665  # "live"


class MigrationChanged(Exception):
    """A migration that was applied has another text now; the text names it."""


async def migrate(url: str) -> list[str]:
    """Apply the numbered SQL files not applied yet, each in one transaction; return their names.

    Safe to run from many processes at once. Raises MigrationChanged when history was edited.
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
            async with conn.transaction():
                await conn.execute(text)
                await conn.execute(
                    "INSERT INTO schema_migrations (version, sha256) VALUES ($1, $2)",
                    path.name,
                    digest,
                )
            applied.append(path.name)
        await jobs.install(conn)
    finally:
        await conn.close()
    return applied
