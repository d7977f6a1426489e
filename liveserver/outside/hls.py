"""The program that turns a video into encrypted HLS: a process of its own, since decoders crash and hang.

    python -m liveserver.outside.hls SOURCE.mp4 FOLDER    the 16 bytes of the key on standard input

Writes FOLDER/<name>/<n>.ts, encrypted with AES-128 (the IV is zero), and FOLDER/poster.jpg. Says on standard
output, a JSON object a line: {"percent": n}, and at the end {"done": {...}} or {"failed": "reason"}.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import av.filter
from av.audio.resampler import AudioResampler

SEGMENT_SECONDS = 4
_LADDER = ((240, 400_000), (480, 1_100_000), (720, 2_500_000))
_AUDIO_BITRATE, _AUDIO_RATE = 96_000, 48_000
_LONGEST_SECONDS = 12 * 3600
_MOST_MEMORY = 4 << 30
_SECONDS_BETWEEN_SIGNS = 10.0  # of life
# A file is read as what its name says: looked at for other kinds, it could name files of ours to read.
_DEMUXERS = {".mp4": "mov", ".mov": "mov", ".webm": "matroska"}
_TURNS = {
    90: ["transpose=clock"],
    -90: ["transpose=cclock"],
    270: ["transpose=cclock"],
    180: ["hflip", "vflip"],
}


class Unusable(Exception):
    """The file is no video we can play; the word says why."""


@dataclass
class Output:
    """One rendition being written."""

    name: str
    width: int
    height: int
    bitrate: int
    container: Any
    video: Any
    audio: Any


def main() -> int:
    source, folder = Path(sys.argv[1]), Path(sys.argv[2])
    key = sys.stdin.buffer.read(16)
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
    os.nice(10)
    try:
        _say(done=convert(source, folder, key))
    except Unusable as reason:
        _say(failed=str(reason))
    except (av.error.FFmpegError, ValueError, MemoryError, ZeroDivisionError, IndexError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        _say(failed="broken_video")
    return 0


def convert(source: Path, folder: Path, key: bytes) -> dict[str, Any]:
    """Write every rendition and the poster; return their facts. Raises Unusable."""
    with av.open(
        str(source), format=_DEMUXERS[source.suffix], options={"protocol_whitelist": "file"}
    ) as given:
        if not given.streams.video:
            raise Unusable("no_picture")
        picture = given.streams.video[0]
        sound = given.streams.audio[0] if given.streams.audio else None
        seconds = float(given.duration or 0) / 1_000_000
        if seconds > _LONGEST_SECONDS:
            raise Unusable("too_long")
        info = folder / "key.info"
        (folder / "key").write_bytes(key)
        info.write_text(f"key\n{folder / 'key'}\n")
        frames = _Frames(given, picture, sound, seconds, folder / "poster.jpg")
        outputs: list[Output] = []
        for kind, frame in frames:
            if not outputs:
                if kind == "sound":
                    continue  # before the first picture nobody knows its size
                outputs = [
                    _open(folder, info, name, size, bitrate, picture, with_sound=sound is not None)
                    for name, size, bitrate in renditions(frame.width, frame.height)
                ]
            for output in outputs:
                _write(output, kind, frame)
        if not outputs:
            raise Unusable("no_picture")
        for output in outputs:
            _finish(output)
    return {
        "duration": max(frames.last, 0.1),
        "renditions": [
            {
                "name": one.name,
                "width": one.width,
                "height": one.height,
                "bitrate": one.bitrate,
                "segments": segments(folder / one.name / "index.m3u8"),
            }
            for one in outputs
        ],
    }


def renditions(width: int, height: int) -> list[tuple[str, tuple[int, int], int]]:
    """Return name, size and bitrate of each rendition: none larger than the source, at least one."""
    short = min(width, height)
    steps = [(lines, rate) for lines, rate in _LADDER if lines <= short] or [(short, _LADDER[0][1])]
    return [
        (
            f"{lines}p",
            (max(2, round(width * lines / short / 2) * 2), max(2, round(height * lines / short / 2) * 2)),
            rate,
        )
        for lines, rate in steps
    ]


def segments(playlist: Path) -> list[float]:
    """Read the lengths of the segments off a playlist."""
    return [
        float(line.removeprefix("#EXTINF:").rstrip(","))
        for line in playlist.read_text().splitlines()
        if line.startswith("#EXTINF:")
    ]


class _Frames:
    """The pictures and sounds of a file in the order they are shown, turned upright; tells how far it is."""

    def __init__(self, given: Any, picture: Any, sound: Any, seconds: float, poster: Path) -> None:
        self._given = given
        self._picture = picture
        self._sound = sound
        self._seconds = seconds
        self._poster = poster
        self._percent = -1
        self._said_at = time.monotonic()
        self._poster_at = [0.0, seconds / 10]  # the first picture, until a better one comes
        self._graph: Any = None
        self.last = 0.0

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        resampler = AudioResampler("fltp", "stereo", _AUDIO_RATE)
        streams = [one for one in (self._picture, self._sound) if one is not None]
        for packet in self._given.demux(streams):
            for frame in packet.decode():
                if packet.stream is self._sound:
                    for part in resampler.resample(frame):
                        yield "sound", part
                elif frame.pts is not None:
                    upright = self._upright(frame)
                    self._note(upright, packet.stream.time_base)
                    yield "picture", upright

    def _note(self, frame: Any, base: Fraction) -> None:
        at = float(frame.pts * base)
        self.last = max(self.last, at + float(base))
        if self._poster_at and at >= self._poster_at[0]:
            self._poster_at.pop(0)
            frame.to_image().convert("RGB").save(self._poster, quality=80)
        if at > _LONGEST_SECONDS:
            raise Unusable("too_long")  # whatever its header says
        percent = min(99, int(100 * at / self._seconds)) if self._seconds else 0
        if percent > self._percent or time.monotonic() - self._said_at > _SECONDS_BETWEEN_SIGNS:
            self._percent, self._said_at = max(percent, self._percent), time.monotonic()
            _say(percent=self._percent)

    def _upright(self, frame: Any) -> Any:
        turns = _TURNS.get(int(getattr(frame, "rotation", 0) or 0))
        if turns is None:
            return frame
        if self._graph is None:
            self._graph = av.filter.Graph()
            chain = [self._graph.add_buffer(template=self._picture)]
            for turn in turns:
                name, _, value = turn.partition("=")
                chain.append(self._graph.add(name, value or None))
            chain.append(self._graph.add("buffersink"))
            self._graph.link_nodes(*chain).configure()
        self._graph.push(frame)
        return self._graph.pull()


def _open(
    folder: Path,
    info: Path,
    name: str,
    size: tuple[int, int],
    bitrate: int,
    picture: Any,
    *,
    with_sound: bool,
) -> Output:
    place = folder / name
    place.mkdir()
    container = av.open(
        str(place / "index.m3u8"),
        "w",
        format="hls",
        options={
            "hls_time": str(SEGMENT_SECONDS),
            "hls_playlist_type": "vod",
            "hls_flags": "independent_segments",
            "hls_key_info_file": str(info),
            "hls_segment_filename": str(place / "%d.ts"),
        },
    )
    rate = picture.average_rate or Fraction(30)
    frames = max(1, round(float(rate) * SEGMENT_SECONDS))
    video = container.add_stream(
        "libx264",
        rate=rate,
        options={
            "preset": "veryfast",
            "g": str(frames),
            "keyint_min": str(frames),
            "sc_threshold": "0",
            "maxrate": str(bitrate),
            "bufsize": str(2 * bitrate),
            "crf": "23",
        },
    )
    video.width, video.height = size
    video.pix_fmt = "yuv420p"
    video.codec_context.time_base = picture.time_base
    audio = None
    if with_sound:
        audio = container.add_stream("aac", rate=_AUDIO_RATE)
        audio.bit_rate = _AUDIO_BITRATE
        audio.layout = "stereo"
    return Output(name, *size, bitrate + (_AUDIO_BITRATE if with_sound else 0), container, video, audio)


def _write(output: Output, kind: str, frame: Any) -> None:
    if kind == "sound":
        for packet in output.audio.encode(frame):
            output.container.mux(packet)
        return
    scaled = frame.reformat(output.width, output.height, "yuv420p")
    scaled.pts, scaled.time_base = frame.pts, frame.time_base
    scaled.pict_type = av.video.frame.PictureType.NONE
    for packet in output.video.encode(scaled):
        output.container.mux(packet)


def _finish(output: Output) -> None:
    for stream in (output.video, output.audio):
        if stream is not None:
            for packet in stream.encode(None):
                output.container.mux(packet)
    output.container.close()


def _say(**what: object) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    sys.exit(main())
