"""Who is shown as speaking, by the levels that browsers say in each packet of sound. Time is an argument."""

from collections.abc import Mapping

from media.voice import LOUD

_SILENCE = 127.0
_SMOOTH = 0.35  # how much a new level counts
_LEAD = 4.0  # decibels by which somebody must be louder to take over
_HOLD = 1.5  # seconds somebody is still shown as speaking after their last word
_SETTLED = 0.8  # seconds a voice leads before another may


class Speakers:
    """Of one room, asked every few hundred milliseconds."""

    def __init__(self) -> None:
        self.dominant: str | None = None
        self._level: dict[str, float] = {}
        self._spoke_at: dict[str, float] = {}
        self._since = float("-inf")

    def note(self, levels: Mapping[str, int | None], now: float) -> list[str]:
        """Take everybody's level since the last time; return who speaks, the dominant one first."""
        for gone in self._level.keys() - levels.keys():
            del self._level[gone]
            self._spoke_at.pop(gone, None)
        for name, level in levels.items():
            new = _SILENCE if level is None else float(level)
            old = self._level.get(name, _SILENCE)
            self._level[name] = old + (new - old) * _SMOOTH
            if new < LOUD:
                self._spoke_at[name] = now
        speaking = [name for name, at in self._spoke_at.items() if now - at < _HOLD]
        speaking.sort(key=lambda name: self._level[name])
        self._lead(speaking, now)
        if self.dominant in speaking:
            speaking.remove(self.dominant)
            speaking.insert(0, self.dominant)
        return speaking

    def _lead(self, speaking: list[str], now: float) -> None:
        if not speaking or self.dominant == speaking[0]:
            return
        loudest, leader = speaking[0], self.dominant
        if leader in speaking:
            louder = self._level[leader] - self._level[loudest]
            if louder < _LEAD or now - self._since < _SETTLED:
                return
        self.dominant, self._since = loudest, now
