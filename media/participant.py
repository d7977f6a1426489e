"""Somebody in a room: what they may send, and the connections they have."""

from dataclasses import dataclass, field

from media.producer import Producer
from media.publishing import PublishTransport
from media.subscribing import SubscribeTransport
from media.transport import Transport


@dataclass(slots=True)
class Elsewhere:
    """Where somebody watches who watches at another worker: its control address, and the id of the
    connection there, None when there is none now.
    """

    worker: str
    connection: int | None = None


@dataclass(slots=True, eq=False)
class Participant:
    """Somebody in the room. Closed by the room, with both connections."""

    id: str
    staff: bool
    owner: object  # the control connection that answers for them
    device: str
    fence: int = 0
    granted: set[str] = field(default_factory=set)
    publish: PublishTransport | None = None
    subscribe: SubscribeTransport | None = None
    elsewhere: Elsewhere | None = None
    encoder: PublishTransport | None = None  # a program that sends for them, beside a page or without one
    login: str = ""  # what the encoder came by
    gone_at: float | None = None  # when their control connection was lost

    def transports(self) -> list[Transport]:
        return [t for t in (self.publish, self.subscribe, self.encoder) if t is not None]

    def publishers(self) -> list[PublishTransport]:
        return [t for t in (self.publish, self.encoder) if t is not None]

    def producers(self) -> list[Producer]:
        return [one for transport in self.publishers() for one in transport.producers.values()]

    @property
    def watches_on(self) -> int | None:
        """Return the id of the connection they watch on, here or elsewhere."""
        if self.subscribe is not None:
            return self.subscribe.id
        return self.elsewhere.connection if self.elsewhere is not None else None

    def silent_for(self, now: float) -> float | None:
        """Return the seconds since the last packet of theirs, or None without a connection."""
        times = [t.silent_for(now) for t in self.transports() if t.connected]
        return min(times) if times else None
