"""Many datagrams of one socket in one system call: sendmmsg (Linux), by cffi and without a compiler."""

import errno
import socket
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

from cffi import FFI

MOST = 32  # messages in a call
_UDP_SEGMENT = 103
_LONGEST_NAME = 28  # bytes of a struct sockaddr_in6
_CONTROL = struct.Struct("@QiiH6x")  # a struct cmsghdr and how long a segment is
# What the kernel says of segments that are longer than a link takes, or that its card or a tunnel cannot
# make: a datagram is sent there all the same, in fragments if need be.
_UNSEGMENTED = {errno.EMSGSIZE, errno.EINVAL, errno.EIO}
_ffi = FFI()
_ffi.cdef(
    """
    struct iovec { void *iov_base; size_t iov_len; };
    struct msghdr {
        void *msg_name; unsigned int msg_namelen; struct iovec *msg_iov; size_t msg_iovlen;
        void *msg_control; size_t msg_controllen; int msg_flags;
    };
    struct mmsghdr { struct msghdr msg_hdr; unsigned int msg_len; };
    int sendmmsg(int, struct mmsghdr *, unsigned int, int);
    """
)
_libc: Any = _ffi.dlopen(None)


def socket_name(address: Sequence[Any]) -> bytes:
    """Return an IP address and port as the kernel takes them: a struct sockaddr_in, or sockaddr_in6."""
    host, port, flow, scope = (*address, 0, 0)[:4]
    if ":" in host:
        packed = socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
        head = struct.pack("=H", socket.AF_INET6) + struct.pack("!HL", port, flow)
        return head + packed + struct.pack("=L", scope)
    return struct.pack("=H", socket.AF_INET) + struct.pack("!H", port) + socket.inet_aton(host) + bytes(8)


def address_of(buffer: bytearray) -> int:
    """Return where a buffer is, which must not be resized from then on."""
    return int(_ffi.cast("uintptr_t", _ffi.from_buffer(buffer)))


class Form(NamedTuple):
    """How messages lie in a buffer: of `size` bytes, one every `pitch`. With `segment` the kernel cuts each
    into datagrams of so many bytes, the last of which may be smaller.
    """

    size: int
    pitch: int
    segment: int


class Datagrams:
    """Messages that lie side by side in somebody's buffer, which must outlive this."""

    def __init__(self, sock: socket.socket, buffer: int) -> None:
        """Take the address of the buffer."""
        self._socket = sock
        self._buffer = buffer
        self._name_size = _LONGEST_NAME if sock.family == socket.AF_INET6 else 16
        self._names = _ffi.new("char[]", MOST * _LONGEST_NAME)
        self._vectors = _ffi.new("struct iovec[]", MOST)
        self._control = _ffi.new("char[]", _CONTROL.size)
        self._name_view = memoryview(_ffi.buffer(self._names))
        self._vector_view = memoryview(_ffi.buffer(self._vectors))
        self._control_view = memoryview(_ffi.buffer(self._control))
        self._whole, self._segmented = self._headers(0), self._headers(_CONTROL.size - 6)
        self._chosen, self._form = self._whole, Form(0, 0, 0)

    def _headers(self, control_size: int) -> Any:
        headers = _ffi.new("struct mmsghdr[]", MOST)
        for n in range(MOST):
            header = headers[n].msg_hdr
            header.msg_name, header.msg_namelen = self._names + n * self._name_size, self._name_size
            header.msg_iov, header.msg_iovlen = self._vectors + n, 1
            if control_size:
                header.msg_control, header.msg_controllen = self._control, control_size
        return headers

    def lay_out(self, count: int, form: Form) -> None:
        """Say where the messages are, and how many."""
        self._form = form
        size, pitch, segment = form
        vectors = [size] * (2 * count)
        vectors[::2] = range(self._buffer, self._buffer + count * pitch, pitch)
        struct.pack_into(f"@{2 * count}Q", self._vector_view, 0, *vectors)
        self._chosen = self._segmented if segment else self._whole
        if segment:
            _CONTROL.pack_into(
                self._control_view, 0, _CONTROL.size - 6, socket.IPPROTO_UDP, _UDP_SEGMENT, segment
            )

    def send(self, names: Sequence[bytes], first: int = 0) -> tuple[int, int]:
        """Send messages from the `first` on, one to each name.

        Returns how many of them are done with, fewer than all when the socket has no room for more now; and
        how many of these it refused for good.
        """
        count, size = len(names), self._name_size
        self._name_view[first * size : (first + count) * size] = b"".join(names)
        refused = at = 0
        while at < count:
            sent = _libc.sendmmsg(self._socket.fileno(), self._chosen + (first + at), count - at, 0)
            if sent <= 0:
                if _ffi.errno == errno.EAGAIN:
                    break
                # The first of the rest is the one that is refused.
                whole = self._form.segment and _ffi.errno in _UNSEGMENTED
                refused, sent = refused + (not whole or not self._in_pieces(first + at)), 1
            at += sent
        return at, refused

    def _in_pieces(self, n: int) -> bool:
        """Send the segments of a message one by one; say whether all of them left."""
        size, pitch, segment = self._form
        vector: Any = _ffi.new("struct iovec *")
        piece: Any = _ffi.new("struct mmsghdr *", {"msg_hdr": self._whole[n].msg_hdr})
        begin = self._buffer + n * pitch
        piece.msg_hdr.msg_iov = vector
        for at in range(0, size, segment):
            vector.iov_base = _ffi.cast("void *", begin + at)
            vector.iov_len = min(segment, size - at)
            if _libc.sendmmsg(self._socket.fileno(), piece, 1, 0) <= 0:
                return False
        return True
