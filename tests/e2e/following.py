"""Waiting for what the console tells of a gateway, bounded in time. Used by the tests with real processes."""

from __future__ import annotations

import asyncio
from typing import Any

from pcg.cli.client import ConsoleClient

LIMIT = 60.0


async def reached(console: ConsoleClient, path: str, state: str) -> dict[str, Any]:
    """The gateway, once it is in that state."""
    gateway: dict[str, Any] = {}
    try:
        async with asyncio.timeout(LIMIT):
            while gateway.get("state") != state:
                gateway = dict(await console.call("GET", path))
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"never {state}: {gateway}") from None
    return gateway


async def told(console: ConsoleClient, path: str, reason: str, *, times: int = 1) -> None:
    """Once there are so many events of that reason."""
    async with asyncio.timeout(LIMIT):
        while [event["reason"] for event in await console.items(f"{path}/events", limit=500)].count(reason) < times:
            await asyncio.sleep(0.1)
