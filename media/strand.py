"""One quality of a place, numbered once for all who watch it.

Viewers of a strand get the same numbers, so a packet is laid out once and only encrypted per viewer. Who came
over from another quality has numbers of their own to go on with: those who came over at one keyframe are an
audience with one shift, for which a burst is laid out once more.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import dropwhile
from typing import Protocol

from media import rtcp, vp8
from media.draft import NONE, Draft, Entry, Shift, packet
from media.formats import FORMATS, VP8
from media.layer import Layer
from media.numbering import WINDOW, Numbering
from media.rtp import send_time
from media.sender import Sender
from media.srtp import Target
from media.stamps import STEP

LONGEST_BURST = 16  # packets
_RING = 512
_MOST_LAID_OUT = 256  # packets
_MARKER = 0x80  # of the end of a frame, in an entry's first number
_TOLD_ANEW = 2.5  # seconds in which another worker tells its time again, as long as it knows it
_BURST_SECONDS = 0.002  # how long a frame's first packet may wait for its last


@dataclass(frozen=True, slots=True)
class Numbers:
    """The last a viewer was sent; `whole` when it ended a frame."""

    sequence: int
    timestamp: int
    picture: int
    tl0: int
    whole: bool


class Watcher(Protocol):
    """A viewer's connection. `unsent` is the first packet that it holds back, None when all have left."""

    @property
    def unsent(self) -> bytes | None: ...
    def target(self) -> Target | None: ...
    def send_rtp(self, packet: bytes) -> None: ...
    def cut(self) -> bool: ...


class Viewing(Protocol):
    """Somebody's view of the place."""

    shift: Shift
    since: int | None  # the first of the strand's packets that is theirs, as long as
    until: int | None  # so many have come by then that no earlier one can come any more
    plain: bool  # without the older frames that sound may carry
    types: bytes | None  # their payload type for each of ours; None: they take ours

    @property
    def watcher(self) -> Watcher: ...
    def begin_anew(self) -> None: ...
    def enter(self, strand: "Strand", entry: Entry) -> None: ...


class Outflow(Protocol):
    """The way to another worker, which takes what was numbered here and lays it out itself."""

    def take(self, entries: Sequence[Entry]) -> None: ...


@dataclass(slots=True)
class _Audience:
    shift: Shift
    plain: bool
    types: bytes | None
    since: int | None
    targets: list[Target] = field(default_factory=list)
    others: list[Watcher] = field(default_factory=list)  # who are not reached by UDP


