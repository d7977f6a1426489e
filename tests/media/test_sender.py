"""A burst reaches every viewer, whatever cipher or socket they have; what is not taken is counted."""

import contextlib
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence

import pytest
from pylibsrtp import Error

from media import vp8
from media.datagrams import MOST, Datagrams, Form, address_of, socket_name
from media.draft import NONE, Draft, Shift
from media.formats import VP8
from media.rtp import HEADER
from media.sender import Sender
from tests.media.viewers import CM, GCM, Some, Viewer, drafts, inside, payloads

Make = Callable[[Iterable[int]], list[Viewer]]


@pytest.fixture(params=[socket.AF_INET, socket.AF_INET6])
def family(request: pytest.FixtureRequest) -> socket.AddressFamily:
    if request.param == socket.AF_INET6:
        try:
            with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as one:
                one.bind(("::1", 0))
        except OSError:
            pytest.skip("this machine has no IPv6")
    found: socket.AddressFamily = request.param
    return found


@pytest.fixture
def sending(family: socket.AddressFamily) -> Iterator[socket.socket]:
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        yield sock


@pytest.fixture
def viewers(family: socket.AddressFamily) -> Iterator[Make]:
    """Make viewers, each of the cipher that is named for them."""
    with contextlib.ExitStack() as stack:

        def make(profiles: Iterable[int]) -> list[Viewer]:
            made = [Viewer(family, profile) for profile in profiles]
            for one in made:
                stack.enter_context(one.socket)
            return made

        yield make


@pytest.mark.parametrize("sizes", [[90], [1000, 1000, 998, 300], [100] * 45, [1100, 200, 1100]])
def test_every_viewer_gets_every_packet(sending: socket.socket, viewers: Make, sizes: Sequence[int]) -> None:
    sender = Sender(sending)
    watching = viewers([GCM] * (2 * MOST + 3))
    for first in (1, 100):
        burst = drafts(first, sizes)
        sender.burst(burst, [Some([one.target for one in watching])])
        for viewer in watching:
            assert payloads(viewer.read()) == inside(burst)
    assert sender.sent == 2 * len(watching) * len(sizes)
    assert sender.dropped == 0


@pytest.mark.parametrize("sizes", [[90], [1000, 1000, 300]])
def test_viewers_of_two_ciphers_are_served_by_one_burst(
    sending: socket.socket, viewers: Make, sizes: Sequence[int]
) -> None:
    sender = Sender(sending)
    watching = viewers(CM if n % 5 == 2 else GCM for n in range(MOST + 8))
    for first in (1, 100):
        burst = drafts(first, sizes)
        sender.burst(burst, [Some([one.target for one in watching])])
        for viewer in watching:
            assert payloads(viewer.read()) == inside(burst)
    assert sender.dropped == 0


def test_each_audience_has_its_numbers_and_they_are_sent_together(
    sending: socket.socket, viewers: Make
) -> None:
    sender = Sender(sending)
    watching = viewers([GCM] * 70)
    payload = bytes((0x90, 0xE0, 0x80 | 5, 0, 250, 0)) + os.urandom(900)
    burst = [Draft((VP8.payload_type, 65_530 + n, 5, payload[: 900 - n]), 7) for n in range(4)]
    types = bytes(range(100, 228))
    sender.burst(
        burst,
        [
            Some(
                [one.target for one in watching[n::35]],
                Shift(n, 1000 * n, 3 * n, n) if n else NONE,
                types if n == 34 else None,
            )
            for n in range(35)
        ],
    )
    for at, viewer in enumerate(watching):
        n = at % 35
        for k, packet in enumerate(viewer.read()):
            _, kind, sequence, timestamp, ssrc = HEADER.unpack_from(packet)
            assert (sequence, timestamp, ssrc) == ((65_530 + k + n) & 0xFFFF, 5 + 1000 * n, 7)
            assert kind == (types[VP8.payload_type] if n == 34 else VP8.payload_type)
            (body,) = payloads([packet])
            assert vp8.numbers(body) == (0x500 + 3 * n, (250 + n) & 0xFF)
            assert (body[:2], body[5:]) == (payload[:2], payload[5 : 900 - k])
    assert sender.sent == 70 * 4


def test_a_packet_that_is_too_old_for_one_viewer_is_left_out_for_them_alone(
    sending: socket.socket, viewers: Make
) -> None:
    sender = Sender(sending)
    ahead, other = viewers([GCM, GCM])
    sender.burst(drafts(2000, [500]), [Some([ahead.target])])
    assert len(ahead.read()) == 1
    burst = [*drafts(1000, [500]), *drafts(2001, [500])]
    sender.burst(burst, [Some([ahead.target, other.target])])
    assert payloads(other.read()) == inside(burst)
    assert payloads(ahead.read()) == inside(burst[1:])


def test_what_the_socket_does_not_take_is_counted_and_the_others_get_theirs(
    sending: socket.socket, viewers: Make, family: socket.AddressFamily
) -> None:
    sender = Sender(sending)
    watching = viewers([GCM] * 5)
    port_0 = socket_name(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
    targets = [one.target for one in watching]
    targets[2] = targets[2][0], port_0
    sender.burst(drafts(1, [800, 800]), [Some(targets)])
    assert sender.dropped == 2
    assert [len(one.read()) for one in watching] == [2, 2, 0, 2, 2]
    sending.close()
    sender.burst(drafts(3, [800, 800]), [Some(targets)])
    assert sender.dropped == 2 + 2 * len(watching)


def test_every_viewer_has_keys_of_their_own(sending: socket.socket, viewers: Make) -> None:
    sender = Sender(sending)
    one, other = viewers([GCM, GCM])
    sender.burst(drafts(1, [90]), [Some([(one.target[0], other.name)])])
    with pytest.raises(Error):
        other.read()


def test_what_the_kernel_does_not_segment_leaves_in_pieces(
    sending: socket.socket, viewers: Make, family: socket.AddressFamily
) -> None:
    one, other = viewers([GCM, GCM])
    segment, count = 20, 150  # the kernel cuts a message into 128 at the most
    buffer = bytearray(os.urandom(2 * segment * count - 7))
    datagrams = Datagrams(sending, address_of(buffer))
    datagrams.lay_out(2, Form(segment * count - 7, segment * count, segment))
    assert datagrams.send([one.name, other.name]) == (2, 0)
    for n, viewer in enumerate((one, other)):
        whole = buffer[n * segment * count :][: segment * count - 7]
        assert [viewer.socket.recv(99) for _ in range(count)] == [
            whole[at : at + segment] for at in range(0, len(whole), segment)
        ]
    port_0 = socket_name(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
    assert datagrams.send([one.name, port_0]) == (2, 1)
