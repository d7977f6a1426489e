"""A source of a teacher's, as a worker has it."""

from collections.abc import Callable

from media.formats import VP8
from media.producer import Producer
from media.slot import Slot
from media.timeline import SenderClock


def camera(
    slot: Slot, send_rtcp: Callable[[bytes], None] = lambda _data: None, *, answers: bool = True
) -> Producer:
    """Return a camera of three qualities for a slot, on which it does not stand yet."""
    return Producer(
        mid="0",
        owner="teacher",
        source="camera",
        payload_format=VP8,
        payload_type=96,
        rtx_payload_type=97,
        red_payload_type=None,
        rids=("q", "h", "f"),
        clock=SenderClock(answers=answers),
        stand=slot,
        send_rtcp=send_rtcp,
        on_asked=lambda _count: None,
    )
