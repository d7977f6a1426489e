"""Whose links a worker fills at the moment, to see whether they carry more: a few at once, or it would have
no time for the class.
"""

from typing import Protocol

import structlog

MOST = 100  # at once; measured by bench/probing
_log = structlog.get_logger()


class Link(Protocol):
    """A viewer's connection that may be filled."""

    def probe(self, now: float) -> bool:
        """Send what is due; say whether it goes on."""
        ...


class Probes:
    """One for all rooms of a worker."""

    def __init__(self) -> None:
        self._running: dict[Link, None] = {}

    @property
    def have_room(self) -> bool:
        """Say whether another may begin; who may not tries again a second later."""
        return len(self._running) < MOST

    def begin(self, link: Link) -> None:
        """Fill a link from now on; one that is filled already goes on."""
        self._running[link] = None

    def tick(self, now: float) -> None:
        """Every 20 ms."""
        for link in list(self._running):
            goes_on = False
            try:
                goes_on = link.probe(now)
            except Exception:  # one viewer's bug must not stop the others
                _log.exception("media.probe_failed")
            if not goes_on:
                del self._running[link]
