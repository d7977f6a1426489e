"""Cursors of lists that are not ordered by id alone: opaque to clients, checked when they come back."""

import base64
import json
import math
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from api.scalars import Query
from liveserver.errors import Invalid

Cursor = Annotated[str, StringConstraints(max_length=300, pattern=r"^[A-Za-z0-9_-]+$")]


class CursorQuery(Query):
    limit: Annotated[int, Field(ge=1, le=100)] = 20
    cursor: Cursor | None = None


def encode(*values: object) -> str:
    """Return where a page ended, as a client carries it."""
    text = json.dumps([str(v) if not isinstance(v, int | float) else v for v in values])
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def moment(value: object) -> datetime:
    """A time as `encode` wrote it, with its offset."""
    at = datetime.fromisoformat(str(value))
    if at.tzinfo is None:
        raise ValueError("no offset")
    return at


def flag(value: object) -> int:
    if value not in {0, 1}:
        raise ValueError("neither 0 nor 1")
    return int(bool(value))


def number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("not a finite number")
    return value


def decode(cursor: str | None, *kinds: Any) -> list[Any] | None:
    """Return the values of a cursor, each made by its kind; raise Invalid for one we did not make."""
    if cursor is None:
        return None
    try:
        values = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if not isinstance(values, list) or len(values) != len(kinds):
            raise ValueError  # noqa: TRY301 - one answer for everything that is wrong with it
        return [kind(value) for kind, value in zip(kinds, values, strict=True)]
    except (ValueError, TypeError, OverflowError, RecursionError, AttributeError):
        raise Invalid(("query.cursor", "unknown_cursor")) from None


def cut(found: Sequence[Any], limit: int) -> tuple[Sequence[Any], Any | None]:
    """Return the page, and its last row when there is a next page (one row too many was asked for)."""
    items = found[:limit]
    return items, items[-1] if len(found) > limit else None
