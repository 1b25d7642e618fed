"""Waiting for whichever comes first, without leaving the others behind."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from pcg.clock import Clock


async def first(*coroutines: Coroutine[Any, Any, Any]) -> None:
    """Until one is done; the others are cancelled and over when this returns. Raises what the done one raised."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


async def event_or_time(event: asyncio.Event, clock: Clock, seconds: float | None) -> None:
    """Until `event` is set, or for `seconds` of the clock at most."""
    if seconds is None:
        await event.wait()
    elif not event.is_set():
        await first(_set(event), clock.sleep(max(0.0, seconds)))


async def _set(event: asyncio.Event) -> None:
    await event.wait()
