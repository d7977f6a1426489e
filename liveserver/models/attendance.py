"""When somebody was in the class: intervals, and the report folded from them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise

from liveserver.models.ids import UserId

_LINK_LOST = {"dropped", "expired", "server_lost"}


class Presence(StrEnum):
    PRESENT = "present"
    LATE = "late"
    LEFT_EARLY = "left_early"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """One unbroken stay. `left_at` is None while it lasts."""

    joined_at: datetime
    left_at: datetime | None
    leave_reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """From when on a student counts as late, and until when as having stayed."""

    late_after: timedelta
    early_before: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class AttendanceRow:
    user_id: UserId
    name: str
    email: str
    status: Presence
    first_join: datetime | None
    last_leave: datetime | None
    total_seconds: int
    connections: int
    late_seconds: int
    left_early_seconds: int
    percent_of_session: int
    intervals: Sequence[Interval]


def merge(intervals: Iterable[Interval], *, gap: timedelta, until: datetime) -> list[Interval]:
    """Return the union, with lost links of up to `gap` bridged; an open stay is counted to `until`.

    Who left on purpose was away, however short: somebody else may have had the seat.
    """
    merged: list[Interval] = []
    for interval in sorted(intervals, key=lambda one: one.joined_at):
        if merged:
            last = merged[-1]
            end = last.left_at
            if end is None:
                continue
            lost = last.leave_reason in _LINK_LOST
            if interval.joined_at <= end or (lost and interval.joined_at - end <= gap):
                later = None if interval.left_at is None else max(end, interval.left_at)
                merged[-1] = Interval(
                    joined_at=last.joined_at,
                    left_at=later,
                    leave_reason=interval.leave_reason,
                )
                continue
        merged.append(interval)
    assert all((a.left_at or until) <= b.joined_at for a, b in pairwise(merged))  # noqa: S101 - the invariant
    return merged


def row(
    person: tuple[UserId, str, str],
    intervals: Sequence[Interval],
    *,
    began: datetime | None,
    ended: datetime | None,
    now: datetime,
    gap: timedelta,
    thresholds: Thresholds,
) -> AttendanceRow:
    """Fold one person's intervals into the line of the report.

    While the class runs nobody has left early; seconds are whole and rounded to the nearest.
    """
    until = ended or now
    stays = merge(intervals, gap=gap, until=until)
    user_id, name, email = person
    if not stays or began is None:
        return AttendanceRow(
            user_id=user_id,
            name=name,
            email=email,
            status=Presence.ABSENT,
            first_join=None,
            last_leave=None,
            total_seconds=0,
            connections=0,
            late_seconds=0,
            left_early_seconds=0,
            percent_of_session=0,
            intervals=(),
        )
    total = sum(((one.left_at or until) - one.joined_at).total_seconds() for one in stays)
    late = max(timedelta(), stays[0].joined_at - began)
    last_leave = stays[-1].left_at
    early = max(timedelta(), ended - (last_leave or ended)) if ended else timedelta()
    status = Presence.PRESENT
    if late > thresholds.late_after:
        status = Presence.LATE
    elif early > thresholds.early_before:
        status = Presence.LEFT_EARLY
    length = max((until - began).total_seconds(), 0.001)
    return AttendanceRow(
        user_id=user_id,
        name=name,
        email=email,
        status=status,
        first_join=stays[0].joined_at,
        last_leave=last_leave,
        total_seconds=round(total),
        connections=len(intervals),
        late_seconds=round(late.total_seconds()),
        left_early_seconds=round(early.total_seconds()),
        percent_of_session=min(100, round(100 * total / length)),
        intervals=tuple(stays),
    )
