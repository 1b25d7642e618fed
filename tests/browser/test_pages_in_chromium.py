"""What only a browser can tell: clicks, scripts under the strict policy, live news, keyboard, and small screens."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import expect

from .conftest import Served, Visit

pytestmark = pytest.mark.browser

_MARK = "window.loadedOnce = true"
_WIDGET_CORNER = {"x": 60, "y": 90}


async def _open_through_the_widget(visit: Visit, name: str) -> None:
    """A click anywhere on the widget, not on its name."""
    await visit.page.goto(f"{visit.url}/")
    await visit.page.locator(".widget", has_text=name).click(position=_WIDGET_CORNER)
    await visit.page.get_by_role("heading", name=name).wait_for()


async def test_a_gateway_is_added_opened_and_seen_to_register_live(served: Served):
    async with served.visit() as visit, served.visit() as second:
        await visit.sign_in()
        code = await visit.add_gateway("Frankfurt 2")
        await expect(visit.page.get_by_text("Waiting for the installer.")).to_be_visible()
        await expect(visit.page.locator("#live")).to_have_text("Live")

        await second.sign_in()
        await _open_through_the_widget(second, "Frankfurt 2")
        await second.page.get_by_role("link", name="Events").click()
        await expect(second.page.get_by_text("No event yet.")).to_be_visible()
        await expect(second.page.locator("#live")).to_have_text("Live")
        for window in (visit, second):
            await window.page.evaluate(_MARK)

        async with served.installer(code):
            await expect(second.page.locator("#events tr").first).to_be_visible()
            await expect(second.page.locator("#events")).to_contain_text("registered")
            await expect(second.page.locator("#head .badge")).to_have_text("Pending")
            await expect(second.page.get_by_text("No event yet.")).to_be_hidden()
            await expect(visit.page.locator("#registration")).to_contain_text("Compare this fingerprint")
            await expect(visit.page.locator("#pairing-code")).to_have_text(code)
            for window in (visit, second):
                assert await window.page.evaluate("window.loadedOnce") is True, "it was loaded again"

            shown = await visit.page.locator("#registration .fingerprint").inner_text()
            assert re.fullmatch(r"([0-9a-f]{4} ?){5}", shown)
            rows = await second.page.locator("#events tr").all_inner_texts()
            await second.page.reload()
            # Newest first: others may have come meanwhile.
            after = await second.page.locator("#events tr").all_inner_texts()
            assert after[-len(rows) :] == rows, "script and server write alike"
        for window in (visit, second):
            assert (window.complaints, window.foreign) == ([], [])


async def test_a_registered_gateway_is_configured_by_its_widgets_button(served: Served):
    async with served.visit() as visit:
        await visit.sign_in()
        page = visit.page
        async with served.installer(await visit.add_gateway("one")):
            await page.locator("#registered-configure").wait_for()
            await page.goto(f"{visit.url}/")
            await page.evaluate(_MARK)
            await page.locator(".widget").get_by_role("link", name="Configure").click()
            await page.get_by_role("heading", name="Configure one").wait_for()

            await expect(page.get_by_label("Thumbprint (SHA-256)")).to_be_hidden()
            await page.get_by_label("thumbprint", exact=True).check()
            await expect(page.get_by_label("Thumbprint (SHA-256)")).to_be_visible()
            await page.get_by_label("Address of its API").fill("127.0.0.1:1")
            # Enter saves; it must not press the first button that is seen, which changes the tab.
            await page.get_by_label("User name").fill("svc-pcg")
            await page.keyboard.press("Enter")
            await expect(page.locator("#errors")).to_be_focused()
            await expect(page.get_by_label("Address of its API")).to_have_value("127.0.0.1:1")
            await page.locator("#errors").get_by_role("link", name="vcenter.trust.thumbprint").click()
            await expect(page.get_by_label("Thumbprint (SHA-256)")).to_be_in_viewport()
            assert [text for text in visit.complaints if "422" not in text] == []

            await page.get_by_label("the system's CAs").check()
            for label, value in (
                ("Password", "secret"), ("Datacenter", "dc-1"), ("Cluster", "c-1"), ("Datastore", "ds-1"),
                ("Network", "VM Network"), ("Image", "node-1.30"),
            ):  # fmt: skip
                await page.get_by_label(label, exact=True).fill(value)
            await page.get_by_role("button", name="YAML").click()
            await expect(page.locator("#yaml")).to_have_value(re.compile("datacenter: dc-1"))
            assert "secret" not in await page.content()
            await page.get_by_role("button", name="Form").click()
            await page.get_by_label("Password").fill("secret")
            await page.get_by_role("button", name="Save configuration").click()
            await expect(page.locator("#head .badge")).to_have_text("Provisioning")
            # The gateway takes it up at once; what it tells arrives without a reload.
            await page.evaluate(_MARK)
            await expect(page.locator(".step").first).to_contain_text("Done")
            assert await page.evaluate("window.loadedOnce") is True
            assert visit.foreign == []


async def test_pages_work_without_a_script(served: Served):
    async with served.visit(script=False) as visit:
        await visit.sign_in()
        await visit.add_gateway("plain")
        await _open_through_the_widget(visit, "plain")
        await expect(visit.page.get_by_text("Validate Configuration")).to_be_visible()
        await visit.page.get_by_role("link", name="Delete").click()
        await visit.page.get_by_role("button", name="Delete plain").click()
        await expect(visit.page.get_by_text("There is no gateway yet.")).to_be_visible()


async def test_the_keyboard_reaches_everything_in_order(served: Served):
    async with served.visit() as visit:
        await visit.sign_in()
        await visit.add_gateway("keys")
        await visit.page.goto(f"{visit.url}/")
        reached = []
        for _ in range(11):
            await visit.page.keyboard.press("Tab")
            reached.append(str(await visit.page.evaluate("document.activeElement.textContent.trim()")))
        assert reached == [
            "Skip to the content", "pcg console", "Gateways", "Users", "API keys", "Audit", "Account", "Sign out",
            "Add gateway", "keys", "New pairing code for keys",
        ]  # fmt: skip
        await visit.page.keyboard.press("Shift+Tab")
        await visit.page.keyboard.press("Enter")
        await visit.page.get_by_role("heading", name="keys").wait_for()


async def test_nothing_is_wider_than_a_small_phone(served: Served):
    async with served.visit(width=360) as visit:
        await visit.sign_in()
        await visit.add_gateway("A-rather-long-name-of-a-gateway-without-any-blank-between-words")
        assert await visit.wider_than_the_screen() <= 0
        await visit.page.goto(f"{visit.url}/")
        path = await visit.page.locator(".stretched").get_attribute("href")
        for page in ("/", "/gateways/new", path, f"{path}/events", f"{path}/configuration", f"{path}/delete"):
            await visit.page.goto(f"{visit.url}{page}")
            assert await visit.wider_than_the_screen() <= 0, page


async def test_who_signs_out_elsewhere_is_led_to_the_sign_in_at_the_next_news(served: Served):
    async with served.visit() as visit:
        await visit.sign_in()
        await visit.add_gateway("first")
        other = await visit.page.context.new_page()
        await other.goto(f"{visit.url}/")
        await expect(other.locator("#live")).to_have_text("Live")
        await visit.page.get_by_role("button", name="Sign out").click()
        await visit.page.get_by_role("heading", name="Sign in").wait_for()
        async with served.visit() as stranger:
            await stranger.sign_in()
            await stranger.add_gateway("second")
        await other.get_by_role("heading", name="Sign in").wait_for()
