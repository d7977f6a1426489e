"""How long packets were on their way, from what a viewer tells; numbers go round, and are told twice."""

import pytest

from media.rtcp import TransportFeedback
from media.transit import Transit


def _told(
    transit: Transit, first: int, *arrivals: float | None, now: float = 11.0
) -> list[tuple[int, float]]:
    found = transit.arrivals(TransportFeedback(first & 0xFFFF, arrivals), now)
    return [(one.number, round(one.waited, 3)) for one in found]


@pytest.mark.parametrize("first", [0, 0xFFFE])
def test_who_takes_longer_than_the_quickest_waited(first: int) -> None:
    transit = Transit(first)
    numbers = [transit.number(1000, 10.0 + n / 100) for n in range(4)]
    assert numbers == [(first + n) & 0xFFFF for n in range(4)]
    told = _told(transit, first, 500.05, 500.02, None, 500.1)
    assert told == [(numbers[0], 0.0), (numbers[1], 0.0), (numbers[3], 0.06)]


def test_a_packet_counts_once_and_one_that_came_late_is_not_missing_any_more() -> None:
    transit = Transit()
    for n in range(3):
        transit.number(1000, 10.0 + n / 100)
    told = TransportFeedback(0, (500.0, None, 500.02))
    assert list(transit.missing(TransportFeedback(0, (None, None)))) == [0, 1]
    assert [one.number for one in transit.arrivals(told, 11.0)] == [0, 2]
    assert [one.number for one in transit.arrivals(told, 11.1)] == []
    assert list(transit.missing(told)) == [1]
    assert _told(transit, 1, 500.01) == [(1, 0.0)]
    assert list(transit.missing(told)) == []


def test_of_what_was_never_sent_or_is_long_ago_nothing_is_told() -> None:
    transit = Transit(100)
    assert _told(transit, 90, *(500.0 for _ in range(50))) == []
    for n in range(5000):
        transit.number(1000, 10.0 + n / 1000)
    assert _told(transit, 100, 500.0, None) == []
    assert list(transit.missing(TransportFeedback(100, (None,)))) == []
    assert len(_told(transit, 5000, *(500.0 for _ in range(200)))) == 100


def test_the_quickest_of_long_ago_says_nothing_of_a_clock_that_drifts() -> None:
    transit = Transit()
    for n in range(4):
        transit.number(1000, 10.0 + 12 * n)
    waited = [_told(transit, n, 500.0 + 12 * n + 0.05 * n, now=10.1 + 12 * n)[0][1] for n in range(4)]
    assert waited == [0.0, 0.05, 0.05, 0.05]
