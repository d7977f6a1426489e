"""Two hosts on one machine: network namespaces joined by a pair of virtual cards. Needs root; Linux only."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_HELD_BYTES = 5_000_000  # a thousand bursts of five packets


class NoNamespaces(Exception):
    """None can be made here; the text says why."""


@dataclass(frozen=True)
class Namespace:
    name: str
    address: str

    def run(self, *command: str) -> list[str]:
        """Return the command that runs another in here; the process stays the one that is started."""
        return ["ip", "netns", "exec", self.name, *command]


@contextmanager
def two_hosts(*, mbit: int | None = None) -> Iterator[tuple[Namespace, Namespace]]:
    """With `mbit`, the first host's card carries so many megabits a second. Raises NoNamespaces."""
    hosts = [Namespace(f"live{os.getpid()}{name}", f"10.213.7.{n}") for n, name in ((1, "a"), (2, "b"))]
    made: list[str] = []
    try:
        for host in hosts:
            _ip("netns", "add", host.name)
            made.append(host.name)
            _ip("-n", host.name, "link", "set", "lo", "up")
        cards = _join(hosts[0], hosts[1], "10.213.7")
        if mbit is not None:
            _limit(hosts[0], cards[0], mbit)
        yield hosts[0], hosts[1]
    finally:
        for name in made:
            subprocess.run(["ip", "netns", "delete", name], check=False)  # noqa: S607 - as below


def _join(one: Namespace, other: Namespace, network: str) -> tuple[str, str]:
    """Lay a cable between two hosts; return the names of their cards, which end their names and .1 and .2."""
    kind = network.rpartition(".")[2]
    ends = (one, f"v{kind}a", 1), (other, f"v{kind}b", 2)
    (_, card, _), (_, peer, _) = ends
    _ip("-n", one.name, "link", "add", card, "type", "veth", "peer", peer, "netns", other.name)
    for host, name, n in ends:
        _ip("-n", host.name, "address", "add", f"{network}.{n}/24", "dev", name)
        _ip("-n", host.name, "link", "set", name, "up")
    return card, peer


@dataclass(frozen=True)
class Phone:
    """A host with two cards, of which one is up; the server has one address for both networks."""

    host: Namespace
    server_address = "10.213.9.1"

    @classmethod
    def named(cls, name: str) -> "Phone":
        return cls(Namespace(name, ""))

    def move(self, *, to_mobile: bool) -> None:
        """Leave one network and come into the other."""
        names = ("7", "8") if to_mobile else ("8", "7")
        left, found = names
        _ip("-n", self.host.name, "link", "set", f"v{left}b", "down")
        _ip("-n", self.host.name, "address", "flush", "dev", f"v{left}b")
        self.come(found)

    def come(self, network: str) -> None:
        card = f"v{network}b"
        _ip("-n", self.host.name, "address", "replace", f"10.213.{network}.2/24", "dev", card)
        _ip("-n", self.host.name, "link", "set", card, "up")
        _ip("-n", self.host.name, "route", "replace", "default", "via", f"10.213.{network}.1", "dev", card)


@contextmanager
def phone_and_server() -> Iterator[tuple[Phone, Namespace]]:
    """A phone in its Wi-Fi, and a server. Raises NoNamespaces."""
    with two_hosts() as (server, host):
        phone = Phone(host)
        _ip("-n", server.name, "address", "add", f"{phone.server_address}/32", "dev", "lo")
        _join(server, host, "10.213.8")
        phone.move(to_mobile=False)
        yield phone, server


def again_on_two_hosts(module: str, *, mbit: int | None = None) -> int:
    """Run a command once more as the second of two hosts, and tell it by `--server` which is the first; where
    that cannot be, say so. Returns its exit status.
    """
    try:
        with two_hosts(mbit=mbit) as (server, clients):
            inside = clients.run(sys.executable, "-m", module, *sys.argv[1:])
            told = ["--server", f"{server.name},{server.address}"]
            return subprocess.run([*inside, *told], check=False).returncode
    except NoNamespaces as error:
        print(f"no network namespaces here, nothing was measured: {error}")
        return 0


def _limit(host: Namespace, card: str, mbit: int) -> None:
    """Let a card carry so much, and hold what Linux lets one hold: a thousand bursts of datagrams."""
    held = f"{_HELD_BYTES}b"
    shape = ("root", "tbf", "rate", f"{mbit}mbit", "burst", "128kb", "limit", held)
    _run("tc", "-n", host.name, "qdisc", "add", "dev", card, *shape)


def _ip(*arguments: str) -> None:
    _run("ip", *arguments)


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise NoNamespaces(f"there is no `{command[0]}` (Debian: apt-get install iproute2)") from error
    if done.returncode:
        raise NoNamespaces(f"{' '.join(command)}: {done.stderr.strip()}")
