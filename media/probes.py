"""Whose links a worker fills at the moment, to see whether they carry more: not too many at once, or it would
have no time for the class.
"""

from itertools import islice
from typing import Protocol

import structlog

MOST = 100  # at once; measured by bench/probing
_FORGOTTEN = 2.5  # seconds after which who has not asked again, which they do each second, waits no more
_log = structlog.get_logger()


class Link(Protocol):
    """A viewer's connection that may be filled."""

    def probe(self, now: float) -> bool:
        """Send what is due; say whether it goes on."""
        ...

    def give_up_probe(self, now: float) -> None:
        """It failed, and nothing is to be learnt from it."""
        ...


class Probes:
    """One for all rooms of a worker. Who finds no room waits in the order of asking, and asks on."""

    def __init__(self) -> None:
        self._running: dict[Link, None] = {}
        self._waiting: dict[Link, float] = {}  # when they asked last

    def may_begin(self, link: Link, now: float) -> bool:
        """Say whether a link may be filled now."""
        self._waiting[link] = now
        return link in islice(self._waiting, max(0, MOST - len(self._running)))

    def begin(self, link: Link) -> None:
        """Fill a link from now on; one that is filled already goes on."""
        self._waiting.pop(link, None)
        self._running[link] = None

    def end(self, link: Link) -> None:
        """Fill it no more; whoever waits may have its place at once."""
        self._running.pop(link, None)

    def forget(self, link: Link) -> None:
        """It is closed."""
        self.end(link)
        self._waiting.pop(link, None)

    def tick(self, now: float) -> None:
        """Every 20 ms."""
        for link in list(self._running):
            try:
                if link.probe(now):
                    continue
            except Exception:  # one viewer's bug must not stop the others
                _log.exception("media.probe_failed")
                link.give_up_probe(now)
            self.end(link)
        if self._waiting:
            self._waiting = {link: at for link, at in self._waiting.items() if now - at < _FORGOTTEN}
