"""A real forward proxy on loopback between the real console and the gateway's real bootstrap and session."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from integration.gateway_console import conftest as both_sides
from integration.gateway_console.conftest import Console, Gateway, console, until
from pcg.clouds.lab.edge.forward_proxy import ForwardProxy
from pcg.network.proxies import Proxies
from pcg.network.websocket import open_websocket

__all__ = ["Console", "Gateway", "console", "until"]

USER, PASSWORD = "svc proxy", "p@ss:w/rd#%"
CREDENTIALS = "svc%20proxy:p%40ss%3Aw%2Frd%23%25"


class Through:
    """A gateway that reaches the console only through `proxy`."""

    def __init__(self, proxy: ForwardProxy, console: Console, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.proxy = proxy
        self.url = f"http://{CREDENTIALS}@{proxy.address}"
        self.gateway = Gateway(console, folder)
        self.console = console
        self.code = ""
        dial = partial(open_websocket, proxies=Proxies(https=self.url))
        monkeypatch.setattr(both_sides, "open_websocket", dial)

    async def register(self, **more: Any) -> None:
        self.code = self.code or (await self.console.create())["pairing_code"]
        await self.gateway.register(self.code, https_proxy=self.url, **more)

    def again(self) -> None:
        """Break what is open; whatever connects next meets the faults of now."""
        self.proxy.cut()
        self.console.relay.cut()

    def all_texts(self) -> str:
        return "\n".join(self.gateway.said)


@pytest.fixture
async def proxy(tmp_path: Path) -> AsyncIterator[ForwardProxy]:
    folder = tmp_path / "edge"
    folder.mkdir()
    made = ForwardProxy(folder, user=USER, password=PASSWORD)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
def through(proxy: ForwardProxy, console: Console, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Through:
    folder = tmp_path / "gateway"
    folder.mkdir()
    return Through(proxy, console, folder, monkeypatch)
