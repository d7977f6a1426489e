"""Tables as CSV that Excel opens in Arabic, and that runs nothing."""

import csv
import io
from collections.abc import Iterable, Sequence

from aiohttp import web


def sheet(name: str, headings: Sequence[str], rows: Iterable[Sequence[object]]) -> web.Response:
    """Return a download: UTF-8 with a mark, every cell disarmed, None left empty."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(headings)
    for row in rows:
        writer.writerow([_cell(value) for value in row])
    return web.Response(
        body=("\ufeff" + text.getvalue()).encode(),
        content_type="text/csv",
        charset="utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}.csv"'},
    )


def _cell(value: object) -> str:
    """Disarm what a spreadsheet would run as a formula."""
    text = "" if value is None else str(value)
    return "'" + text if text[:1] in set("=+-@\t\r") and not _is_number(value) else text


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)