class Strand:
    """Closed by its slot. Written to by the layer that stands on it."""

    def __init__(self, kind: str, ssrc: int, sender: Sender) -> None:
        self.layer: Layer | None = None
        self.packets = 0
        self.octets = 0
        self.waiting: dict[Viewing, None] = {}  # who comes over with the next keyframe
        self._members: dict[Viewing, None] = {}
        self._outflows: dict[Outflow, None] = {}
        self._audiences: list[_Audience] | None = []
        self._regroup_at: int | None = (
            None  # in packets, when some audience has no late packets to miss any more
        )
        self._ssrc = ssrc
        self._sender = sender
        self._video = kind == "video"
        self._format = FORMATS[kind][0]
        self._numbering = Numbering(kind)
        self._told: tuple[rtcp.SenderReport, float] | None = None
        self._ring: list[Entry | None] = [None] * (_RING if self._video else 0)
        self._laid_out: dict[tuple[int, Shift], tuple[Entry, bytes]] = {}  # again, since the last burst
        self._burst: list[Entry] = []
        self._timer: asyncio.TimerHandle | None = None
        self._key: Entry | None = None  # the first packet of the last keyframe
        # The number before the first is below 2^15, or an early loss would confuse SRTP's roll-over.
        self._last: Entry = (_MARKER, 0x0FFF, round(time.monotonic() * self._format.clock) & 0xFFFFFFFF, b"")

    # The source

    def take(self, layer: Layer | None) -> None:
        """Put a layer on this strand, or clear it: what another sent is not sent any more, nor sent again."""
        self.finish()
        self._sender.forget(self)
        self._laid_out.clear()
        if layer is not self.layer:
            self._ring = [None] * len(self._ring)
        self.layer = layer
        if layer is not None:
            self._format = layer.payload_format
        self._numbering.take(layer)
        self._key = self._told = None
        for view in [one for one in self._members if one.watcher.unsent is not None]:
            view.begin_anew()

    def tell(self, report: rtcp.SenderReport, now: float) -> None:
        """Take what time it is on the other worker's strand, whose packets are relayed."""
        self._told = report, now

    def resync(self) -> None:
        """The next packet continues the numbers after a pause, whatever its own are."""
        self._numbering.is_cut = True

    def finish(self) -> None:
        """Send what has come so far to the last viewer."""
        self.flush()
        self._sender.finish(self)

    def close(self) -> None:
        self._burst.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # Who watches

    def add(self, view: Viewing) -> None:
        self._members[view] = None
        self._audiences = None

    def remove(self, view: Viewing) -> None:
        self.waiting.pop(view, None)
        if view in self._members:
            self._sender.finish(self)  # nothing comes after this, nor what is of another quality before it
            del self._members[view]
            self._audiences = None
            if not self._members:
                self._laid_out.clear()

    def let_out(self, outflow: Outflow, *, wanted: bool) -> None:
        """Give it what comes from now on, or no more of it."""
        self._outflows.pop(outflow, None)
        if wanted:
            self._outflows[outflow] = None

    def regroup(self) -> None:
        """A viewer is at another address, or has their sound in another form."""
        self._audiences = None

    @property
    def is_watched(self) -> bool:
        return bool(self._members or self.waiting or self._outflows)

    def _grouped(self) -> list[_Audience]:
        if self._regroup_at is not None and self.packets > self._regroup_at:
            self._audiences = None
        if self._audiences is None:
            self._regroup_at = None
            groups: dict[object, _Audience] = {}
            for view in self._members:
                if view.since is not None and view.until is None:
                    view.until = self.packets + WINDOW
                elif view.until is not None and self.packets > view.until:
                    view.since = view.until = None
                if view.until is not None:
                    self._regroup_at = min(view.until, self._regroup_at or view.until)
                key = view.shift, view.plain, view.types, view.since
                audience = groups.get(key)
                if audience is None:
                    audience = groups[key] = _Audience(*key)
                target = view.watcher.target()
                if target is not None:
                    audience.targets.append(target)
                else:
                    audience.others.append(view.watcher)
            self._audiences = list(groups.values())
        return self._audiences

    # The way of a packet

    def forward(
        self, payload: bytes, marker: int, sequence: int, timestamp: int, *, red: bool = False
    ) -> None:
        """Give one packet of the layer to everybody who watches."""
        entry = self._numbering.entry(payload, marker, sequence, timestamp, self._last, red=red)
        if entry is not None:
            self._pass_on(entry)

    def relay(self, burst: Sequence[Entry]) -> None:
        """Give packets of another worker's strand to everybody who watches: a burst, or what came of one from
        another host.
        """
        if self._numbering.is_cut:  # what stands before a keyframe need not ask for it
            burst = list(dropwhile(lambda one: not self._format.is_keyframe(one[3]), burst)) or burst
        for one in burst:
            entry = self._numbering.relayed(one, self._last)
            if entry is not None:
                self._pass_on(entry)

    def _pass_on(self, entry: Entry) -> None:
        self._let_in(entry)
        if (entry[1] - self._last[1]) & 0xFFFF < 0x8000:
            self._last = entry
        self.packets += 1
        self.octets += len(entry[3])
        if self._video:
            self._ring[entry[1] % _RING] = entry
        if self._members or self._outflows:
            self._gather(entry, whole=bool(entry[0] & _MARKER) or not self._video)

    def _gather(self, entry: Entry, *, whole: bool) -> None:
        """Hold a packet back until its frame is `whole`, or for two milliseconds."""
        self._burst.append(entry)
        if whole or len(self._burst) >= LONGEST_BURST:
            self.flush()
        elif self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(_BURST_SECONDS, self.flush)

    def _let_in(self, entry: Entry) -> None:
        """Let those come over who waited for a packet to begin with: of sound it is any."""
        if self._video:
            if not self._format.is_keyframe(entry[3]):
                return
            if self._key is None or self._key[2] != entry[2]:  # of H.264 several packets say they begin one
                self._key = entry
        if not self.waiting:
            return
        self.flush()
        for view in list(self.waiting):
            view.enter(self, entry)
        self.waiting.clear()

    def flush(self) -> None:
        """Send what waits for the rest of its frame."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._burst:
            return
        burst, self._burst = self._burst, []
        self._laid_out.clear()
        for outflow in self._outflows:
            outflow.take(burst)
        if self._members:
            self._send(burst)

    def _send(self, burst: Sequence[Entry]) -> None:
        """Lay a burst out for each audience, and send it."""
        sent_at = send_time(time.monotonic()) if self._video else b""
        groups: dict[object, tuple[Sequence[Entry], list[_Audience]]] = {}
        for audience in self._grouped():
            theirs: Sequence[Entry] = burst
            if audience.since is not None:
                # Late packets from before they came are left out: their numbers were another quality's.
                kept = [entry for entry in burst if (entry[1] - audience.since) & 0xFFFF < 0x8000]
                theirs = kept if len(kept) < len(burst) else burst
            alike = audience.plain, None if theirs is burst else tuple(entry[1] for entry in theirs)
            groups.setdefault(alike, (theirs, []))[1].append(audience)
        for entries, audiences in groups.values():
            plain = audiences[0].plain
            drafts = [Draft(entry, self._ssrc, sent_at, plain=plain) for entry in entries]
            for audience in audiences:
                if audience.others:
                    packets = [packet(draft, audience.shift, audience.types) for draft in drafts]
                    for watcher in audience.others:
                        for one in packets:
                            watcher.send_rtp(one)
            reached = [one for one in audiences if one.targets]
            self._sender.burst(drafts, reached, pictures=self._video, of=self)

    def _packet(self, entry: Entry, shift: Shift) -> bytes:
        """Lay a packet out once more, with whatever it carries, under our payload types."""
        return packet(Draft(entry, self._ssrc, send_time(time.monotonic())), shift)

    # Looking back

    def again(self, sequence: int, shift: Shift) -> bytes | None:
        """Return a packet sent before to an audience of that shift, or None when it is too old.

        Hundreds who miss the same, or whose links are filled with it, get one: its time of sending is old.
        """
        sequence = (sequence - shift.sequence) & 0xFFFF
        entry = self.entry(sequence)
        if entry is None:
            return None
        of, packet = self._laid_out.get((sequence, shift), (None, b""))
        if of is not entry:
            if len(self._laid_out) >= _MOST_LAID_OUT:
                self._laid_out.clear()
            packet = self._packet(entry, shift)
            self._laid_out[sequence, shift] = entry, packet
        return packet

    def entry(self, sequence: int) -> Entry | None:
        """Return a packet by the strand's own number, or None when it is too old."""
        entry = self._ring[sequence % _RING] if self._ring else None
        return entry if entry is not None and entry[1] == sequence else None

    def since_keyframe(self, most: int) -> list[bytes]:
        """Return all packets since the last keyframe, it included, under our payload types; none when one is
        missing, or they are more than so many bytes.

        Their times are moved up to the present: a viewer who comes now is not to be behind for it.
        """
        self.flush()
        if self._key is None or self._numbering.is_cut:
            return []
        count = ((self._last[1] - self._key[1]) & 0xFFFF) + 1
        if count > _RING:
            return []
        past: list[Entry] = []
        for n in range(count):
            sequence = (self._key[1] + n) & 0xFFFF
            entry = self.entry(sequence)
            if entry is None:
                return []
            past.append(entry)
        if sum(len(payload) for *_, payload in past) > most:
            return []
        stamps = list(dict.fromkeys(stamp for _, _, stamp, _ in past))
        moved = {
            stamp: (stamps[-1] - STEP * (len(stamps) - 1 - n)) & 0xFFFFFFFF for n, stamp in enumerate(stamps)
        }
        return [
            self._packet((kind, sequence, moved[stamp], payload), NONE)
            for kind, sequence, stamp, payload in past
        ]

    def last(self, shift: Shift) -> int:
        """Return the last number that an audience of that shift was sent."""
        return (self._last[1] + shift.sequence) & 0xFFFF

    def numbers(self, shift: Shift) -> Numbers:
        """Return the last that an audience of that shift was sent."""
        kind, sequence, timestamp, payload = self._last
        picture, tl0 = vp8.numbers(payload) if kind & 0x7F == VP8.payload_type else (0, 0)
        return Numbers(
            sequence=(sequence + shift.sequence) & 0xFFFF,
            timestamp=(timestamp + shift.timestamp) & 0xFFFFFFFF,
            picture=(picture + shift.picture) & 0x7FFF,
            tl0=(tl0 + shift.tl0) & 0xFF,
            whole=bool(kind & _MARKER) or not self._video,
        )

    def clock(self) -> tuple[int, int] | None:
        """Return what time it is (NTP, 32.32), and the same moment in this strand's clock; or nothing."""
        if self.layer is None or self.layer.paused:
            return None
        now = time.monotonic()
        if self._told is None:
            return self._numbering.clock(now)
        report, at = self._told
        passed = now - at
        if passed > _TOLD_ANEW:  # the other worker knows no time now
            return None
        ntp = (report.ntp + round(passed * (1 << 32))) & 0xFFFFFFFF_FFFFFFFF
        return ntp, (report.rtp + round(passed * self._format.clock)) & 0xFFFFFFFF
