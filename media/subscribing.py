"""The connection a participant watches on: we offer every place of the stage, the client answers."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from media import rtcp
from media.allocation import Allocation, Demand, allocate
from media.bandwidth import MOST, Bandwidth
from media.downlink import Downlink
from media.formats import H264
from media.offer import counts_in, estimates, section
from media.programme import PINNED, Picture, Programme
from media.retransmission import Probe, Retransmissions
from media.rtp import TRANSPORT_SEQUENCE, counted
from media.sdp import Description, write
from media.slides import Slides
from media.slot import Slot
from media.srtp import Target
from media.transport import Transport, Wiring
from media.view import View

_NACKED_PER_SECOND = 200
_KEYFRAMES_PER_SECOND = 2
_RESENT, _RESENT_FULL, _RESENT_LEAST = 0.6, 0.15, 10_000  # of the budget, and bytes, in a second
_LOSSY_FROM, _LOSSY_UNTIL = 0.01, 0.003  # loss from which on sound carries older frames, and until when
_PATIENCE, _LONG_PATIENCE = (
    0.7,
    2.0,
)  # seconds in which what was sent before may come, after a rest, a fall
_WITH_OLDER = 2.0  # times the sound a link must carry, for older frames to be sent with it
_AMPLE = 1.1
_NEARLY = 0.5  # of a viewer's own limit that a link carries, for the limit to be what keeps pictures away
# Of the height it is shown at. A screen has letters, and its poorest quality is made for a thin link.
_ENOUGH = {"camera": 0.8, "screen": 2.0}
_LEAST_OF_SLIDES = 35_000  # bits per second, at which a slide comes over seconds ...
_AMPLE_FOR_SLIDES = 250_000  # ... and above which it need not be held back
_YOUNG = 5  # seconds for which clocks are told each second, and then every other


class SubscribeTransport(Transport):
    """Receives what its room sends, as well as its link and its page have use for; asks for what it lost."""

    def __init__(
        self,
        wiring: Wiring,
        on_state: Callable[[Transport, str], None],
        viewer: str,
        slots: Sequence[Slot],
        *,
        on_ready: Callable[[], None],
        on_quality: Callable[[dict[str, Any]], None],
    ) -> None:
        super().__init__(wiring, on_state)
        self.bandwidth = Bandwidth()
        self.connected_at = float("inf")  # when the keys were there, in monotonic seconds
        self.is_reduced = False  # some picture comes poorer than the page has use for
        self._sizes: dict[str, int] = {}
        self._limit: int | None = None
        self._pinned: str | None = None  # the mid of the place they look at
        self._tried_since: float | None = None  # that more is sent than the link is believed to carry
        self._slots = slots
        self._views = {
            slot.place.ssrc: (Slides if slot.place.source == "screen" else View)(slot, self) for slot in slots
        }
        self._slides = next((one for one in self._views.values() if isinstance(one, Slides)), None)
        self._viewer = viewer
        self._takes_red = self._takes_h264 = False
        self._is_lossy = False
        self._downlink: Downlink | None = None  # of who sends no estimate, but says what arrived when
        self._counts = 0  # the extension their packets are counted in
        self._programme = Programme()
        self._on_ready = on_ready
        self._on_quality = on_quality
        self._told: dict[str, Any] = {}
        self._settled: object = None  # the programme's shape for which all is decided
        self._version = 0
        self._retransmissions = Retransmissions(slots)
        self._probe = Probe(self._retransmissions, self._has_room, self.send_rtp)
        self._nacked = 0
        self._resent = 0  # bytes in this second
        self._keyframes = 0
        self._lost: list[float] = []  # of pictures, as reported in this second
        self._lost_sound: list[float] = []
        self._sees = False  # some picture is sent to them
        self._ticks = 0

    def offer(self, *, restart: bool) -> str:
        """Return our offer; with `restart`, of new ICE credentials on the same keys."""
        if restart and self._task is not None:
            self.restart_ice()
        self._version += 1
        local = self.local("actpass").lines()
        sections = [(slot.place.mid, section(slot.place, local)) for slot in self._slots]
        return write(self.id, self._version, sections)

    def accept(self, answer: Description) -> None:
        """Take the client's answer and begin the handshake. Raises NewPeerCertificate."""
        counts = counts_in(answer) == TRANSPORT_SEQUENCE
        self._probe.is_counted = counts and estimates(answer)
        if counts and not estimates(answer):
            self.count_packets(TRANSPORT_SEQUENCE)
        self.begin(answer)

    def begin(self, client: Description) -> None:
        """Begin the handshake with a client of this description. Raises NewPeerCertificate."""
        self._takes_red, self._takes_h264 = (
            any(one.codec(name) is not None for one in client.sections) for name in ("red", H264.name)
        )
        self.connect(client, server=client.setup != "passive")

    @property
    def loss(self) -> float:
        """Return which part of what is sent is lost on the way, of 1."""
        return self.bandwidth.loss

    def on_connected(self) -> None:
        self.connected_at = time.monotonic()
        self._on_ready()

    def close(self) -> None:
        for view in self._views.values():
            view.stop()
        if self._slides is not None:
            self._slides.close()
        self._wiring.probes.forget(self)
        super().close()

    # What is sent

    def aim(self, programme: Programme | None = None) -> None:
        """Decide anew what to send: the stage, the page or the link has changed."""
        self._programme = programme or self._programme
        if not self.connected:
            return
        now = time.monotonic()
        if self._is_settled():
            self.bandwidth.on_sent(self._programme.best)
            self.bandwidth.tick(now, None)
            return
        self._leave_own()
        theirs = [one for one in self._programme.pictures if self._may_watch(one.slot)]
        foreign = [one for one in theirs if not self._reads(one)]
        theirs = [one for one in theirs if one not in foreign]
        for picture in foreign:
            self._views[picture.slot.place.ssrc].stop()
        link, sound = self.bandwidth, self._programme.sound
        found = self._allocate(theirs, now)
        self._sees = found.rate > 0
        link.on_sent(sound + self._pace(theirs, found), is_held=self._holds_slides)
        probes = self._wiring.probes
        step = found.step + sound if found.step is not None else None
        if step is None and self._holds_slides:  # for slides to come as they are made
            step = min(link.sent + _AMPLE_FOR_SLIDES, self._limit or MOST)
        link.tick(now, step, lambda: probes.may_begin(self, now))
        if link.is_probing:
            self._probe.begin(self._views)
            probes.begin(self)
        else:
            self._probe.end()
            probes.end(self)
        hurry = link.is_overloaded(now)
        carries_more = link.budget > _WITH_OLDER * sound
        for picture in theirs:
            place = picture.slot.place
            view = self._views[place.ssrc]
            held = view is self._slides and self._holds_slides
            view.watch(found.qualities[place.mid], hurry=hurry or held)
        for slot in self._programme.voices:
            if self._may_watch(slot):
                view = self._views[slot.place.ssrc]
                view.carry(plain=not (self._takes_red and self._is_lossy and carries_more))
                view.watch(0)
        self._tell(theirs, foreign)
        # Who has everything at its best goes on with it, without being reckoned each second.
        best = all(found.qualities[one.slot.place.mid] == len(one.rates) - 1 for one in theirs)
        self._settled = self._programme.shape if best else None

    def _pace(self, pictures: Sequence[Picture], found: Allocation) -> float:
        """Let slides out as a thin link takes them; return what all pictures take, in bits per second."""
        rates = {one.slot.place.mid: one.rate(found.qualities[one.slot.place.mid]) for one in pictures}
        slides, rate = self._slides, sum(rates.values())
        if slides is None:
            return rate
        mid = slides.slot.place.mid
        quality = found.qualities.get(mid)
        many = any(one.slot is slides.slot and len(one.rates) > 1 for one in pictures)
        left = self._budget() - (rate - rates.get(mid, 0.0))
        # Who sends a screen in one quality has none that a thin link is made for.
        if quality == 0 and many and left < max(_AMPLE_FOR_SLIDES, _AMPLE * rates[mid]):
            pace = max(_LEAST_OF_SLIDES, left)
            slides.hold(pace)
            return rate - max(0.0, rates[mid] - pace)
        if slides.are_held:
            slides.release()
            if quality is None:
                slides.stop()
        return rate

    @property
    def _holds_slides(self) -> bool:
        return self._slides is not None and self._slides.are_held

    def _may_watch(self, slot: Slot) -> bool:
        """Say whether a place is offered on this connection, and is not their own."""
        return slot.place.ssrc in self._views and slot.holder != self._viewer

    def _reads(self, picture: Picture) -> bool:
        return picture.payload_format is not H264 or self._takes_h264

    def translate(self, tables: Mapping[str, bytes]) -> None:
        """Send each place, by its mid, under the payload types of a table of 128; the rest not at all."""
        for ssrc, view in list(self._views.items()):
            if view.slot.place.mid in tables:
                view.types = tables[view.slot.place.mid]
            else:
                del self._views[ssrc]

    def _allocate(self, pictures: Sequence[Picture], now: float) -> Allocation:
        """Divide what the link carries, the sound taken off; a limit of their own is theirs to keep."""
        link, limit = self.bandwidth, self._limit
        budget = self._budget()
        demands = [self._demand(picture) for picture in pictures]
        tries = not link.rests(now) and (limit is None or link.budget < limit)
        found = allocate(budget, demands, tries=tries)
        patience = _PATIENCE if link.on_trial(now) else _LONG_PATIENCE
        if not (tries and found.rate > budget):
            self._tried_since = None
        elif self._tried_since is None:
            self._tried_since = now
        elif link.suffers_since(self._tried_since + patience, now):
            link.rest(now)
            self._tried_since = None
            found = allocate(budget, demands, tries=False)
        above = limit is not None and found.step is not None and found.step + self._programme.sound > limit
        if above or link.rests(now):
            found = replace(found, step=None)  # there is nothing to be found out, or nothing to probe with
        return found

    def _budget(self) -> float:
        """Return what there is for pictures, in bits per second."""
        return min(self.bandwidth.budget, self._limit or MOST) - self._programme.sound

    def _is_settled(self) -> bool:
        ample = self._limit is None and self.bandwidth.budget > _AMPLE * self._programme.best
        return self._settled is not None and ample and self._settled == self._programme.shape

    def show(self, sizes: Mapping[str, int], limit: int | None = None, pinned: str | None = None) -> None:
        """Take how high, in pixels, the page shows each place by its mid, 0 is not at all; the most that is
        to be sent to them, in bits per second; and the place that comes first but for a screen.
        """
        self._sizes = dict(sizes)
        self._limit, self._pinned = limit, pinned
        self._settled = None
        self.aim()

    def _leave_own(self) -> None:
        """Nobody is sent themselves."""
        for view in self._views.values():
            if view.slot.holder == self._viewer:
                view.stop()

    def _demand(self, picture: Picture) -> Demand:
        place = picture.slot.place
        held = self._views[place.ssrc].quality
        rank = PINNED if place.mid == self._pinned else picture.rank
        rates = list(picture.rates)
        if place.source == "screen" and rates[0] is not None and len(rates) > 1:
            rates[0] = min(rates[0], _LEAST_OF_SLIDES)  # they may come late
        return Demand(place.mid, rank, rates, self._most(picture), held)

    def _most(self, picture: Picture) -> int:
        """Return the best quality worth sending for the size it is shown at; -1 when it is not shown."""
        best = len(picture.heights) - 1
        height = self._sizes.get(picture.slot.place.mid)
        if height is None:
            return best
        if height <= 0:
            return -1
        needed = _ENOUGH[picture.slot.place.source] * height
        enough = (n for n, one in enumerate(picture.heights) if one is not None and one >= needed)
        return next(enough, best)

    def would_watch(self, slot: Slot, quality: int) -> bool:
        """Say whether they are shown a place so large that this quality is worth sending."""
        shown = [one for one in self._programme.pictures if one.slot is slot and self._may_watch(slot)]
        return any(self._most(one) >= quality for one in shown)

    def _tell(self, pictures: Sequence[Picture], foreign: Sequence[Picture]) -> None:
        """Say what the viewer gets and why, when that has changed; `foreign` are those they cannot read."""
        told: dict[str, Any] = {
            one.slot.place.mid: {"quality": None, "of": len(one.rates), "paused": "codec"} for one in foreign
        }
        self.is_reduced = False
        for picture in pictures:
            place, wanted = picture.slot.place, self._views[picture.slot.place.ssrc].wanted
            starved = wanted is None and self._sizes.get(place.mid) != 0
            self.is_reduced |= starved or (wanted is not None and wanted < self._most(picture))
            told[place.mid] = {
                "quality": wanted,
                "of": len(picture.rates),
                "paused": self._why() if starved else None,
            }
        if told != self._told:
            self._told = told
            self._on_quality(told)

    def _why(self) -> str:
        """Say what there is no room in for a picture. What a link carries beyond a limit is not looked for:
        an estimate that wavers below it says nothing of the link.
        """
        limited = self._limit is not None and _NEARLY * self._limit < self.bandwidth.budget
        return "limit" if limited else "bandwidth"

    def on_moved(self) -> None:
        """Send to where the viewer is now, and from a keyframe on: what was on its way is lost."""
        for view in self._views.values():
            if view.strand is not None:
                view.strand.regroup()
                if view.strand.layer is not None:
                    view.strand.layer.request_keyframe()

    # What comes back

    def on_report(self, report: rtcp.Report) -> None:
        if isinstance(report, rtcp.Nack):
            self._resend(report)
        elif isinstance(report, rtcp.KeyframeRequest):
            view = self._views.get(report.media_ssrc)
            comes = isinstance(view, Slides) and view.are_coming
            if view is not None and view.strand is not None and view.strand.layer is not None and not comes:
                self._keyframes += 1
                if self._keyframes <= _KEYFRAMES_PER_SECOND * len(self._slots):
                    view.strand.layer.request_keyframe()
        elif isinstance(report, rtcp.Remb):
            self._on_estimate(report.bitrate, time.monotonic())
        elif isinstance(report, rtcp.TransportFeedback):
            self._on_arrivals(report, time.monotonic())
        elif isinstance(report, rtcp.ReportBlock):
            view = self._views.get(report.ssrc)
            if view is not None and not self.bandwidth.settles(time.monotonic()):
                lost = self._lost if view.slot.place.kind == "video" else self._lost_sound
                lost.append(report.fraction / 256)

    def _on_arrivals(self, feedback: rtcp.TransportFeedback, now: float) -> None:
        if self._downlink is not None:
            found = self._downlink.on_feedback(feedback, now)
            if found is not None:
                self._on_estimate(found, now)
        elif self.bandwidth.is_probing:
            missing = self._probe.on_feedback(feedback, now)
            self.bandwidth.on_arrivals(missing, now, held_up=self._probe.is_held_up)

    def _on_estimate(self, bitrate: float, now: float) -> None:
        link = self.bandwidth
        before = link.budget, link.is_overloaded(now)
        link.on_remb(bitrate, now)
        if link.budget < before[0] or link.is_overloaded(now) > before[1]:
            self.aim()  # too much already: not only with the next second

    def count_packets(self, extension: int) -> None:
        """Number what is sent over all streams, for a client that tells when each number arrived. It is sent
        to packet by packet then, and costs more than others.
        """
        self._downlink, self._counts = self._downlink or Downlink(), extension

    def target(self) -> Target | None:
        return super().target() if self._downlink is None else None

    def send_rtp(self, packet: bytes) -> None:
        if self._downlink is not None:
            number = self._downlink.number(len(packet), time.monotonic())
            packet = counted(packet, number, self._counts)
        super().send_rtp(packet)

    def _resend(self, nack: rtcp.Nack) -> None:
        view = self._views.get(nack.media_ssrc)
        if view is None:
            return
        now = time.monotonic()
        self._note_missed(view, nack, now)
        for sequence in nack.sequences:
            self._nacked += 1
            if self._nacked > _NACKED_PER_SECOND:
                return
            if self._resent >= self._may_resend(now):
                continue
            packet = view.again(sequence)
            again = self._retransmissions.wrap(view, packet) if packet is not None else None
            if again is not None:
                self._resent += len(again)
                self._wiring.mux.sent_again += 1
                self.send_rtp(again)

    def _note_missed(self, view: View, nack: rtcp.Nack, now: float) -> None:
        """Hold against a probe or a trial what is missing of it; browsers ask for older packets, too."""
        link, ssrc = self.bandwidth, nack.media_ssrc
        if not link.is_probing and not link.on_trial(now):
            return
        link.on_nack(
            [
                (ssrc, one)
                for one in nack.sequences
                if view.is_of_now(one) and (not link.is_probing or self._probe.covers(ssrc, one))
            ],
            now,
        )
        if link.rests(now):
            self.aim()

    def _may_resend(self, now: float) -> float:
        """Return how many bytes may be sent again in a second: few over a link that is full."""
        link = self.bandwidth
        if link.is_full(now):
            return _RESENT_FULL * link.budget / 8
        return max(_RESENT_LEAST, _RESENT * link.budget / 8)

    # Time

    def follow(self, programme: Programme, now: float) -> None:
        """Once a second, with the stage as it is."""
        self._programme = programme
        self.tick(now)

    def tick(self, now: float) -> None:
        super().tick(now)
        self._nacked = self._keyframes = self._resent = 0
        if not self.connected:
            return
        # Sound is reported on rarely, and tells of long ago: it counts when there is no picture to tell.
        lost = self._lost or ([] if self._sees else self._lost_sound)
        if lost:
            self.bandwidth.on_loss(max(lost), now)
            lossy = self.bandwidth.loss > (_LOSSY_UNTIL if self._is_lossy else _LOSSY_FROM)
            if lossy != self._is_lossy:
                self._is_lossy, self._settled = lossy, None
        self._lost.clear()
        self._lost_sound.clear()
        self.aim()
        self._ticks += 1
        if self._ticks < _YOUNG or self._ticks % 2:
            self._report()

    def _report(self) -> None:
        """Tell the clocks of what is sent, for the lips to move with the words."""
        slots = [*self._programme.voices, *(one.slot for one in self._programme.pictures)]
        views = (self._views.get(slot.place.ssrc) for slot in slots)
        reports = b"".join(view.sender_report() for view in views if view is not None)
        if reports:
            self.send_rtcp(reports)

    def probe(self, now: float) -> bool:
        """Every 20 ms: send a probe's part; say whether it goes on."""
        rate = self.bandwidth.probe_rate(now)
        if not rate or not self.connected:
            self._probe.end()
            return False
        pictures = (self._views.get(one.slot.place.ssrc) for one in self._programme.pictures)
        watched = (one for one in pictures if one is not None and one.strand is not None)
        self._probe.fill(rate - self.bandwidth.sent, watched, now)
        if self._probe.is_vain:
            self.give_up_probe(now)
        return self.bandwidth.is_probing

    def give_up_probe(self, now: float) -> None:
        """It could not be sent."""
        self.bandwidth.give_up_probe(now)
        self._probe.end()

    def _has_room(self) -> bool:
        """Say whether a probe may send: nothing that is shown waits for our own network card."""
        return not self._wiring.mux.sender.is_behind
