"""How a command that holds processes and a folder ends early: SIGTERM as Ctrl-C, all is unwound before it goes."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

import click

Answer = TypeVar("Answer")
ENDED_BY_SIGTERM = 128 + signal.SIGTERM
"""exit code, as shells tell it of a process that the signal killed"""


def run_to_the_end(main: Coroutine[Any, Any, Answer]) -> Answer:
    """asyncio.run, cancelled by the first SIGTERM. Raises click's Exit when that ended it."""

    async def cancellable() -> Answer:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None

        def end() -> None:
            if not task.cancelling():  # another one must not cut short what takes everything down
                task.cancel()

        loop.add_signal_handler(signal.SIGTERM, end)
        try:
            return await main
        finally:
            loop.remove_signal_handler(signal.SIGTERM)

    try:
        return asyncio.run(cancellable())
    except asyncio.CancelledError:
        raise click.exceptions.Exit(ENDED_BY_SIGTERM) from None
