"""Transactions are never cut off in their middle. Used by tasks that others may cancel: sessions and housekeeping."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")


async def whole(transaction: Coroutine[Any, Any, _T]) -> _T:
    """A transaction that began is finished even when the caller is cancelled meanwhile."""
    task = asyncio.create_task(transaction)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
