"""Hosts: machines that serve the same platform together."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """`workers` are those of its media workers that answer, by the addresses other hosts ask them at. A host
    that is alone has none to be asked, and goes with no other.

    A draining host keeps the classes it has and is given no new ones.
    """

    name: str
    is_alone: bool = True
    workers: tuple[str, ...] = ()
    draining: bool = False
