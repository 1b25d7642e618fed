"""One world to attack for each test, in the test's own loop or, for Hypothesis, in a loop that it asks step by step."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from integration.console.conftest import open_console
from integration.gateway_console.conftest import console as served

from .world import World

__all__ = ["LoopWorld", "loop_world", "opened", "served", "world"]

Answer = TypeVar("Answer")


@dataclass
class LoopWorld:
    """`run` runs a coroutine in the loop of the world."""

    run: Callable[[Coroutine[Any, Any, Answer]], Answer]
    world: World


@contextlib.asynccontextmanager
async def opened(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    async with contextlib.asynccontextmanager(open_console)(folder, monkeypatch) as console:
        world = World(console)
        await world.build()
        try:
            yield world
        finally:
            await world.stop()
        assert world.unstorable == []


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    async with opened(tmp_path, monkeypatch) as made:
        yield made


@pytest.fixture
def loop_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopWorld]:
    with asyncio.Runner() as runner:
        stack = contextlib.AsyncExitStack()
        made = runner.run(stack.enter_async_context(opened(tmp_path, monkeypatch)))
        yield LoopWorld(runner.run, made)
        runner.run(stack.aclose())
