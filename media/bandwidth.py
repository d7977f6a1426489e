"""What a viewer's link carries, in bits per second. Time is an argument, in seconds.

Browsers tell their own estimate (REMB), which falls when the link is too full, but climbs no further than
half above what arrives. So a fall is believed when a second or loss confirms it (one alone may be a busy
browser), a standstill is not: room above what is sent is found by sending more for a moment (a probe), of
what the viewer has already, and seeing whether anything suffers. It rises, so that a link that carries less
says so before its queue is full: those who tell when a probe's packets came say so first, since an estimate
that is low already does not fall. Loss is counted for those who tell nothing.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

START = 1_000_000.0
LEAST, MOST = 64_000.0, 12_000_000.0
_FALL = 0.97  # a REMB below so much of the one before is a fall
_CONFIRMED_WITHIN = 2.0  # seconds between two falls that are one story
_OVERLOADED = 2.0  # seconds for which a link that suffered is in a hurry
_SETTLES = 1.6  # seconds in which reports still tell of what was answered already
_LOSS_HEAVY, _LOSS_BAD, _LOSS_FINE = 0.4, 0.10, 0.03
_LOSS_ON_TRIAL = 0.2  # of a picture that has just begun, browsers miss a packet or two that never were
_PROBE_SECONDS, _RISE_SECONDS = 1.5, 1.0  # of a probe; in how many of them it comes to its rate
# Which part of the packets may be missed in a probe and on a trial, and how many may always be.
_MISSED_BY_PROBE, _MISSED_ON_TRIAL, _MISSED = 0.05, 0.1, 4
_TYPICAL_PACKET = 8_000.0  # bits
_PATIENCE, _LONGEST_PATIENCE = 3.0, 10.0  # seconds between two probes; each that fails doubles it
_WELL_USED, _GROWTH = 0.75, 1.05  # once a second
_FIRST_PROBE = 1.0  # seconds after the first packets
_MARGIN = 1.08  # probed above what is wanted
_REST, _LONGEST_REST = 2.0, 60.0  # seconds without any picture ...
_LONGER = 3  # ... and how much longer each is that follows on another
_TRIAL = 4.0  # seconds a picture has to be carried, for the rests before it to be forgotten


@dataclass(slots=True)
class _Probe:
    began_at: float
    begins_with: float
    rate: float  # what it is about
    missed: set[object] = field(default_factory=set)  # of what else is sent
    missing: int = 0  # of its own packets

    def rate_at(self, now: float) -> float:
        risen = min(1.0, (now - self.began_at) / _RISE_SECONDS)
        return self.begins_with + risen * (self.rate - self.begins_with)

    def is_over(self, now: float) -> bool:
        return now - self.began_at >= _PROBE_SECONDS

    def is_too_much(self, now: float) -> bool:
        return _is_too_much(
            len(self.missed) + self.missing, _MISSED_BY_PROBE * self.rate, now - self.began_at
        )


def _is_too_much(missed: int, rate: float, seconds: float) -> bool:
    """Say whether more is missed than may be, at a rate in bits per second."""
    return missed >= max(_MISSED, rate * seconds / _TYPICAL_PACKET)


class Bandwidth:
    """Of one connection."""

    def __init__(self) -> None:
        self.budget = START
        self.loss = 0.0
        self.remb = 0.0
        self.sent = 0.0
        self._is_held = False
        self._probe: _Probe | None = None
        self._probe_failed_at = float("-inf")
        self._patience = _PATIENCE
        self._fell_at = float("-inf")
        self._grown_at = float("-inf")
        self._suffered_at = float("-inf")
        self._next_probe: float | None = None
        self._rest = _REST
        self._rested_until = float("-inf")
        self._missed: set[object] = set()  # of a trial

    @property
    def is_probing(self) -> bool:
        return self._probe is not None

    def probe_rate(self, now: float) -> float:
        """Return the rate to be sent by a probe that runs, or 0: also when all of it is sent."""
        probe = self._probe
        return probe.rate_at(now) if probe is not None and not probe.is_over(now) else 0.0

    def is_overloaded(self, now: float) -> bool:
        """Say whether the link has just turned out to carry less than it is sent."""
        return now - self._suffered_at < _OVERLOADED

    def is_full(self, now: float) -> bool:
        """Say whether more than the media itself would not fit: overloaded, or a probe has just said so."""
        return self.is_overloaded(now) or now - self._probe_failed_at < _OVERLOADED

    def settles(self, now: float) -> bool:
        """Say whether what is reported now tells of what was answered already, or of before a trial."""
        tried_for = now - self._rested_until
        return now - max(self._suffered_at, self._probe_failed_at) < _SETTLES or 0 <= tried_for < _SETTLES

    def rests(self, now: float) -> bool:
        """Say whether no picture is to be tried: the link has just turned out to carry none."""
        return now < self._rested_until

    def suffers_since(self, since: float, now: float) -> bool:
        """Say whether the link suffers now, from what is sent since then."""
        return self.is_overloaded(now) and self._suffered_at > since

    def rest(self, now: float) -> None:
        """Even the poorest picture is too much: sound alone for a while, then the picture is tried again."""
        if now - self._rested_until > _TRIAL:
            self._rest = _REST
        self._rested_until = now + self._rest
        self._missed.clear()
        self._rest = min(_LONGEST_REST, _LONGER * self._rest)

    def on_trial(self, now: float) -> bool:
        """Say whether a picture is tried after a rest: one sign is enough then, the sound suffers with it."""
        return 0 <= now - self._rested_until < _TRIAL

    def on_sent(self, rate: float, *, is_held: bool = False) -> None:
        """Note what is sent to the viewer, a probe's part apart; `is_held` when it is kept to the budget, and
        that it fits says nothing of more.
        """
        self.sent, self._is_held = rate, is_held

    def on_remb(self, remb: float, now: float) -> None:
        probed = self._probe.rate_at(now) if self._probe is not None else 0.0
        fell = remb < _FALL * self.remb
        if fell and now - self._suffered_at < _SETTLES:  # the same fall goes on
            self.budget = max(LEAST, min(self.budget, remb))
        elif fell and remb < max(self.sent, probed):
            confirmed = now - self._fell_at < _CONFIRMED_WITHIN or self.loss > _LOSS_FINE
            self._fell_at = now
            if self._probe is not None or (confirmed and now - self._probe_failed_at > _SETTLES):
                self._suffered(remb, now)
        self.remb = remb

    def on_nack(self, packets: Iterable[object], now: float) -> None:
        """Note which packets the viewer misses, however often each is asked for: the first sign of a queue
        that is full. It ends a probe, and a trial.
        """
        if self._probe is not None:
            self._probe.missed.update(packets)
            if self._probe.is_too_much(now):
                self._suffered(self.sent, now)
        elif self.on_trial(now):
            self._missed.update(packets)
            if _is_too_much(len(self._missed), _MISSED_ON_TRIAL * self.sent, now - self._rested_until):
                self._suffered(self.budget, now)
                self.rest(now)

    def on_arrivals(self, missing: int, now: float, *, held_up: bool) -> None:
        """Note whether a probe's packets are held up on their way, and how many of them are missing."""
        if self._probe is not None:
            self._probe.missing = missing
            if held_up or self._probe.is_too_much(now):
                self._suffered(self.sent, now)

    def on_loss(self, fraction: float, now: float) -> None:
        """Note which part of what was sent did not arrive, of 1."""
        self.loss = (self.loss + fraction) / 2
        trial = self.on_trial(now)
        if fraction > _LOSS_ON_TRIAL if trial else self.loss > _LOSS_BAD and fraction > _LOSS_FINE:
            media = min(self.budget, self.sent or self.budget)
            sending = self._probe.rate_at(now) if self._probe is not None else media
            # What little is lost, sending less may mend; of what is much, only what arrived is carried.
            lost = fraction if fraction > _LOSS_HEAVY else self.loss / 2
            self._suffered(sending * (1 - lost), now)

    def give_up_probe(self, now: float) -> None:
        """It could not be sent, and says nothing of the link."""
        self._probe = None
        self._next_probe = now + self._patience

    def _suffered(self, carried: float, now: float) -> None:
        """It was too much; a probe that was is forgotten, and the next is longer in coming."""
        if self._probe is not None:
            # What was sent besides it may well be carried: what did not fit is the probe.
            self._probe, self._probe_failed_at = None, now
            self._patience = min(_LONGEST_PATIENCE, 2 * self._patience)
            carried = max(carried, self.sent)
        else:
            self._suffered_at = now
        self.loss = min(self.loss, _LOSS_FINE)
        self.budget = max(LEAST, min(self.budget, carried))
        self._next_probe = now + self._patience

    def _grow(self, now: float) -> None:
        """What is carried without suffering is carried, and a little more may be."""
        used = self.sent > _WELL_USED * self.budget and self.loss <= _LOSS_FINE and not self._is_held
        calm = now - self._suffered_at > _PATIENCE and now - self._grown_at >= 1.0
        if used and calm and not self.on_trial(now):
            self._grown_at = now
            self.budget = min(MOST, max(self.sent, self.budget * _GROWTH))

    def tick(self, now: float, step: float | None, may_probe: Callable[[], bool] = lambda: True) -> None:
        """Begin and end probes; `step` is the rate that would be worth having.

        Before one begins, `may_probe` is asked.
        """
        if self._next_probe is None:
            self._next_probe = now + _FIRST_PROBE
        if self._probe is not None:
            probe = self._probe
            if not probe.is_over(now):
                return
            self._probe = None
            if self.loss <= _LOSS_FINE:
                self.budget = min(MOST, max(self.budget, probe.rate))
                self._patience = _PATIENCE
                self._next_probe = now
            else:
                self._next_probe = now + self._patience
        self._grow(now)
        may = now >= self._next_probe and self.loss <= _LOSS_FINE and not self.on_trial(now)
        if step is not None and step > self.budget and may and may_probe():
            self._probe = _Probe(now, self.sent, min(MOST, step * _MARGIN))
