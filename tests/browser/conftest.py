"""The real console as a process of its own, served over TLS on loopback, and Debian's Chromium to look at it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, Request, async_playwright

EMAIL = "admin@example.com"
PASSWORD = "correct horse battery"

_CHROMIUM = [
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
_STARTED_WITHIN = 30
"""seconds"""


@dataclass
class Visit:
    """A window of the browser that remembers whatever it complained about and whom it asked."""

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._asked)

    async def sign_in(self) -> None:
        await self.page.goto(f"{self.url}/")
        await self.page.get_by_label("E-mail").fill(EMAIL)
        await self.page.get_by_label("Password").fill(PASSWORD)
        await self.page.get_by_role("button", name="Sign in").click()
        await self.page.get_by_role("heading", name="Gateways").wait_for()

    async def add_gateway(self, name: str) -> str:
        """Its pairing code; the page that shows it stays open."""
        await self.page.goto(f"{self.url}/")
        await self.page.get_by_role("link", name="Add gateway").click()
        await self.page.get_by_label("Name").fill(name)
        await self.page.get_by_label("Simulated data center").check()
        await self.page.get_by_role("button", name="Add and show the pairing code").click()
        return await self.page.locator("#pairing-code").inner_text()

    async def wider_than_the_screen(self) -> int:
        root = "document.documentElement"
        return int(await self.page.evaluate(f"{root}.scrollWidth - {root}.clientWidth"))

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def _asked(self, request: Request) -> None:
        if not request.url.startswith(self.url):
            self.foreign.append(request.url)


@dataclass
class Served:
    """A console's process; `installer` starts another process against it."""

    url: str
    data: Path
    browser: Browser

    @contextlib.asynccontextmanager
    async def visit(self, *, width: int = 1280, script: bool = True) -> AsyncIterator[Visit]:
        context = await self.browser.new_context(
            ignore_https_errors=True, viewport={"width": width, "height": 800}, java_script_enabled=script
        )
        async with context:
            context.set_default_timeout(_STARTED_WITHIN * 1000)
            yield Visit(await context.new_page(), self.url)

    @contextlib.asynccontextmanager
    async def installer(self, code: str) -> AsyncIterator[None]:
        state = self.data.parent / "installer"
        options = ("install", "--endpoint", self.url, "--ca-file", str(self.data / "ca.pem"), "--state", str(state))
        async with _process(*options, PCG_PAIRING_CODE=code):
            yield


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    data = tmp_path / "data"
    options = ("console", "serve", "--listen", "127.0.0.1:0", "--data", str(data))
    async with (
        _process(*options, PCG_ADMIN_EMAIL=EMAIL, PCG_ADMIN_PASSWORD=PASSWORD) as process,
        async_playwright() as playwright,
    ):
        assert process.stdout is not None
        async with asyncio.timeout(_STARTED_WITHIN):
            line = (await process.stdout.readline()).decode()
        ready = re.fullmatch(r"console ready at (https://\S+)\n", line)
        assert ready, line
        browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=_CHROMIUM)
        async with browser:
            yield Served(ready[1], data, browser)


@contextlib.asynccontextmanager
async def _process(*options: str, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PCG_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pcg.cli.main", *options,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL, env=inherited | environment,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
