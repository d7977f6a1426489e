"""A port of one's own."""

from collections.abc import Iterator

import pytest

from media.mux import Mux


@pytest.fixture
def mux() -> Iterator[Mux]:
    made = Mux("127.0.0.1", 0)
    yield made
    made.sender.close()
    made._socket.close()
