"""A browser without a browser, for the tests of the pages: forms as they would be sent back, and who is signed in."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

import httpx

from pcg.console.store.models import Gateway
from pcg.console.streams import Topic
from pcg.model.records import GatewayStatus
from pcg.model.states import Role

from .conftest import BASE, EMAIL, PASSWORD, Console


@dataclass
class Form(HTMLParser):
    """The last form of a page: what a browser would send back. Also every address that the page names."""

    html: str
    fields: dict[str, str] = field(default_factory=dict)
    addresses: list[tuple[str, str]] = field(default_factory=list)
    inline: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self._area: str | None = None
        self.feed(self.html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.addresses += [(tag, given[name]) for name in ("href", "src", "action") if name in given]
        self.inline += [name for name in given if name == "style" or name.startswith("on")]
        self.inline += ["script"] if tag == "script" and "src" not in given else []
        name, kind = given.get("name", ""), given.get("type", "text")
        if tag == "input" and name and (kind not in ("radio", "checkbox") or "checked" in given):
            self.fields[name] = given.get("value", "")
        if tag == "textarea":
            self._area, self.fields[name] = name, ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea" and self._area is not None:
            self.fields[self._area] = self.fields[self._area].removeprefix("\n")
            self._area = None

    def handle_data(self, data: str) -> None:
        if self._area is not None:
            self.fields[self._area] += data


@dataclass
class Browser:
    client: httpx.AsyncClient

    async def get(self, path: str) -> httpx.Response:
        return await self.client.get(path)

    async def form(self, path: str) -> dict[str, str]:
        answer = await self.get(path)
        assert answer.status_code == 200, answer.text
        return Form(answer.text).fields

    async def post(self, path: str, fields: dict[str, str], **headers: str) -> httpx.Response:
        return await self.client.post(path, data=fields, headers={"Origin": BASE, **headers})


def anonymous(console: Console) -> Browser:
    return Browser(console.anonymous(Accept="text/html,application/xhtml+xml"))


async def signed_in(console: Console, email: str = EMAIL) -> Browser:
    browser = anonymous(console)
    answer = await browser.post("/sign-in", {"email": email, "password": PASSWORD, "next": "/"})
    assert answer.status_code == 303, answer.text
    return browser


async def with_role(console: Console, role: Role) -> Browser:
    await console.as_role(role)
    return await signed_in(console, f"some-{role.value}@example.com")


async def told(console: Console, gateway_id: str, status: GatewayStatus) -> None:
    """What the gateway's hub session would store."""
    async with console.service.database.write() as session:
        row = await session.get(Gateway, gateway_id)
        assert row is not None
        row.status = status.model_dump(mode="json")
    console.service.streams.notify(gateway_id, Topic.STATUS)
