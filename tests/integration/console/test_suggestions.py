"""What the form offers while it is filled in: names of the gateway's own cloud, and nothing that could hurt."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from html import unescape
from typing import Any

import pytest

from pcg.console.web import suggestions
from pcg.console.web.suggestions import MOST_NAMES, suggestions_of
from pcg.errors import TryAgain

from .browsing import Browser, Form, signed_in
from .conftest import Console

pytestmark = pytest.mark.shared

INVENTORY: dict[str, Any] = {
    "datacenters": [{"name": "dc-1", "path": "dc-1"}],
    "clusters": [{"name": "c-1", "path": "c-1", "datacenter": "dc-1"}],
    "resource_pools": [{"name": "Resources", "path": "Resources", "datacenter": "dc-1", "cluster": "c-1"}],
    "folders": [{"name": "x", "path": "a/x"}, {"name": "x", "path": "b/x"}, {"name": '"><script>', "path": "p"}],
    "datastores": [{"name": "ds-1", "path": "ds-1", "datacenter": "dc-1", "free_gib": 812, "capacity_gib": 8192}],
    "networks": [{"name": "VM Network", "path": "VM Network"}],
    "cut": 0,
}


@pytest.fixture
async def browser(console: Console) -> AsyncIterator[Browser]:
    opened = await signed_in(console)
    yield opened
    await opened.client.aclose()


class Asked:
    """The hub's answers to the page's questions, in order; the last one again and again."""

    def __init__(self, console: Console, monkeypatch: pytest.MonkeyPatch, gateway_id: str, *answers: Any) -> None:
        self.count = 0
        self._answers = list(answers)
        monkeypatch.setattr(console.app.state.hub, "request", self._request)
        console.service.presence.arrived(gateway_id, console.service.clock.now())

    async def _request(self, _gateway: str, verb: str, _arguments: dict[str, Any], _actor: object) -> Any:
        assert verb == "inventory"
        self.count += 1
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        if answer is None:
            await asyncio.Event().wait()
        return answer


def offered(page: str, part: str) -> list[str]:
    (listed,) = re.findall(rf'<datalist id="offered-{part}">(.*?)</datalist>', page, re.DOTALL)
    return [unescape(value) for value in re.findall(r'<option value="(.*?)"', listed)]


async def test_the_form_offers_what_the_cloud_has(
    console: Console, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway_id, _ = await console.configured()
    asked = Asked(console, monkeypatch, gateway_id, INVENTORY)
    path = f"/gateways/{gateway_id}/configure"
    page = (await browser.get(path)).text
    assert offered(page, "cluster") == ["c-1"]
    assert offered(page, "folder") == ["a/x", "b/x", '"><script>'], "a name that stands for two is given by its path"
    assert 'label="dc-1, 812 GiB free"' in page
    assert re.search(r'<input id="placement.0.datastore"[^>]* list="offered-datastore"', page)
    assert Form(page).inline == []
    # Another press of a button asks nobody again.
    more = await browser.post(path, {**Form(page).fields, "do": "add-placement"})
    assert re.search(r'<input id="placement.1.network"[^>]* list="offered-network"', more.text)
    wrong = await browser.post(path, {**Form(page).fields, "do": "save", "placement.0.cluster": ""})
    assert (wrong.status_code, offered(wrong.text, "cluster")) == (422, ["c-1"])
    assert asked.count == 1


@pytest.mark.parametrize(
    "answer", [TryAgain("No.", reason="cloud-not-connected"), None, {"clusters": "c-1"}, {"clusters": [1, {"name": 2}]}]
)
async def test_the_form_works_without(
    console: Console, browser: Browser, monkeypatch: pytest.MonkeyPatch, answer: Any
) -> None:
    monkeypatch.setattr(suggestions, "SECONDS", 0.05)
    gateway_id, _ = await console.configured()
    asked = Asked(console, monkeypatch, gateway_id, answer)
    for _ in range(2):
        page = await browser.get(f"/gateways/{gateway_id}/configure")
        assert page.status_code == 200
        assert "datalist" not in page.text and " list=" not in page.text
    assert asked.count == 1


async def test_nobody_is_asked_for_a_gateway_that_is_away_or_not_configured(
    console: Console, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    away, _ = await console.configured()
    new, _ = await console.registered("new")
    asked = Asked(console, monkeypatch, new, INVENTORY)
    for gateway_id in (away, new):
        assert "datalist" not in (await browser.get(f"/gateways/{gateway_id}/configure")).text
    assert asked.count == 0


def test_a_hostile_answer_is_bounded() -> None:
    many = [{"name": f"n-{number}", "path": "p"} for number in range(100_000)]
    found = suggestions_of({"clusters": many, "folders": [{"name": "x" * 513, "path": []}], "networks": {"a": 1}})
    assert list(found) == ["cluster"]
    assert len(found["cluster"]) == MOST_NAMES
