"""A finding as a person sees it: beside its step and its event while it is there, then in the history."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from .conftest import Served

pytestmark = pytest.mark.browser


async def test_a_finding_is_seen_beside_its_step_and_its_event_and_closes_by_itself(served: Served):
    async with served.visit() as visit:
        await visit.sign_in()
        page = visit.page
        async with served.installer(await visit.add_gateway("one")):
            await page.locator("#registered-configure").click()
            for label, value in (
                ("Address of its API", "127.0.0.1:1"), ("User name", "svc-pcg"), ("Password", "secret"),
                ("Datacenter", "dc-1"), ("Cluster", "c-1"), ("Datastore", "ds-1"), ("Network", "VM Network"),
                ("Image", "node-1.30"),
            ):  # fmt: skip
                await page.get_by_label(label, exact=True).fill(value)
            await page.get_by_role("button", name="Save configuration").click()
            # Nobody listens at port 1.
            step = page.locator("#step-connect")
            await expect(step.locator(".finding")).to_contain_text("image-deploy-failed/vcenter-unreachable")
            await expect(step.locator(".evidence")).to_contain_text("127.0.0.1:1")
            await expect(step).to_contain_text("What to do")
            await page.locator("#findings").get_by_role("link", name="beside the step").click()
            await expect(step).to_be_in_viewport()

            await page.get_by_role("link", name="Events").click()
            row = page.locator("#events tr", has_text="vcenter-unreachable").first
            await row.get_by_text("Evidence and remedy").click()
            await expect(row.locator(".evidence")).to_contain_text("127.0.0.1:1")
            await expect(page.locator("#live")).to_have_text("Live")

            # The cause goes: nothing is wanted any more. The script writes the event as the server does.
            await page.locator("#do-reset").click()
            await page.get_by_role("button", name="Reset").click()
            await page.get_by_role("link", name="Events").click()
            await expect(page.locator("#live")).to_have_text("Live")
            over = page.locator("#events tr.new", has_text="Over: The data center").first
            # It is held back for ten seconds.
            await expect(over.get_by_text("Evidence and remedy")).to_be_visible(timeout=30_000)
            written = await over.evaluate("row => [row.textContent, row.querySelectorAll('li, p, h4').length]")
            await page.reload()
            again = page.locator("#events tr", has_text="Over: The data center").first
            rendered = await again.evaluate("row => [row.textContent, row.querySelectorAll('li, p, h4').length]")
            assert ["".join(str(part).split()) for part in written] == ["".join(str(part).split()) for part in rendered]

            await page.get_by_role("link", name="Overview").click()
            await expect(page.locator("#findings .finding")).to_have_count(0)
            history = page.locator("#history details").first
            await history.locator("summary").click()
            await expect(history.locator(".evidence")).to_contain_text("127.0.0.1:1")
            await page.set_viewport_size({"width": 360, "height": 800})
            assert await visit.wider_than_the_screen() <= 0
        assert (visit.complaints, visit.foreign) == ([], [])
