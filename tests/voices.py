"""Somebody who sends without a browser: a voice as loud as one likes, and a camera that shows nothing."""

import itertools
import struct

from aiortc.rtcdtlstransport import RTCCertificate

from bench.peers import Peer
from media.rtp import URI_AUDIO_LEVEL

QUIET, LOUD, VERY_LOUD = 90, 30, 15  # decibels below the loudest there can be


class Voice:
    """Closed by its test."""

    def __init__(self) -> None:
        self.sources = {"0": "microphone", "1": "camera"}
        self._peer = Peer(RTCCertificate.generateCertificate())
        self._numbers = itertools.count(1)

    def offer(self) -> str:
        sound = f"a=rtpmap:111 opus/48000/2\r\na=extmap:1 {URI_AUDIO_LEVEL}\r\na=ssrc:7 cname:c\r\n"
        picture = "a=rtpmap:96 VP8/90000\r\na=ssrc:8 cname:c\r\n"
        return self._peer.description(
            f"m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=sendonly\r\n{sound}"
            f"m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\na=sendonly\r\n{picture}"
        )

    async def connect(self, answer: str) -> None:
        await self._peer.connect(answer)

    def say(self, level: int) -> None:
        """Send twenty milliseconds of sound."""
        number = next(self._numbers)
        head = struct.pack("!BBHLL", 0x90, 111, number, number * 960, 7)
        extension = struct.pack("!HHBBH", 0xBEDE, 1, 0x10, level, 0)
        self._peer.socket.send(self._peer.dtls._tx_srtp.protect(head + extension + bytes(60)))

    def close(self) -> None:
        self._peer.socket.close()
