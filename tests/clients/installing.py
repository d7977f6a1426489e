"""Getting the programs that send and play without a browser: GStreamer from Debian, libwebrtc from npm."""

import os
import shutil
import subprocess
from pathlib import Path

from tests.product import ROOT

FOLDER = Path(__file__).parent
_PACKAGES = (
    "python3-gst-1.0",
    "gir1.2-gst-plugins-bad-1.0",
    "gstreamer1.0-nice",
    "gstreamer1.0-plugins-good",
    "gstreamer1.0-plugins-bad",
)
_PROBE = "import gi; gi.require_version('GstWebRTC', '1.0'); from gi.repository import Gst, GstWebRTC;"
_PROBE += (
    "Gst.init(None); assert all(map(Gst.ElementFactory.find, ['webrtcbin', 'nicesrc', 'vp8enc', 'opusenc']))"
)


def gstreamer() -> list[str] | None:
    """Return the command of our GStreamer program, None where there is no GStreamer."""
    python = "/usr/bin/python3"
    if not Path(python).exists():
        return None
    if subprocess.run([python, "-c", _PROBE], capture_output=True, check=False).returncode:
        return None
    return [python, str(FOLDER / "gstreamer.py")]


def libwebrtc() -> list[str] | None:
    """Return the command of our libwebrtc program, None where npm did not bring it."""
    node = shutil.which("node", path=f"{ROOT / '.cache/node/bin'}{os.pathsep}{os.environ['PATH']}")
    if node is None or not (FOLDER / "node_modules/@roamhq/wrtc").exists():
        return None
    return [node, str(FOLDER / "libwebrtc.mjs")]


def main() -> None:
    """Install GStreamer where apt-get may be used; npm is called by the Makefile."""
    if gstreamer() is None and os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(["apt-get", "update", "-qq"], check=True)
        subprocess.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *_PACKAGES], check=True)


if __name__ == "__main__":
    main()
