"""SRTP in place, straight through libsrtp: no Session.protect, no copy that a name can avoid."""

from typing import Any

from pylibsrtp._binding import ffi, lib

from media.rtp import LONGEST

CAPACITY = 2048
Context = Any  # a cffi srtp_t
Target = tuple[Context, bytes]  # a viewer's context and socket name


class Unprotector:
    """One scratch buffer for everything that comes in; a result is good until the next call."""

    def __init__(self) -> None:
        self._buffer = ffi.new("unsigned char[]", CAPACITY)
        self._length = ffi.new("int *")
        self.view = memoryview(ffi.buffer(self._buffer))

    def rtp(self, context: Context, data: bytes) -> int:
        """Decrypt into `view`; return the packet's size, or 0 when it is forged or a replay."""
        size = len(data)
        self.view[:size] = data
        self._length[0] = size
        if lib.srtp_unprotect(context, self._buffer, self._length):
            return 0
        return int(self._length[0])

    def rtcp(self, context: Context, data: bytes) -> bytes:
        """Return the decrypted compound packet, or b'' when it is forged or a replay."""
        size = len(data)
        self.view[:size] = data
        self._length[0] = size
        if lib.srtp_unprotect_rtcp(context, self._buffer, self._length):
            return b""
        return bytes(self.view[: self._length[0]])


class Protector:
    """One scratch buffer for single packets that go out; bursts have media/sender.py."""

    def __init__(self) -> None:
        self._buffer = ffi.new("unsigned char[]", CAPACITY)
        self._length = ffi.new("int *")
        self._view = memoryview(ffi.buffer(self._buffer))

    def rtp(self, context: Context, packet: bytes) -> bytes:
        return self._run(lib.srtp_protect, context, packet)

    def rtcp(self, context: Context, packet: bytes) -> bytes:
        return self._run(lib.srtp_protect_rtcp, context, packet)

    def _run(self, protect: Any, context: Context, packet: bytes) -> bytes:
        size = len(packet)
        if size > LONGEST:
            return b""
        self._view[:size] = packet
        self._length[0] = size
        if protect(context, self._buffer, self._length):
            return b""
        return bytes(self._view[: self._length[0]])
