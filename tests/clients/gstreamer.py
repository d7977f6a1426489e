"""Sends to a class (whip) or plays one (whep) with GStreamer's webrtcbin; tells figures as lines of JSON.

    /usr/bin/python3 gstreamer.py whip|whep <address> <key>

Runs in Debian's own Python, which has GStreamer's bindings, so it needs nothing of ours.
"""

import json
import sys
import urllib.request
from typing import Any

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402

SENDING = """
webrtcbin name=peer bundle-policy=max-bundle
videotestsrc is-live=true pattern=ball ! video/x-raw,width=320,height=180,framerate=20/1 ! videoconvert
 ! vp8enc deadline=1 keyframe-max-dist=40 ! rtpvp8pay picture-id-mode=15-bit
 ! application/x-rtp,media=video,encoding-name=VP8,payload=96 ! peer.
audiotestsrc is-live=true ! audioconvert ! audioresample ! opusenc ! rtpopuspay
 ! application/x-rtp,media=audio,encoding-name=OPUS,payload=97 ! peer.
"""
COUNTED = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
PLAYING = "webrtcbin name=peer bundle-policy=max-bundle"
PLAYED = {
    "VP8": "rtpvp8depay ! vp8dec ! fakesink name=sink sync=false signal-handoffs=true",
    "OPUS": "rtpopusdepay ! opusdec ! fakesink name=sink sync=false signal-handoffs=true",
}


class Client:
    """One webrtcbin, from its offer to its end."""

    def __init__(self, way: str, address: str, key: str) -> None:
        self.figures: dict[str, Any] = {"frames": 0, "width": 0, "samples": 0, "state": "new"}
        self._address, self._key = address, key
        self._offered = False
        self._pipeline = Gst.parse_launch(SENDING) if way == "whip" else Gst.Pipeline()
        if way == "whep":
            self._pipeline.add(Gst.parse_launch(PLAYING))
        self._peer = self._pipeline.get_by_name("peer")
        if way == "whep":
            receive = GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY
            for caps in (
                "application/x-rtp,media=audio,encoding-name=OPUS,clock-rate=48000,payload=97",
                (
                    "application/x-rtp,media=video,encoding-name=VP8,clock-rate=90000,payload=96,"
                    f"rtcp-fb-transport-cc=(boolean)true,extmap-5=(string){COUNTED}"
                ),
            ):
                self._peer.emit("add-transceiver", receive, Gst.Caps.from_string(caps))
            self._peer.connect("pad-added", self._play)
        else:
            send = GstWebRTC.WebRTCRTPTransceiverDirection.SENDONLY
            for n in range(2):
                self._peer.emit("get-transceiver", n).set_property("direction", send)
        self._peer.connect("notify::ice-gathering-state", self._gathered)
        self._peer.connect("notify::connection-state", self._changed)
        self._pipeline.set_state(Gst.State.PLAYING)
        # A pipeline that waits for pads prerolls for ever; the offer is made as soon as it runs.
        GLib.timeout_add(300, self._offer)
        GLib.timeout_add(250, self._tell)

    def _offer(self) -> bool:
        promise = Gst.Promise.new_with_change_func(self._made)
        self._peer.emit("create-offer", None, promise)
        return False

    def _made(self, promise: Any) -> None:
        reply = promise.get_reply()  # owns the offer
        self._peer.emit("set-local-description", reply.get_value("offer"), Gst.Promise.new())

    def _gathered(self, *_: Any) -> None:
        done = GstWebRTC.WebRTCICEGatheringState.COMPLETE
        if (
            self._peer.get_property("ice-gathering-state") is done
            or self._peer.get_property("ice-gathering-state") == done
        ):
            GLib.idle_add(self._ask)

    def _ask(self) -> bool:
        if self._offered:
            return False
        self._offered = True
        offer = self._peer.get_property("local-description").sdp.as_text()
        request = urllib.request.Request(
            self._address,
            offer.encode(),
            {"Authorization": f"Bearer {self._key}", "Content-Type": "application/sdp"},
        )
        with urllib.request.urlopen(request) as answer:
            _, message = GstSdp.SDPMessage.new_from_text(answer.read().decode())
        described = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, message)
        self._peer.emit("set-remote-description", described, Gst.Promise.new())
        return False

    def _changed(self, *_: Any) -> None:
        self.figures["state"] = self._peer.get_property("connection-state").value_nick

    def _play(self, _peer: Any, pad: Any) -> None:
        if pad.get_direction() != Gst.PadDirection.SRC:
            return
        name = pad.get_current_caps().get_structure(0).get_string("encoding-name")
        played = Gst.parse_bin_from_description(PLAYED[name], True)
        sink = played.get_by_name("sink")
        sink.connect("handoff", self._picture if name == "VP8" else self._sound)
        self._pipeline.add(played)
        played.sync_state_with_parent()
        pad.link(played.get_static_pad("sink"))

    def _picture(self, _sink: Any, _buffer: Any, pad: Any) -> None:
        self.figures["frames"] += 1
        self.figures["width"] = pad.get_current_caps().get_structure(0).get_int("width")[1]

    def _sound(self, _sink: Any, buffer: Any, _pad: Any) -> None:
        self.figures["samples"] += buffer.get_size() // 2

    def _tell(self) -> bool:
        sys.stdout.write(json.dumps(self.figures) + "\n")
        sys.stdout.flush()
        return True


if __name__ == "__main__":
    Gst.init(None)
    client = Client(*sys.argv[1:])
    GLib.MainLoop().run()
