"""The console's SQLite connections: how each is opened, begun, and never left open; used by `database.py` alone.

WAL, foreign keys on, synchronous=FULL because an acknowledged event must survive a power cut. Writing transactions take
the write lock at their beginning (BEGIN IMMEDIATE), so none fails half way for another writer.
"""

from __future__ import annotations

import asyncio
import sqlite3
from functools import partial
from threading import Thread
from typing import Any
from weakref import WeakSet

import aiosqlite
from sqlalchemy import URL, Connection, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

WRITES = "pcg_writes"
_BUSY_SECONDS = 30


class SqliteConnections:
    """Makes the engine, and knows every connection of it that is open."""

    def __init__(self, url: URL) -> None:
        self._open: set[_Connection] = set()
        self._threads: WeakSet[Thread] = WeakSet()
        self._closed = False
        self.engine: AsyncEngine = create_async_engine(url, connect_args={"timeout": _BUSY_SECONDS}, pool_size=8)
        event.listen(self.engine.sync_engine, "do_connect", self._connect_with)
        event.listen(self.engine.sync_engine, "checkout", _refuse_stopped)
        event.listen(self.engine.sync_engine, "begin", _begin)
        event.listen(self.engine.sync_engine, "commit", _refuse_lost_commit)

    async def close(self) -> None:
        """Ends also those that a transaction still holds: nothing of it is stored, and its commit is refused."""
        self._closed = True
        await self.engine.dispose()
        await asyncio.gather(*(connection.close() for connection in list(self._open)))
        for thread in list(self._threads):
            await asyncio.to_thread(thread.join)

    def _connect_with(self, _dialect: object, _record: object, _arguments: object, options: dict[str, Any]) -> None:
        options["async_creator_fn"] = self._connect

    async def _connect(self, *arguments: Any, **options: Any) -> aiosqlite.Connection:
        connection = _Connection(self._open, partial(_opened, *arguments, **options))
        if not self._closed:
            self._threads.add(connection._thread)
            await connection
        if self._closed:
            connection.stop()
            raise DisconnectionError("The database is closed.")
        return connection


class _Connection(aiosqlite.Connection):
    """Closes itself when its caller is cancelled in mid-call.

    A browser that leaves an event stream cancels its request at any moment, again and again. SQLAlchemy (2.1) gives
    such a connection up, or never learned of it, and what it does to close it is cancelled too. `stop` cannot be: the
    thread closes the connection, and undoes its transaction, once the call in hand has ended.
    """

    def __init__(self, known: set[_Connection], connector: Any) -> None:
        super().__init__(connector, iter_chunk_size=64)
        self._known = known
        self._thread.daemon = True  # as SQLAlchemy does: none holds up the end of the process

    async def _connect(self) -> aiosqlite.Connection:
        await super()._connect()
        self._known.add(self)
        return self

    # The one way that every call takes to the thread.
    async def _execute(self, fn: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return await super()._execute(fn, *args, **kwargs)  # type: ignore[no-untyped-call]
        except asyncio.CancelledError:
            self.stop()
            raise

    @property
    def stopped(self) -> bool:
        return not self._running

    def stop(self) -> asyncio.Future[Any] | None:
        self._known.discard(self)
        # A second stop would never be answered: the thread has gone with the first.
        return super().stop() if self._running else None

    async def close(self) -> None:
        if self._running:
            await super().close()


def _opened(*arguments: Any, **options: Any) -> sqlite3.Connection:
    connection: sqlite3.Connection = sqlite3.connect(*arguments, **options)
    # Python's own sqlite3 begins transactions late; with None we begin them ourselves (see SQLAlchemy's SQLite notes).
    connection.isolation_level = None
    for setting in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {setting}")
    return connection


def _refuse_stopped(connection: Any, _record: object, _proxy: object) -> None:
    # Left while it was given back, it can be in the pool: SQLAlchemy then opens another in its place.
    if connection.driver_connection.stopped:
        raise DisconnectionError


def _refuse_lost_commit(connection: Connection) -> None:
    # SQLAlchemy passes over a commit of a closed connection in silence, as if it had been stored.
    driver = connection.connection.driver_connection
    if isinstance(driver, _Connection) and driver.stopped:
        raise DisconnectionError("The database was closed before the commit: nothing of the transaction is stored.")


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get(WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
