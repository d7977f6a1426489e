"""A probe fills a link at its rate, with numbers of its own, and with what the viewer has."""

from typing import Any

import pytest

from media.formats import VP8
from media.retransmission import Probe, Retransmissions
from media.rtp import HEADER, send_time
from media.slot import Slot, stage

_PACKET = HEADER.pack(0x90, 0x80 | VP8.payload_type, 500, 9000, 7) + send_time(1.0) + b"a picture" * 100


class _View:
    """Shows the camera; of its last packets every other is small."""

    types: bytes | None = None
    strand: object = object()
    last = 501

    def __init__(self) -> None:
        sender: Any = None
        self.slot = Slot(next(one for one in stage() if one.source == "camera"), sender)
        self.looked_at = 0

    def recent(self, back: int) -> bytes | None:
        self.looked_at += 1
        return _PACKET if back % 2 else _PACKET[:100]


@pytest.fixture
def view() -> Any:
    return _View()


@pytest.fixture
def sent() -> list[list[bytes]]:
    return []


@pytest.fixture
def probe(view: Any, sent: list[list[bytes]]) -> Probe:
    return Probe(Retransmissions([view.slot]), lambda packets: not sent.append(list(packets)))  # type: ignore[func-returns-value]


def test_who_takes_no_retransmissions_is_not_probed(probe: Probe, view: Any, sent: list[list[bytes]]) -> None:
    view.types = bytes([0xFF]) * 128
    for n in range(20):
        probe.fill(1_000_000.0, [view], 10.0 + n * 0.02)
    assert sent == []


def test_a_probe_goes_on_with_what_is_watched_now(probe: Probe, view: Any, sent: list[list[bytes]]) -> None:
    other: Any = _View()
    for n in range(10):
        probe.fill(1_000_000.0, [view], 10.0 + n * 0.02)
    view.strand = None
    before = len(sent)
    for n in range(10, 20):
        probe.fill(1_000_000.0, [other], 10.0 + n * 0.02)
    assert len(sent) > before
    assert other.looked_at > 0


def test_only_what_was_sent_since_it_began_counts_against_it(probe: Probe, view: Any) -> None:
    ssrc = view.slot.place.ssrc
    probe.begin({ssrc: view})
    probe.fill(1_000_000.0, [view], 10.0)
    view.last = 900
    probe.begin({ssrc: view})  # it runs already
    assert probe.covers(ssrc, 502)
    assert not probe.covers(ssrc, 501)
    assert probe.covers(ssrc + 1, 3)
    probe.end()
    probe.begin({ssrc: view})
    assert not probe.covers(ssrc, 900)
