"""The connection a participant watches on: we offer every place of the stage, the client answers."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from media import rtcp
from media.allocation import NOMINAL, Allocation, Demand, allocate
from media.bandwidth import Bandwidth
from media.rtp import HEADER_SIZE, SEND_TIME, SEND_TIME_SIZE, URI_SEND_TIME
from media.sdp import Description, write
from media.slot import PAYLOAD_TYPES, RTX_PAYLOAD_TYPE, Place, Slot
from media.transport import Transport, Wiring
from media.view import View

_NACKED_PER_SECOND = 200
_KEYFRAMES_PER_SECOND = 2
_RESENT, _RESENT_LEAST = 0.25, 10_000  # of the budget, and bytes in a second, sent again at most
_ENOUGH = 0.8  # of the height it is shown at
_MOST_PROBES = 12  # packets in 20 ms
_LONGEST_PAUSE = 0.2  # seconds; who was not probed for so long begins anew


class SubscribeTransport(Transport):
    """Receives what its room sends, as well as its link and its page have use for; asks for what it lost."""

    def __init__(
        self,
        wiring: Wiring,
        on_state: Callable[[Transport, str], None],
        slots: Sequence[Slot],
        on_ready: Callable[[], None],
        on_quality: Callable[[dict[str, Any]], None],
    ) -> None:
        super().__init__(wiring, on_state)
        self.bandwidth = Bandwidth()
        self.sizes: dict[str, int] = {}  # by mid: how high, in pixels, the page shows it; 0 is not at all
        self._slots = slots
        self._views = {slot.place.ssrc: View(slot, self) for slot in slots}
        self._own: set[str] = set()  # mids of the places the viewer stands on
        self._on_ready = on_ready
        self._on_quality = on_quality
        self._told: dict[str, Any] = {}
        self._ranks: Mapping[str, int] = {}
        self._version = 0
        self._rtx_sequence = dict.fromkeys((slot.place.rtx_ssrc for slot in slots), 0x0FFF)
        self._nacked = 0
        self._resent = 0  # bytes in this second
        self._keyframes = 0
        self._lost: list[float] = []
        self._probed_at = 0.0
        self._owed = 0.0  # bytes of a probe that are due

    def offer(self, *, restart: bool) -> str:
        """Return our offer; with `restart`, of new ICE credentials on the same keys."""
        if restart and self._task is not None:
            self.restart_ice()
        self._version += 1
        local = self.local("actpass").lines()
        sections = [(slot.place.mid, _lines(slot.place, local)) for slot in self._slots]
        return write(self.id, self._version, sections)

    def accept(self, answer: Description) -> None:
        """Take the client's answer and begin the handshake. Raises NewPeerCertificate."""
        self.connect(answer, server=answer.setup != "passive")

    def on_connected(self) -> None:
        self._on_ready()

    def close(self) -> None:
        for view in self._views.values():
            view.stop()
        super().close()

    # What is sent

    def aim(self, own: set[str], ranks: Mapping[str, int]) -> None:
        """Decide anew what to send: the stage, the page or the link has changed.

        `own` are the mids of the viewer's own places, `ranks` say which mids come first.
        """
        self._own, self._ranks = own, ranks
        if not self.connected:
            return
        found = self._allocate()
        hurry = self.bandwidth.is_overloaded(time.monotonic())
        for view in self._views.values():
            slot = view.slot
            if slot.place.mid in own:
                view.stop()
            elif slot.place.kind == "audio":
                view.watch(0)
            elif slot.producer is not None:
                view.watch(found.qualities.get(slot.place.mid), hurry=hurry)
        self._tell()

    def moved_to(self) -> None:
        """Send to where the viewer is now."""
        for view in self._views.values():
            if view.strand is not None:
                view.strand.regroup()

    def wants_keyframes(self) -> None:
        for view in self._views.values():
            if view.strand is not None and view.strand.layer is not None:
                view.strand.layer.request_keyframe()

    def _allocate(self) -> Allocation:
        now = time.monotonic()
        demands = [
            demand
            for view in self._views.values()
            if view.slot.place.mid not in self._own and (demand := self._demand(view, now)) is not None
        ]
        sound = sum(
            view.slot.producer.layers[0].rate
            for view in self._views.values()
            if view.slot.place.kind == "audio" and view.slot.producer is not None
        )
        found = allocate(self.bandwidth.budget - sound, demands)
        self.bandwidth.on_sent(sound + found.rate)
        step = found.step + sound if found.step is not None else None
        self.bandwidth.tick(now, step)
        return found

    def _demand(self, view: View, now: float) -> Demand | None:
        slot = view.slot
        producer = slot.producer
        if producer is None or slot.place.kind != "video" or producer.paused:
            return None
        nominal = NOMINAL[slot.place.source]
        if len(producer.layers) == 1:
            nominal = nominal[-1:]
        rates = [
            max(layer.rate, usual / 3) if layer.can_be_had(now) else None
            for layer, usual in zip(producer.layers, nominal, strict=False)
        ]
        if all(rate is None for rate in rates):
            rates[0] = nominal[0] / 3
        rank = self._ranks.get(slot.place.mid, len(self._ranks))
        return Demand(slot.place.mid, rank, rates, self._most(view), held=view.quality)

    def _most(self, view: View) -> int:
        """Return the best quality worth sending for the size it is shown at; -1 when it is not shown."""
        assert view.slot.producer is not None  # noqa: S101 - asked of places that are taken
        layers = view.slot.producer.layers
        height = self.sizes.get(view.slot.place.mid)
        if height is None:
            return len(layers) - 1
        if height <= 0:
            return -1
        for n, layer in enumerate(layers):
            if layer.size is not None and min(layer.size) >= _ENOUGH * height:
                return n
        return len(layers) - 1

    def _tell(self) -> None:
        """Say what the viewer gets and why, when that has changed."""
        told: dict[str, Any] = {}
        for view in self._views.values():
            producer = view.slot.producer
            if producer is None or view.slot.place.kind != "video" or view.slot.place.mid in self._own:
                continue
            shown = self.sizes.get(view.slot.place.mid) != 0
            told[view.slot.place.mid] = {
                "quality": view.wanted,
                "of": len(producer.layers),
                "paused": "bandwidth" if view.wanted is None and shown and not producer.paused else None,
            }
        if told != self._told:
            self._told = told
            self._on_quality(told)

    # What comes back

    def on_report(self, report: rtcp.Report) -> None:
        if isinstance(report, rtcp.Nack):
            self._resend(report)
        elif isinstance(report, rtcp.KeyframeRequest):
            view = self._views.get(report.media_ssrc)
            if view is not None and view.strand is not None and view.strand.layer is not None:
                self._keyframes += 1
                if self._keyframes <= _KEYFRAMES_PER_SECOND * len(self._slots):
                    view.strand.layer.request_keyframe()
        elif isinstance(report, rtcp.Remb):
            before = self.bandwidth.budget
            self.bandwidth.on_remb(report.bitrate, time.monotonic())
            if self.bandwidth.budget < before:
                self.aim(self._own, self._ranks)  # too much already: not only with the next second
        elif isinstance(report, rtcp.ReportBlock):
            view = self._views.get(report.ssrc)
            if view is not None and view.slot.place.kind == "video":
                self._lost.append(report.fraction / 256)

    def _resend(self, nack: rtcp.Nack) -> None:
        view = self._views.get(nack.media_ssrc)
        if view is None:
            return
        for sequence in nack.sequences:
            self._nacked += 1
            if self._nacked > _NACKED_PER_SECOND:
                return
            packet = view.again(sequence)
            if packet is not None and self._resent < max(_RESENT_LEAST, _RESENT * self.bandwidth.budget / 8):
                self._resent += len(packet)
                self._wiring.mux.sent_again += 1
                self.send_rtp(self._wrap(view.slot.place, packet, sequence))

    def _wrap(self, place: Place, packet: bytes, sequence: int) -> bytes:
        """Return the retransmission (RFC 4588): an own stream, the first number in front."""
        rtx = (self._rtx_sequence[place.rtx_ssrc] + 1) & 0xFFFF
        self._rtx_sequence[place.rtx_ssrc] = rtx
        head = HEADER_SIZE + SEND_TIME_SIZE
        return (
            packet[:1]
            + bytes((packet[1] & 0x80 | RTX_PAYLOAD_TYPE,))
            + rtx.to_bytes(2, "big")
            + packet[4:8]
            + place.rtx_ssrc.to_bytes(4, "big")
            + packet[HEADER_SIZE:head]
            + sequence.to_bytes(2, "big")
            + packet[head:]
        )

    # Time

    def tick(self, now: float) -> None:
        super().tick(now)
        self._nacked = self._keyframes = self._resent = 0
        if not self.connected:
            return
        if self._lost:
            self.bandwidth.on_loss(max(self._lost), now)
            self._lost.clear()
        self.aim(self._own, self._ranks)
        reports = b"".join(view.sender_report() for view in self._views.values())
        if reports:
            self.send_rtcp(reports)

    def tick_fast(self, now: float) -> None:
        """Every 20 ms: send a probe's part, of packets the viewer was sent before."""
        rate = self.bandwidth.probing
        elapsed, self._probed_at = now - self._probed_at, now
        if not rate or elapsed > _LONGEST_PAUSE:
            self._owed = 0.0
            return
        self._owed += max(0.0, rate - self.bandwidth.sent) / 8 * elapsed
        view = next(
            (one for one in self._views.values() if one.slot.place.kind == "video" and one.strand), None
        )
        if view is None:
            return
        for n in range(_MOST_PROBES):
            if self._owed <= 0:
                return
            packet = view.recent(n)
            if packet is None:
                return
            self._owed -= len(packet)
            self.send_rtp(self._wrap(view.slot.place, packet, packet[2] << 8 | packet[3]))


