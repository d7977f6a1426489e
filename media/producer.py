"""What a participant sends of one source: a stream, or with simulcast one for each quality."""

from collections.abc import Callable, Sequence
from typing import Protocol

from media.formats import Format
from media.layer import Layer, Sink


class Stand(Protocol):
    """The place a producer stands on: a sink for each of its layers, the poorest first."""

    @property
    def strands(self) -> Sequence[Sink]: ...
    def take(self, producer: "Producer") -> None: ...
    def leave(self, producer: "Producer") -> None: ...


class Producer:
    """Closed by its publish transport."""

    def __init__(
        self,
        *,
        mid: str,
        source: str,
        payload_format: Format,
        payload_type: int,
        rtx_payload_type: int | None,
        red_payload_type: int | None,
        rids: Sequence[str],
        stand: Stand,
        send_rtcp: Callable[[bytes], None],
        on_asked: Callable[[int], None],
    ) -> None:
        self.mid = mid
        self.source = source
        self.payload_format = payload_format
        self.paused = False
        self.level: int | None = None  # of sound, in dB below the loudest there can be
        self._stand = stand
        self.layers = [
            Layer(
                rid,
                payload_format=payload_format,
                payload_type=payload_type,
                rtx_payload_type=rtx_payload_type,
                red_payload_type=red_payload_type,
                sink=sink,
                send_rtcp=send_rtcp,
                on_asked=on_asked,
            )
            for rid, sink in zip(rids or [""], stand.strands, strict=False)
        ]

    def layer_of(self, rid: str) -> Layer | None:
        return next((layer for layer in self.layers if layer.rid == rid), None)

    def pause(self, *, paused: bool) -> None:
        self.paused = paused
        for layer in self.layers:
            layer.pause(paused=paused)

    def tick(self, now: float) -> None:
        for layer in self.layers:
            layer.tick(now)

    def measure(self, now: float) -> None:
        for layer in self.layers:
            layer.measure(now)

    def close(self) -> None:
        """Leave the place, unless somebody else stands there by now."""
        self._stand.leave(self)
