"""Driving a Firefox by WebDriver BiDi, which it speaks itself: a page that is opened, asked and clicked."""

import asyncio
import contextlib
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.product import free_ports

_NAMES = ("firefox-esr", "firefox")
_PREFERENCES = {
    "media.navigator.streams.fake": True,
    "media.navigator.permission.disabled": True,
    "media.autoplay.default": 0,
    "media.autoplay.blocking_policy": 0,
    "media.peerconnection.ice.loopback": True,
    "datareporting.policy.dataSubmissionEnabled": False,
    "app.update.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "remote.prefs.recommended": True,
}
_SECONDS = 30.0


def find() -> str | None:
    return next((path for name in _NAMES if (path := shutil.which(name))), None)


def install() -> str | None:
    """Get one with apt-get, where that may be used; None where it may not."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return None
    subprocess.run(["apt-get", "update", "-qq"], check=True)
    subprocess.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", "firefox-esr"], check=True)
    return find()


class ScriptFailed(Exception):
    """The page's script threw; the text is its."""


class Firefox:
    """One browser, one page of it at a time by `open`."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._reading = asyncio.create_task(self._read(), name="firefox")

    async def _read(self) -> None:
        async for message in self._socket:
            said = json.loads(message.data)
            future = self._waiting.pop(said.get("id"), None)
            if future is not None and not future.done():
                future.set_result(said)

    async def command(self, method: str, **parameters: Any) -> Any:
        number = next(self._ids)
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        said = await asyncio.wait_for(future, _SECONDS)
        if said["type"] == "error":
            raise ScriptFailed(f"{method}: {said['error']}: {said['message']}")
        return said["result"]

    async def open(self, address: str) -> "FirefoxPage":
        """Open a page in a container of its own: cookies are not shared with the others."""
        context = (await self.command("browser.createUserContext"))["userContext"]
        made = await self.command("browsingContext.create", type="tab", userContext=context)
        page = FirefoxPage(self, made["context"])
        await page.goto(address)
        return page

    async def close(self) -> None:
        with contextlib.suppress(ScriptFailed, TimeoutError, ConnectionError):
            await self.command("browser.close")
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        await self._socket.close()


class FirefoxPage:
    def __init__(self, firefox: Firefox, context: str) -> None:
        self._firefox = firefox
        self._context = context

    async def goto(self, address: str) -> None:
        await self._firefox.command(
            "browsingContext.navigate", context=self._context, url=address, wait="complete"
        )

    async def resize(self, width: int, height: int) -> None:
        await self._firefox.command(
            "browsingContext.setViewport", context=self._context, viewport={"width": width, "height": height}
        )

    async def prepare(self, script: str) -> None:
        """Run a script in each document this page opens from now on, before its own."""
        await self._firefox.command(
            "script.addPreloadScript", functionDeclaration=f"() => {{ {script} }}", contexts=[self._context]
        )

    async def evaluate(self, function: str, *arguments: Any) -> Any:
        """Call a JavaScript function in the page with arguments that are JSON; return what it returns."""
        given = ", ".join(json.dumps(one) for one in arguments)
        answer = await self._firefox.command(
            "script.evaluate",
            expression=f"Promise.resolve(({function})({given})).then((one) => JSON.stringify(one ?? null))",
            target={"context": self._context},
            awaitPromise=True,
            userActivation=True,
        )
        if answer["type"] == "exception":
            raise ScriptFailed(answer["exceptionDetails"]["text"])
        return json.loads(answer["result"]["value"])

    async def until(self, function: str, wanted: Any = True, *, seconds: float = _SECONDS) -> None:
        seen: Any = None
        for _ in range(int(seconds / 0.25)):
            seen = await self.evaluate(function)
            if seen == wanted:
                return
            await asyncio.sleep(0.25)
        raise AssertionError(f"{seen}, not {wanted}, of {function}")

    async def type(self, selector: str, text: str) -> None:
        """Put a text into a field, as React hears it."""
        await self.evaluate(
            """(selector, text) => {
              const field = document.querySelector(selector);
              Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set.call(field, text);
              field.dispatchEvent(new Event('input', { bubbles: true }));
            }""",
            selector,
            text,
        )

    async def click(self, label: str) -> None:
        """Click the button of that text or label, once there is one that can be."""
        for _ in range(int(_SECONDS / 0.1)):
            clicked = await self.evaluate(
                """(label) => {
                  const named = (one) => one.textContent.trim() === label
                    || one.getAttribute('aria-label') === label;
                  const found = [...document.querySelectorAll('button')].find((b) => named(b) && !b.disabled);
                  found?.click();
                  return Boolean(found);
                }""",
                label,
            )
            if clicked:
                return
            await asyncio.sleep(0.1)
        raise AssertionError(f"there is no button {label}")


@asynccontextmanager
async def running(path: str) -> AsyncIterator[Firefox]:
    """Start a Firefox with a fake camera and a profile of its own."""
    port = free_ports(1)
    with tempfile.TemporaryDirectory(prefix="firefox-", ignore_cleanup_errors=True) as profile:
        lines = [
            f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in _PREFERENCES.items()
        ]
        (Path(profile) / "user.js").write_text("\n".join(lines))
        process = await asyncio.create_subprocess_exec(
            path,
            "--headless",
            "--no-remote",
            "--profile",
            profile,
            "--remote-debugging-port",
            str(port),
            env={**os.environ, "HOME": profile, "MOZ_HEADLESS_WIDTH": "1280", "MOZ_HEADLESS_HEIGHT": "900"},
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with aiohttp.ClientSession() as client:
                firefox = Firefox(await _connect(client, port))
                await firefox.command("session.new", capabilities={})
                yield firefox
                await firefox.close()
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), 10)
            with contextlib.suppress(ProcessLookupError):
                process.kill()


async def _connect(client: aiohttp.ClientSession, port: int) -> aiohttp.ClientWebSocketResponse:
    for _ in range(int(_SECONDS / 0.2)):
        try:
            return await client.ws_connect(f"ws://127.0.0.1:{port}/session", max_msg_size=0)
        except (aiohttp.ClientError, OSError):
            await asyncio.sleep(0.2)
    raise AssertionError("Firefox did not start")


if __name__ == "__main__":
    sys.stdout.write(f"{find() or install() or 'no Firefox: its tests are skipped'}\n")
