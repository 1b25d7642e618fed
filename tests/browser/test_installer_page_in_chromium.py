"""The installer's own page in Chromium, beside a real installer: fresh by itself, a log that grows, every task."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import expect

from .conftest import Served, Visit

pytestmark = pytest.mark.browser

_STARTED_WITHIN = 30
"""seconds"""


@contextlib.asynccontextmanager
async def monitor(state: Path, logs: Path) -> AsyncIterator[tuple[str, str]]:
    """`pcg monitor` beside the installer of this state folder: its address, and the password of its screen."""
    screen = logs.with_name("screen")
    options = ["--listen", "127.0.0.1:0", "--state", str(state), "--screen", str(screen), "--log-folder", str(logs)]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PCG_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pcg.cli.main", "monitor", *options,
        env=environment, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    try:
        async with asyncio.timeout(_STARTED_WITHIN):
            line = (await process.stderr.readline()).decode()
        ready = re.search(r"https://\S+", line)
        shown = re.search(r"password +(\S+)", screen.read_text())
        assert ready and shown, line
        yield ready[0], shown[1]
    finally:
        process.kill()
        await process.communicate()


async def _enter(visit: Visit, password: str) -> None:
    await visit.page.goto(f"{visit.url}/")
    await visit.page.get_by_label("Password").fill("not this one")
    await visit.page.get_by_role("button", name="Sign in").click()
    await expect(visit.page.get_by_label("Password")).to_be_visible()
    # The browser itself names an answer of 401.
    assert all("401" in complaint for complaint in visit.complaints)
    visit.complaints.clear()
    await visit.page.get_by_label("Password").fill(password)
    await visit.page.get_by_role("button", name="Sign in").click()
    await visit.page.get_by_role("heading", level=1).wait_for()


async def test_it_stays_fresh_follows_a_log_and_runs_every_task(served: Served, tmp_path: Path):
    logs = tmp_path / "log"
    logs.mkdir()
    log = logs / "cloud-init-output.log"
    log.write_text("the first line <b>\n")
    state = served.data.parent / "installer"
    async with contextlib.AsyncExitStack() as stack:
        visit = await stack.enter_async_context(served.visit())
        await visit.sign_in()
        code = await visit.add_gateway("one")
        url, password = await stack.enter_async_context(monitor(state, logs))
        here = await stack.enter_async_context(served.visit())
        here.url = url
        await _enter(here, password)
        page = here.page
        await expect(page.locator("#live")).to_have_text("Live")
        await expect(page.locator("#head")).to_contain_text("No gateway process has told anything")
        await page.evaluate("window.loadedOnce = true")
        installer = contextlib.AsyncExitStack()
        await installer.enter_async_context(served.installer(code))
        async with installer:
            # By itself, and without a reload.
            await expect(page.locator("#head .badge")).to_have_text("Running", timeout=30_000)
            await expect(page.locator("#facts")).to_contain_text("connected", timeout=30_000)
            await expect(page.locator("#bootstrap")).to_contain_text("as one", timeout=30_000)
            await expect(page.locator("#events")).to_contain_text("FindingOpened", timeout=30_000)
            assert await page.evaluate("window.loadedOnce") is True
            await expect(page.locator("#findings")).to_contain_text("Worth knowing")

            await page.get_by_role("link", name="Logs").click()
            await page.get_by_role("link", name="cloud-init-output", exact=True).click()
            lines = page.locator("#log")
            await expect(lines).to_have_text("the first line <b>\n")
            await expect(page.locator("#live")).to_have_text("Live")
            with log.open("a") as file:
                file.write("a second\n")
            await expect(lines).to_contain_text("a second")
            await page.get_by_role("button", name="Pause").click()
            with log.open("a") as file:
                file.write("while it was held\n")
            await expect(page.get_by_role("button", name=re.compile("Go on"))).to_contain_text("1 new")
            await expect(lines).not_to_contain_text("while it was held")
            await page.get_by_role("button", name=re.compile("Go on")).click()
            await expect(lines).to_have_text("the first line <b>\na second\nwhile it was held\n")

            await page.get_by_role("link", name="Diagnostic tasks").click()
            for name, told in (
                ("gateway", "process: running"), ("logs", "lines in 1 files"), ("machine", "console: tls"),
            ):  # fmt: skip
                await page.locator(f"#run-{name}").click()
                await expect(page.locator(f"#result-{name}")).to_contain_text(told, timeout=30_000)
                await expect(page.locator(f"#result-{name} .badge").first).not_to_have_text("Running")
            await expect(page.locator("#result-gateway .badge").first).to_have_text("Well")
            await page.get_by_role("link", name="Logs").click()
            async with page.expect_download(timeout=60_000) as download:
                await page.get_by_role("button", name="Download all").click()
            bundle = await (await download.value).path()
            with tarfile.open(bundle) as archive:
                assert {"manifest.json", "pcg/steps.json"} <= set(archive.getnames())
        await page.get_by_role("link", name="Status").click()
        await expect(page.locator("#head")).to_contain_text("process is not running since")
        await page.set_viewport_size({"width": 360, "height": 800})
        for path in ("/", "/logs", "/logs/cloud-init-output", "/tasks"):
            await page.goto(f"{url}{path}")
            assert await here.wider_than_the_screen() <= 0, path
        assert (here.complaints, here.foreign) == ([], [])
