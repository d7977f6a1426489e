"""A real TURN server, coturn, from Debian's packages."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.product import free_ports


@contextmanager
def turn(folder: Path, host: str, secret: str) -> Iterator[str]:
    """Run it and yield its address; skip the test where there is none and none can be installed."""
    program = shutil.which("turnserver")
    if program is None and os.geteuid() == 0:
        subprocess.run(["apt-get", "update", "-qq"], check=False)
        subprocess.run(["apt-get", "install", "-y", "-qq", "coturn"], check=False, stdout=subprocess.DEVNULL)
        program = shutil.which("turnserver")
    if program is None:
        pytest.skip("there is no coturn, and only root can install it")
    port = free_ports(1)
    command = [program, "-n", "--no-cli", "--no-tls", "--no-dtls", "--realm=test", "--use-auth-secret"]
    command += [f"--static-auth-secret={secret}", f"--listening-ip={host}", f"--relay-ip={host}"]
    command += [f"--listening-port={port}", f"--pidfile={folder}/turn.pid", f"--log-file={folder}/turn.log"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield f"turn:{host}:{port}"
    finally:
        process.terminate()
        process.wait(10)
