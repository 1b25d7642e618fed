"""One API server for each test, and an administrator's client of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from .api_server import Server


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def api(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    async with server.client() as client:
        yield client
