"""A world to attack. Files of many small attacks share one (`integration/conftest.py`), and each finds it as if it were
new (`World.begin`).

After each test nothing may have reached the store that PostgreSQL would not take. Hypothesis, whose examples are plain
functions, asks a loop step by step.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
import pytest_asyncio

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


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        async with opened(tmp_path_factory.mktemp("world"), monkeypatch) as made:
            yield made


@pytest_asyncio.fixture(loop_scope="module")
async def begun_world(shared_world: World) -> World:
    await shared_world.begin()
    return shared_world


@pytest.fixture
async def new_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    async with opened(tmp_path, monkeypatch) as made:
        yield made


@pytest.fixture
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    made: World = request.getfixturevalue("begun_world" if request.node.get_closest_marker("shared") else "new_world")
    yield made
    assert made.unstorable == []


@pytest.fixture(scope="module")
def shared_loop_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopWorld]:
    with pytest.MonkeyPatch.context() as monkeypatch, asyncio.Runner() as runner:
        stack = contextlib.AsyncExitStack()
        made = runner.run(stack.enter_async_context(opened(tmp_path_factory.mktemp("world"), monkeypatch)))
        yield LoopWorld(runner.run, made)
        runner.run(stack.aclose())


@pytest.fixture
def loop_world(shared_loop_world: LoopWorld) -> Iterator[LoopWorld]:
    shared_loop_world.run(shared_loop_world.world.begin())
    yield shared_loop_world
    assert shared_loop_world.world.unstorable == []
