"""The statements a piece of the product sends to PostgreSQL, word for word, with their arguments."""

from typing import Any


class Recording:
    """A connection that notes what it is asked on the way."""

    def __init__(self, conn: Any) -> None:
        self._conn = conn
        self.statements: list[tuple[str, tuple[Any, ...]]] = []

    async def fetch(self, statement: str, *arguments: Any) -> Any:
        self.statements.append((statement, arguments))
        return await self._conn.fetch(statement, *arguments)

    async def fetchrow(self, statement: str, *arguments: Any) -> Any:
        self.statements.append((statement, arguments))
        return await self._conn.fetchrow(statement, *arguments)

    async def fetchval(self, statement: str, *arguments: Any) -> Any:
        self.statements.append((statement, arguments))
        return await self._conn.fetchval(statement, *arguments)
