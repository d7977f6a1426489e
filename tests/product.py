"""The running product, as tests and benchmarks start it: real processes on ports of their own."""

import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

import psutil

ROOT = Path(__file__).parent.parent
PASSWORD = "liveserver-demo"
# For tests and tools that do as one person what many would.
UNHURRIED = {
    "LIVE_HTTP__REQUESTS_PER_SECOND": "100000",
    "LIVE_HTTP__REQUEST_BURST": "100000",
}

# Two runs of tests side by side look for ports apart from each other, and from the embedded object stores.
_RUN = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
_next_port = itertools.count(10_000 + 4_000 * (_RUN % 2) + os.getpid() * 10 % 3_000)


_UNSAFE = 10_080  # Chromium opens no page there


def free_ports(count: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """Return the first of `count` consecutive free ports, each time others."""
    for _ in range(1000):
        base = next(_next_port)
        for _ in range(count):
            next(_next_port)
        if _UNSAFE in range(base, base + count):
            continue
        probes = []
        try:
            for port in range(base, base + count):
                probe = socket.socket(socket.AF_INET, kind)
                probes.append(probe)
                probe.bind(("", port))
        except OSError:
            continue
        else:
            return base
        finally:
            for probe in probes:
                probe.close()
    raise AssertionError("no free ports")


@dataclass(eq=False)
class Product:
    """`make run` on loopback, in a state directory of its own. Closed by leaving the `with`."""

    state: Path
    processes: int = 1
    settings: dict[str, str] | None = None
    host: str = "127.0.0.1"
    # Where it is a list, products that were left stop by themselves, and are waited for when it matters.
    leaving: ClassVar["list[Product] | None"] = None

    def __enter__(self) -> Self:
        for one in self.leaving or []:
            if one.state == self.state:
                one.stop()
        self.port = free_ports(self.processes)
        self.udp_port = free_ports(1, socket.SOCK_DGRAM)
        self.tcp_port = free_ports(1)
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("LIVE_")},
            "LIVE_STATE__DIR": str(self.state),
            "LIVE_HTTP__HOST": self.host,
            "LIVE_HTTP__PORT": str(self.port),
            "LIVE_HTTP__PROCESSES": str(self.processes),
            "LIVE_MEDIA__UDP_PORT": str(self.udp_port),
            "LIVE_MEDIA__TCP_PORT": str(self.tcp_port),
            "LIVE_MEDIA__WORKERS": "1",
            **(self.settings or {}),
        }
        self.log = self.state / "console.log"
        self.state.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as console:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "liveserver", "serve", "--demo"],
                cwd=ROOT,
                env=self.environment,
                stdout=console,
                stderr=console,
            )
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise
        return self

    def _wait(self) -> None:
        deadline = time.monotonic() + 90
        waiting = [self.url(n) for n in range(self.processes)]
        while waiting:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the product did not start:\n{self.log.read_text()[-3000:]}")
            try:
                with urllib.request.urlopen(waiting[0] + "/api/health", timeout=2) as answer:
                    assert answer.status == 200
                waiting.pop(0)
            except (OSError, urllib.error.URLError):
                time.sleep(0.05)

    def url(self, process: int = 0) -> str:
        return f"http://{self.host}:{self.port + process}"

    def media_worker(self, index: int = 0) -> psutil.Process | None:
        """Return the process of a media worker, None while there is none."""
        for child in psutil.Process(self.process.pid).children():
            with contextlib.suppress(psutil.Error):
                if child.cmdline()[-3:] == ["media", "--index", str(index)]:
                    return child
        return None

    def stop(self) -> None:
        if self.process.poll() is None:
            if self not in (self.leaving or []):  # told once already
                self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        if self.leaving is None:
            self.stop()
        elif self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.leaving.append(self)
