"""Cancelled at any moment, a transaction is whole or undone, and none of its connections and threads stays behind."""

from __future__ import annotations

import asyncio
import gc
import random
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DisconnectionError

from pcg.console.store.database import Database, sqlite_url


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    made = Database(sqlite_url(tmp_path / "store.db"))
    async with made.write() as session:
        await session.execute(text("create table pairs (writer integer, part integer)"))
    try:
        yield made
    finally:
        await made.close()


async def _write_pair(database: Database, writer: int) -> None:
    async with database.write() as session:
        for part in (1, 2):
            await session.execute(text("insert into pairs values (:writer, :part)"), {"writer": writer, "part": part})


async def _read_pairs(database: Database) -> set[int]:
    async with database.read() as session:
        rows = await session.execute(text("select writer, count(*) from pairs group by writer"))
        return {int(count) for _, count in rows}


async def _use(database: Database, writer: int) -> None:
    await _read_pairs(database)
    await _write_pair(database, writer)


async def _leave_scope(seconds: float, database: Database, writer: int) -> None:
    """As a request that its browser leaves: every wait within is cancelled, again and again."""
    with anyio.move_on_after(seconds):
        await _use(database, writer)


async def _cancel_once(seconds: float, database: Database, writer: int) -> None:
    using = asyncio.create_task(_use(database, writer))
    await asyncio.wait([using], timeout=seconds)
    using.cancel()
    await asyncio.wait([using])


LEAVING = pytest.mark.parametrize("leave", [_leave_scope, _cancel_once])


@LEAVING
async def test_nothing_stays_open_of_a_database_that_was_left_and_closed(
    leave: object, tmp_path: Path, database: Database
) -> None:
    assert callable(leave)
    chance = random.Random(7)
    await _read_pairs(database)
    before = set(threading.enumerate())
    for attempt in range(60):
        fresh = Database(sqlite_url(tmp_path / "store.db"))  # so that connecting is left too
        after = chance.random() * 0.02
        await asyncio.gather(*(leave(after, fresh, attempt * 3 + number) for number in range(3)))
        await fresh.close()
    gc.collect()  # a lost connection warns, and a warning is an error
    left = set(threading.enumerate()) - before
    assert not [thread for thread in left if "_connection_worker_thread" in thread.name]
    assert await _read_pairs(database) == {2}


@LEAVING
async def test_a_database_that_is_left_often_goes_on(leave: object, database: Database) -> None:
    assert callable(leave)
    chance = random.Random(11)
    for attempt in range(60):
        await asyncio.gather(*(leave(chance.random() * 0.02, database, attempt * 3 + number) for number in range(3)))
    gc.collect()
    # More at once than the pool ever has: none waits for a connection that nobody gives back.
    async with asyncio.timeout(30):
        seen = await asyncio.gather(*(_read_pairs(database) for _ in range(40)))
    assert seen == [{2}] * 40


async def test_a_query_in_hand_when_the_database_closes_is_undone(database: Database, tmp_path: Path) -> None:
    fresh = Database(sqlite_url(tmp_path / "store.db"))
    inside, go_on = asyncio.Event(), asyncio.Event()

    async def write() -> None:
        async with fresh.write() as session:
            await session.execute(text("insert into pairs values (1, 1)"))
            inside.set()
            await go_on.wait()

    writing = asyncio.create_task(write())
    await inside.wait()
    await fresh.close()
    go_on.set()
    with pytest.raises(DisconnectionError, match="nothing of the transaction is stored"):
        await writing
    assert await _read_pairs(database) == set()


async def test_a_closed_database_opens_nothing_more(database: Database, tmp_path: Path) -> None:
    fresh = Database(sqlite_url(tmp_path / "store.db"))
    await _read_pairs(fresh)
    await fresh.close()
    with pytest.raises(DisconnectionError, match="The database is closed"):
        await _read_pairs(fresh)
