"""The servers that come with liveserver: they start beside whatever else runs on the machine."""

import socket
from pathlib import Path
from urllib.parse import urlsplit

from liveserver.embedded.seaweed import Seaweed


async def test_the_object_store_starts_though_its_port_was_taken_meanwhile(tmp_path: Path) -> None:
    store = Seaweed(tmp_path / "s3", tmp_path / "s3.log", "course")
    wanted = store.endpoint
    with socket.socket() as somebody:
        somebody.bind(("127.0.0.1", urlsplit(wanted).port))
        somebody.listen()
        child = await store.start()
    served = store.endpoint
    try:
        assert served != wanted
        child.kill()
        await child.wait()
        child = await store.start()
        assert store.endpoint == served, "who was told of it finds it again"
    finally:
        await child.stop()
