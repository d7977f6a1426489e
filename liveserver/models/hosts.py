"""Hosts: machines that serve the same platform together."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """`workers` are its media workers, by the addresses other hosts ask them at; none when it is alone.

    A draining host keeps the classes it has and is given no new ones.
    """

    name: str
    workers: tuple[str, ...] = ()
    draining: bool = False
