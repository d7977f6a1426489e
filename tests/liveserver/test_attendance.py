"""Folding stays into the report: tables of values, no clock and no database."""

from datetime import UTC, datetime, timedelta

import pytest

from liveserver.models.attendance import Interval, Presence, Thresholds, merge, row
from liveserver.models.ids import UserId, uuid7

START = datetime(2026, 1, 1, 9, 0, tzinfo=UTC)
GAP = timedelta(seconds=5)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def stay(begin: float, end: float | None, reason: str = "dropped") -> Interval:
    return Interval(
        joined_at=at(begin),
        left_at=None if end is None else at(end),
        leave_reason=None if end is None else reason,
    )


@pytest.mark.parametrize(
    ("stays", "seconds"),
    [
        ([], 0),
        ([stay(0, 10)], 10),
        ([stay(0, 10), stay(20, 30)], 20),
        ([stay(0, 10), stay(14, 30)], 30),  # 4 s away: the same stay
        ([stay(0, 10), stay(15, 30)], 30),  # 5 s: still
        ([stay(0, 10, "left"), stay(14, 30)], 26),  # on purpose: somebody else may have had the seat
        ([stay(0, 10), stay(15.001, 30)], 25),  # more: two stays
        ([stay(20, 30), stay(0, 10)], 20),  # order does not matter
        ([stay(0, None)], 60),  # still there
        ([stay(0, 0)], 0),
        ([stay(0, 10), stay(12, None)], 60),
    ],
)
def test_total_seconds_are_the_union_of_the_stays(stays: list[Interval], seconds: int) -> None:
    merged = merge(stays, gap=GAP, until=at(60))
    assert sum(((one.left_at or at(60)) - one.joined_at).total_seconds() for one in merged) == pytest.approx(
        seconds, abs=0.01
    )


@pytest.mark.parametrize(
    ("stays", "ended", "status"),
    [
        ([stay(1, 3600)], 3600, Presence.PRESENT),
        ([stay(301, 3600)], 3600, Presence.LATE),
        ([stay(1, 3000)], 3600, Presence.LEFT_EARLY),
        ([stay(1, 3000)], None, Presence.PRESENT),  # nobody leaves early before the end
        ([], 3600, Presence.ABSENT),
    ],
)
def test_status_by_thresholds(stays: list[Interval], ended: int | None, status: Presence) -> None:
    line = row(
        (UserId(uuid7()), "n", "e"),
        stays,
        began=at(0),
        ended=None if ended is None else at(ended),
        now=at(3600),
        gap=GAP,
        thresholds=Thresholds(late_after=timedelta(minutes=5), early_before=timedelta(minutes=5)),
    )
    assert line.status is status
    assert 0 <= line.percent_of_session <= 100
