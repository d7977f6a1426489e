"""Real browsers with fake cameras."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright

from tests.browser import chromium
from tests.product import PASSWORD, Product

OpenPage = Callable[..., Awaitable[Page]]


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(
            executable_path=chromium.find(), args=chromium.FLAGS, ignore_default_args=["--headless"]
        )
        yield running
        await running.close()


async def signed_in(
    browser: Browser,
    product: Product,
    email: str,
    *,
    process: int = 0,
    language: str = "en",
    width: int = 1280,
    permissions: Sequence[str] = ("camera", "microphone"),
) -> Page:
    """Open a page in a context of its own and sign in.

    Connections of a page with no permissions bind to no network, as those of real pages do; a camera it has
    all the same, for our browsers say yes to whoever asks for one.
    """
    context = await browser.new_context(
        permissions=permissions, locale=language, viewport={"width": width, "height": 800}
    )
    page = await context.new_page()
    await sign_in(page, product.url(process), email)
    return page


async def sign_in(page: Page, origin: str, email: str) -> None:
    await page.goto(origin + "/sign-in")
    await page.fill("input[type=email]", email)
    await page.fill("input[type=password]", PASSWORD)
    await page.click("button[type=submit]")
    await page.wait_for_url("**/classes")


@pytest.fixture
async def open_page(browser: Browser, product: Product) -> AsyncIterator[OpenPage]:
    """A page of somebody who is signed in, in a browser context of their own; a fault fails the test.

    A fault is an error nobody caught, or something our own content policy blocked.
    """
    contexts = []
    faults: list[str] = []

    def blocked(message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            faults.append(message.text)

    async def open_one(email: str, **wanted: Any) -> Page:
        page = await signed_in(browser, product, email, **wanted)
        contexts.append(page.context)
        page.on("pageerror", lambda error: faults.append(f"{email}: {error}"))
        page.on("console", blocked)
        return page

    yield open_one
    for context in contexts:
        await context.close()
    assert not faults, faults
