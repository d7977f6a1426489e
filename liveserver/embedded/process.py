"""Starting somebody else's server so that it never outlives us.

A child dies with its parent by PR_SET_PDEATHSIG (Linux) and runs in a session of its own, so that Ctrl-C
reaches the supervisor alone.
"""

import asyncio
import contextlib
import ctypes
import importlib.util
import os
import secrets
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_CLONE_NEWUSER = 0x10000000
_libc = ctypes.CDLL(None, use_errno=True)


class ServerFailed(Exception):
    """An embedded server did not come up; the text ends with its last log lines."""


def package(name: str) -> Path:
    """Return where a wheel is unpacked. It is found, never imported: importing has side effects."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ServerFailed(f"the package {name} is not installed")
    return Path(next(iter(spec.submodule_search_locations)))


def die_with_parent(stop: signal.Signals) -> Callable[[], None]:
    """Return a preexec function: the kernel sends `stop` when the parent thread ends."""

    def prepare() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, int(stop))

    return prepare


def become_unprivileged() -> None:
    """Enter a user namespace in which we are uid 1; raises OSError where the kernel refuses.

    PostgreSQL refuses to run as root and needs its uid in /etc/passwd. Inside the namespace it is
    uid 1 (daemon) while its files stay ours, so nothing has to be copied or handed to an account.
    """
    uid, gid = os.geteuid(), os.getegid()
    if _libc.unshare(_CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWUSER)")
    for name, line in (("setgroups", "deny"), ("uid_map", f"1 {uid} 1"), ("gid_map", f"1 {gid} 1")):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:  # noqa: PTH123 - between fork and exec
            file.write(line)


def free_port(reserve: int = 0) -> int:
    """Return a loopback TCP port that is free together with the one `reserve` above it."""
    for _ in range(500):
        port = 18000 + secrets.randbelow(14000)
        try:
            for candidate in {port, port + reserve}:
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", candidate))
        except OSError:
            continue
        return port
    raise ServerFailed("no free port between 18000 and 32000")


class Child:
    """One running process. Closed by its owner with `stop()`."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path | None) -> None:
        self.name = name
        self.log = log
        self._process = process

    @classmethod
    async def start(
        cls,
        name: str,
        command: Sequence[str | Path],
        *,
        log: Path | None,
        stop: signal.Signals = signal.SIGTERM,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        prepare: Callable[[], None] | None = None,
    ) -> "Child":
        """Run `command`; `prepare` runs between fork and exec, before the death signal is set."""
        bind = die_with_parent(stop)

        def before_exec() -> None:
            if prepare is not None:
                prepare()
            bind()

        with contextlib.ExitStack() as files:
            # Our own processes speak to the console; a foreign server writes to its file.
            output = files.enter_context(log.open("ab")) if log is not None else None
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=cwd,
                env=dict(os.environ) if env is None else dict(env),
                preexec_fn=before_exec,
                start_new_session=True,
            )
        child = cls(name, process, log)
        child._signal = stop
        return child

    _signal: signal.Signals = signal.SIGTERM

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.returncode is None

    async def wait(self) -> int:
        return await self._process.wait()

    async def stop(self, patience: float = 15.0) -> None:
        """Ask it to end, and after `patience` seconds make it."""
        if not self.running:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(self._signal)
        try:
            await asyncio.wait_for(self._process.wait(), patience)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    def kill(self) -> None:
        """End it at once; who waits for it learns so."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    def failure(self) -> ServerFailed:
        """Return why it ended, with the tail of its log."""
        try:
            tail = self.log.read_bytes()[-800:].decode(errors="replace") if self.log else ""
        except OSError:
            tail = ""
        return ServerFailed(f"{self.name} ended with {self._process.returncode}:\n{tail}")
