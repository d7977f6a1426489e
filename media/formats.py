"""The payload formats we forward, as they are told to viewers, and what forwarding must know of each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from media import h264, vp8

H264_PROFILE = "42e01f"  # constrained baseline, level 3.1: every browser's


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """`name` is SDP's, in lower case; payload types are those viewers are offered."""

    name: str
    clock: int
    payload_type: int
    rtx_payload_type: int | None = None
    parameters: str = ""
    # Of sound every packet is a place to begin at.
    is_keyframe: Callable[[bytes], bool] = field(default=lambda _payload: True)
    frame_size: Callable[[bytes], tuple[int, int] | None] = field(default=lambda _payload: None)

    @property
    def encoding(self) -> str:
        """Return what stands in an a=rtpmap line."""
        return f"opus/{self.clock}/2" if self is OPUS else f"{self.name.upper()}/{self.clock}"


OPUS = Format(name="opus", clock=48_000, payload_type=111, parameters="minptime=10;useinbandfec=1")
VP8 = Format(
    name="vp8",
    clock=90_000,
    payload_type=96,
    rtx_payload_type=97,
    is_keyframe=vp8.is_keyframe,
    frame_size=vp8.frame_size,
)
H264 = Format(
    name="h264",
    clock=90_000,
    payload_type=102,
    rtx_payload_type=103,
    parameters=f"level-asymmetry-allowed=1;packetization-mode=1;profile-level-id={H264_PROFILE}",
    is_keyframe=h264.is_keyframe,
    frame_size=h264.frame_size,
)

FORMATS: dict[str, Sequence[Format]] = {"audio": (OPUS,), "video": (VP8, H264)}  # the preferred first
RTX_OF = {one.payload_type: one.rtx_payload_type for one in (VP8, H264)}
