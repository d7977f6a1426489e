"""The payloads of the classroom's events, as types: unknown fields are refused, sizes bounded."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

Sdp = Annotated[str, StringConstraints(min_length=10, max_length=32 * 1024)]
Mid = Annotated[str, StringConstraints(min_length=1, max_length=32)]
Source = Literal["camera", "microphone", "screen"]
StudentSource = Literal["camera", "microphone"]
Id = Annotated[UUID, BeforeValidator(lambda v: UUID(v) if isinstance(v, str) else v)]


class Payload(BaseModel):
    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=False
    )


class Nothing(Payload):
    pass


class Publish(Payload):
    """Our answer follows; `sources` says what each section (by mid) carries."""

    sdp: Sdp
    sources: Annotated[dict[Mid, Source], Field(max_length=8)]


class Subscribe(Payload):
    """`restart` renews ICE on the connection that is; without it, the offer is of a new one."""

    restart: bool = False


class Answer(Payload):
    sdp: Sdp


class View(Payload):
    """How high each section of the stage is shown, in pixels of the screen, 0 is not at all; `limit` is the
    most that is to be sent, in bits per second; `pinned` is the section that matters most.
    """

    sizes: Annotated[
        dict[Mid, Annotated[int, Field(ge=0, le=10_000)]],
        Field(max_length=16),
    ]
    limit: Annotated[int, Field(ge=20_000, le=100_000_000)] | None = None
    pinned: Mid | None = None


class Pause(Payload):
    source: Source
    paused: bool


class Say(Payload):
    text: Annotated[str, StringConstraints(min_length=1, max_length=2000, strip_whitespace=True)]


class Hand(Payload):
    up: bool


class GiveFloor(Payload):
    user_id: Id
    sources: Annotated[list[StudentSource], Field(min_length=1, max_length=2)]


class Somebody(Payload):
    user_id: Id


class Mute(Payload):
    user_id: Id
    source: Source


class PutOut(Payload):
    user_id: Id
    ban: bool = False


class Renewal(Payload):
    access_token: Annotated[str, StringConstraints(min_length=10, max_length=4096)]
