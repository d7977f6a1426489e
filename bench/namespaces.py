"""Two hosts on one machine: network namespaces joined by a pair of virtual cards. Needs root; Linux only."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


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
def two_hosts() -> Iterator[tuple[Namespace, Namespace]]:
    """Raises NoNamespaces."""
    hosts = [Namespace(f"live{os.getpid()}{name}", f"10.213.7.{n}") for n, name in ((1, "a"), (2, "b"))]
    cards = [f"v{os.getpid()}{name}" for name in "ab"]
    made: list[str] = []
    try:
        for host in hosts:
            _ip("netns", "add", host.name)
            made.append(host.name)
        _ip(
            "-n",
            hosts[0].name,
            "link",
            "add",
            cards[0],
            "type",
            "veth",
            "peer",
            cards[1],
            "netns",
            hosts[1].name,
        )
        for host, card in zip(hosts, cards, strict=True):
            _ip("-n", host.name, "address", "add", f"{host.address}/24", "dev", card)
            for link in (card, "lo"):
                _ip("-n", host.name, "link", "set", link, "up")
        yield hosts[0], hosts[1]
    finally:
        for name in made:
            subprocess.run(["ip", "netns", "delete", name], check=False)  # noqa: S607 - as below


def _ip(*arguments: str) -> None:
    try:
        done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)  # noqa: S607 - where the system has it
    except FileNotFoundError as error:
        raise NoNamespaces("there is no `ip` (Debian: apt-get install iproute2)") from error
    if done.returncode:
        raise NoNamespaces(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