def _lines(place: Place, local: Sequence[str]) -> list[str]:
    payload_type = PAYLOAD_TYPES[place.kind]
    lines = [
        f"m={place.kind} 9 UDP/TLS/RTP/SAVPF {payload_type}"
        + (f" {RTX_PAYLOAD_TYPE}" if place.kind == "video" else ""),
        "c=IN IP4 0.0.0.0",
        f"a=mid:{place.mid}",
        "a=rtcp-mux",
        "a=rtcp-rsize",
        "a=sendonly",
        *local,
        f"a=msid:{place.stream} {place.stream}-{place.source}",
    ]
    if place.kind == "audio":
        lines += [
            f"a=rtpmap:{payload_type} opus/48000/2",
            f"a=fmtp:{payload_type} minptime=10;useinbandfec=1",
            f"a=ssrc:{place.ssrc} cname:{place.stream}",
        ]
        return lines
    lines += [
        f"a=rtpmap:{payload_type} VP8/90000",
        f"a=rtcp-fb:{payload_type} nack",
        f"a=rtcp-fb:{payload_type} nack pli",
        f"a=rtcp-fb:{payload_type} ccm fir",
        f"a=rtcp-fb:{payload_type} goog-remb",
        f"a=extmap:{SEND_TIME} {URI_SEND_TIME}",
        f"a=rtpmap:{RTX_PAYLOAD_TYPE} rtx/90000",
        f"a=fmtp:{RTX_PAYLOAD_TYPE} apt={payload_type}",
        f"a=ssrc-group:FID {place.ssrc} {place.rtx_ssrc}",
        f"a=ssrc:{place.ssrc} cname:{place.stream}",
        f"a=ssrc:{place.rtx_ssrc} cname:{place.stream}",
    ]
    return lines
