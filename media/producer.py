"""What a participant sends of one source: a stream, or with simulcast one for each quality."""

from collections.abc import Callable, Sequence
from typing import Protocol

from media.formats import Format
from media.layer import Layer, Sink
from media.timeline import SenderClock
from media.voice import Voice

_PRESUMED_LEVEL = 40  # that of quiet speech
_DEAF = 0.35  # seconds after a request for a keyframe in which browsers take no other of the same source: 0.3


class Stand(Protocol):
    """Where a producer stands, on the stage or beside: a sink for each of its layers, the poorest first."""

    is_seen: bool  # or what is missing need not be asked for

    @property
    def strands(self) -> Sequence[Sink]: ...
    def take(self, producer: "Producer") -> None: ...
    def leave(self, producer: "Producer") -> None: ...
    def heard(self) -> None: ...


class Producer:
    """Closed by its publish transport."""

    def __init__(
        self,
        *,
        mid: str,
        owner: str,
        stays: bool = False,
        source: str,
        payload_format: Format,
        payload_type: int,
        rtx_payload_type: int | None,
        red_payload_type: int | None,
        rids: Sequence[str],
        clock: SenderClock,
        stand: Stand,
        send_rtcp: Callable[[bytes], None],
        on_asked: Callable[[int], None],
        waits: bool = True,
    ) -> None:
        self.mid = mid
        self.owner = owner  # the participant
        self.source = source
        self.payload_format = payload_format
        self.paused = False
        self.stays = stays  # where it stands, whoever else speaks
        self.voice = Voice()
        self._stand = stand
        self._asked_at = float("-inf")
        self.layers = [
            Layer(
                rid,
                payload_format=payload_format,
                payload_type=payload_type,
                rtx_payload_type=rtx_payload_type,
                red_payload_type=red_payload_type,
                clock=clock,
                sink=sink,
                send_rtcp=send_rtcp,
                on_asked=on_asked,
                ask_if_heard=self._ask_if_heard,
                waits=waits,
            )
            for rid, sink in zip(rids or [""], stand.strands, strict=False)
        ]

    def _ask_if_heard(self, now: float) -> bool:
        """Say whether a request for a keyframe would be heard, and reckon with it then."""
        if now - self._asked_at < _DEAF:
            return False
        self._asked_at = now
        return True

    def move(self, stand: Stand) -> None:
        """Go and stand elsewhere."""
        self._stand.leave(self)
        self._stand = stand
        for layer, sink in zip(self.layers, stand.strands, strict=False):
            layer.come_on(sink)
        stand.take(self)

    def hear(self, level: int, now: float) -> None:
        """Take how loud the sound of one packet is."""
        if self.source == "microphone" and not self.paused and self.voice.hear(level, now):
            self._stand.heard()

    def presume_speech(self, now: float) -> None:
        """Take a packet of a sender who tells no level: they keep a place, and are not shown as speaking."""
        self.hear(_PRESUMED_LEVEL, now)
        self.voice.level = None

    def layer_of(self, rid: str) -> Layer | None:
        return next((layer for layer in self.layers if layer.rid == rid), None)

    def pause(self, *, paused: bool) -> None:
        self.paused = paused
        for layer in self.layers:
            layer.pause(paused=paused)

    def tick(self, now: float) -> None:
        if self._stand.is_seen:
            for layer in self.layers:
                layer.tick(now)

    def compare(self, now: float) -> bool:
        """Compare its qualities with each other: say whether others can be had of it than before."""
        pictures = [layer.pictures for layer in self.layers]
        changed = [layer.compare(pictures[:n], now) for n, layer in enumerate(self.layers)]
        return any(changed)

    def measure(self, now: float) -> None:
        for layer in self.layers:
            layer.measure(now)

    def close(self) -> None:
        """Leave the place, unless somebody else stands there by now."""
        self._stand.leave(self)
