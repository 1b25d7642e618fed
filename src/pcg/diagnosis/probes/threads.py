"""Blocking work that may be given up: in a thread of its own that nobody waits for when the program ends.

`asyncio.to_thread` uses the loop's pool, and a loop does not close before each of its threads has ended: one disk that
hangs would hang the whole diagnosis.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

_T = TypeVar("_T")


async def in_own_thread(work: Callable[[], _T]) -> _T:
    """What `work` returns or raises. Cancelled, it leaves the thread to itself."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[_T] = loop.create_future()

    def told(result: _T | None, error: BaseException | None) -> None:
        if future.done():
            return  # given up
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]  # what `work` returned

    def run() -> None:
        result: _T | None = None
        error: BaseException | None = None
        try:
            result = work()
        except BaseException as raised:  # noqa: BLE001 - it is raised again, to whoever waits
            error = raised
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(told, result, error)

    threading.Thread(target=run, daemon=True).start()
    return await future
