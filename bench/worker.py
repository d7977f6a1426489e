"""A media worker, as a process of its own, that counts besides what bursts of pictures cost it.

Its arguments: its index, the most viewers of one room, its address, and the control sockets of all.
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from media.draft import Entry
from media.orders import METHODS, Orders
from media.sender import Sender
from media.strand import Strand
from media.worker import WorkerSettings, main


def count_pictures() -> None:
    """Add to a worker's figures the packets of pictures, and the microseconds of CPU from a burst being whole
    to its last packet having left, without what comes between its parts.
    """
    send, take_turn, stats = Strand._send, Sender._take_turn, Orders.stats
    packets, seconds = 0, 0.0

    def timed(self: Strand, burst: Sequence[Entry]) -> None:
        nonlocal packets, seconds
        before, began = self._sender.sent, time.thread_time()
        send(self, burst)
        if self._video:
            packets += self._sender.sent - before
            seconds += time.thread_time() - began

    def turn_timed(self: Sender) -> None:
        nonlocal packets, seconds
        before, began = self.sent, time.thread_time()
        take_turn(self)
        packets += self.sent - before
        seconds += time.thread_time() - began

    def with_pictures(self: Orders, owner: object) -> dict[str, Any]:
        return {**stats(self, owner), "pictures": packets, "pictures_us": round(seconds * 1e6)}

    Strand._send = timed  # type: ignore[method-assign]
    Sender._take_turn = turn_timed  # type: ignore[method-assign]
    METHODS["stats"] = with_pictures


if __name__ == "__main__":
    index, most, address, *controls = sys.argv[1:]
    control = Path(controls.pop(int(index)))
    count_pictures()
    main(
        WorkerSettings(
            index=int(index),
            host="",
            udp_port=0,
            tcp_port=0,
            public_address=address,
            control=control,
            others=[Path(one) for one in controls],
            most_viewers=int(most),
        )
    )
