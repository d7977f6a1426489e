"""Somebody who watches a strand by UDP, for tests of what is laid out for them."""

from typing import Any

from media.draft import NONE


class Direct:
    """A connection that holds nothing back."""

    @property
    def unsent(self) -> bytes | None:
        return None

    def cut(self) -> bool:
        return True


class Listener(Direct):
    """A view and its connection in one."""

    shift = NONE
    since: int | None = None
    until: int | None = None
    plain = True
    types: bytes | None = None

    @property
    def watcher(self) -> Any:
        return self

    def target(self) -> Any:
        return None, None

    def send_rtp(self, packet: bytes) -> None: ...
    def enter(self, strand: object, entry: object) -> None: ...
    def begin_anew(self) -> None: ...
