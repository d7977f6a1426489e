"""Small real videos, made where a test needs one."""

import math
import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import av


def make_video(
    path: Path, *, seconds: float = 10, width: int = 320, height: int = 240, sound: bool = True
) -> Path:
    """Write an MP4 of a moving bar, 20 pictures a second, with a tone."""
    rate, samples = 20, 1024
    with av.open(str(path), "w") as container:
        video: Any = container.add_stream("libx264", rate=rate, options={"preset": "ultrafast", "g": "40"})
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        audio: Any = container.add_stream("aac", rate=48_000) if sound else None
        if audio is not None:
            audio.layout = "mono"
        at = 0
        for n in range(int(seconds * rate)):
            container.mux(video.encode(_picture(n, width, height, rate)))
            while audio is not None and at < (n + 1) * 48_000 / rate:
                container.mux(audio.encode(_tone(at, samples)))
                at += samples
        for stream in (video, audio):
            if stream is not None:
                container.mux(stream.encode(None))
    return path


def _picture(n: int, width: int, height: int, rate: int) -> av.VideoFrame:
    frame = av.VideoFrame(width, height, "gray")
    stride = frame.planes[0].line_size
    bar = n * 4 % width
    line = bytes((200 if bar <= x < bar + 20 else n % 100) for x in range(width)).ljust(stride, b"\0")
    frame.planes[0].update(line * height)
    frame.pts, frame.time_base = n, Fraction(1, rate)
    return frame


def _tone(at: int, samples: int) -> av.AudioFrame:
    frame = av.AudioFrame(format="s16", layout="mono", samples=samples)
    values = (int(8000 * math.sin(2 * math.pi * 440 * (at + n) / 48_000)) for n in range(samples))
    frame.planes[0].update(struct.pack(f"<{samples}h", *values).ljust(frame.planes[0].buffer_size, b"\0"))
    frame.sample_rate, frame.pts, frame.time_base = 48_000, at, Fraction(1, 48_000)
    return frame
