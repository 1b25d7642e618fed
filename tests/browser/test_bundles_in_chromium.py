"""Download logs as a person does: asked for on the gateway's page, followed without reloading, taken home, read."""

from __future__ import annotations

import hashlib
import tarfile
from pathlib import Path

import pytest
from playwright.async_api import expect

from .conftest import Served

pytestmark = pytest.mark.browser


async def test_a_gateway_s_logs_come_by_the_page_and_are_looked_at_on_arrival(served: Served) -> None:
    async with served.visit() as visit:
        await visit.sign_in()
        page = visit.page
        code = await visit.add_gateway("one")
        async with served.installer(code):
            await page.locator("#registered-configure").wait_for()
            await page.get_by_role("link", name="one", exact=True).first.click()
            await page.get_by_role("link", name="Download logs").click()
            await page.get_by_label("Host names, addresses and users by pseudonyms").check()
            await page.get_by_role("button", name="Download logs").click()

            # Not reloaded by anybody: the page follows the gateway's work until the archive is here.
            await page.evaluate("window.sameDocument = true")
            await expect(page.locator("#bundle h1")).to_contain_text("Ready", ignore_case=True, timeout=90_000)
            assert await page.evaluate("window.sameDocument")
            await expect(page.locator("#bundle")).to_contain_text("names by pseudonyms")
            await expect(page.locator("#bundle")).to_contain_text("Found in these logs")
            await expect(page.locator("#bundle")).to_contain_text("Not in the archive, or not whole")

            async with page.expect_download() as download:
                await page.locator("#do-download").click()
            taken = await download.value
            archive = Path(await taken.path())
            shown = await page.locator("#bundle code.fingerprint").inner_text()
            assert hashlib.sha256(archive.read_bytes()).hexdigest() == "".join(shown.split()).replace(":", "").lower()
            assert taken.suggested_filename.startswith("spectro-logs-")
            with tarfile.open(archive) as opened:
                names = opened.getnames()
            assert any(name.endswith("manifest.json") for name in names)
            assert code not in archive.read_bytes().decode(errors="replace")

            assert str(served.data) not in await page.content()  # where it lies on the console is nobody's business
            await page.set_viewport_size({"width": 360, "height": 800})
            assert await visit.wider_than_the_screen() <= 0

        # It has left: what was fetched is still to be had, and another is refused with the reason.
        await page.get_by_role("link", name="Logs", exact=True).click()
        await expect(page.get_by_role("list").locator("li", has_text="asked for by admin@example.com")).to_have_count(1)
        await page.get_by_role("button", name="Download logs").click()
        await expect(page.locator("#errors")).to_contain_text("The gateway has no session with the console now.")
        visit.complaints = [said for said in visit.complaints if "409" not in said]  # the browser tells of the status
        assert (visit.complaints, visit.foreign) == ([], [])
