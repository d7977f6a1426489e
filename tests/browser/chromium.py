"""Finding a Chromium for the tests: on PATH, else from Debian's packages, unpacked into the cache."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.async_api import Page

from tests.product import ROOT

_CACHE = ROOT / ".cache" / "chromium"
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
]


def find() -> str | None:
    """Return the path of a Chromium that starts, or None."""
    for name in _NAMES:
        path = shutil.which(name)
        if path and Path(path).resolve() != Path("/usr/bin/snap"):
            return path
    unpacked = _CACHE / "run"
    return str(unpacked) if unpacked.exists() else None


def allow_camera(profile: Path, origin: str) -> None:
    """Let pages of an origin use camera and microphone, as if a person had said so: what Playwright grants is
    granted to every frame, whatever it may use.
    """
    allowed = {f"{origin},*": {"setting": 1}}
    exceptions = {"media_stream_camera": allowed, "media_stream_mic": allowed}
    preferences = profile / "Default" / "Preferences"
    preferences.parent.mkdir(parents=True)
    preferences.write_text(json.dumps({"profile": {"content_settings": {"exceptions": exceptions}}}))


async def require_camera(page: Page) -> None:
    """See that a page may use a camera without asking."""
    state = await page.evaluate("async () => (await navigator.permissions.query({ name: 'camera' })).state")
    assert state == "granted", state


def install() -> str:
    """Get one: with apt-get as root, else by unpacking its packages below .cache."""
    if os.geteuid() == 0:
        subprocess.run(["apt-get", "update", "-qq"], check=True)
        subprocess.run(["apt-get", "install", "-y", "-qq", "chromium"], check=True)
        found = find()
        assert found is not None, "apt-get installed chromium and it is not on PATH"
        return found
    return _unpack()


def _unpack() -> str:
    _CACHE.mkdir(parents=True, exist_ok=True)
    root = _CACHE / "root"
    # Simulated, apt-get tells what is missing for chromium, and needs no rights for it.
    plan = subprocess.run(
        ["apt-get", "install", "--simulate", "--no-install-recommends", "chromium"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    missing = [line.split()[1] for line in plan if line.startswith("Inst ")]
    debs = _CACHE / "debs"
    debs.mkdir(exist_ok=True)
    subprocess.run(["apt-get", "download", "-qq", *(missing or ["chromium"])], cwd=debs, check=True)
    for deb in sorted(debs.glob("*.deb")):
        subprocess.run(["dpkg-deb", "-x", str(deb), str(root)], check=True)
    libraries = ":".join(
        str(folder) for folder in sorted({path.parent for path in root.rglob("*.so*") if path.is_file()})
    )
    run = _CACHE / "run"
    run.write_text(
        f'#!/bin/sh\nexport LD_LIBRARY_PATH="{libraries}"\n'
        f'export FONTCONFIG_PATH="{root}/etc/fonts"\nexec "{root}/usr/lib/chromium/chromium" "$@"\n'
    )
    run.chmod(0o755)
    return str(run)


if __name__ == "__main__":
    sys.stdout.write(f"{find() or install()}\n")
