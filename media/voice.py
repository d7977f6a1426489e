"""How loud somebody is, by the levels their packets of sound say (RFC 6464). Time is an argument.

A level is in decibels below the loudest there can be: 0 is loudest, 127 is silence. Clients could lie: it
decides who is heard when more speak than there are places, and what is shown first.
"""

LOUD = 45.0  # who is louder than this speaks
_SILENCE = 127.0
_RISE, _FALL = 0.03, 1.0  # seconds in which a level counts: a word is heard within a tenth, a click is not
_LONGEST = 0.06  # seconds for which one packet can count


class Voice:
    """Of one microphone. `level` is the last packet's; `loudness` keeps through the pauses between words."""

    def __init__(self) -> None:
        self.level: int | None = None
        self.loudness = _SILENCE
        self.spoke_at = float("-inf")
        self._now = _SILENCE
        self._heard_at = float("-inf")

    def hear(self, level: int, now: float) -> bool:
        """Take a packet's level; say whether it is of somebody who speaks."""
        passed = min(now - self._heard_at, _LONGEST)
        self.level, self._heard_at = level, now
        self._now += (level - self._now) * passed / (passed + _RISE)
        falls = _FALL if level > self.loudness else _RISE
        self.loudness += (level - self.loudness) * passed / (passed + falls)
        if self._now < LOUD:
            self.spoke_at = now
            return True
        return False
