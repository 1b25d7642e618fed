"""Opens the console's store and gives out transactions; `console/app.py` makes the one `Database`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from importlib.util import find_spec
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import URL, Connection
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from pcg.console.store.sqlite import WRITES, SqliteConnections
from pcg.errors import InvalidInput, SetupMissing


class Database:
    """`async with database.read() as session` or `.write()`: one transaction, committed unless it raises."""

    def __init__(self, url: str) -> None:
        known = _checked(url)
        self._sqlite = SqliteConnections(known) if known.get_backend_name() == "sqlite" else None
        self._engine = self._sqlite.engine if self._sqlite else create_async_engine(known, pool_pre_ping=True)
        # SQLite lets one write at a time and makes the others look again and again: here they wait in order instead.
        self._turn: AbstractAsyncContextManager[object] = asyncio.Lock() if self._sqlite else nullcontext()
        self._reading = async_sessionmaker(self._engine, expire_on_commit=False)
        self._writing = async_sessionmaker(self._engine.execution_options(**{WRITES: True}), expire_on_commit=False)

    async def migrate(self) -> None:
        """Brings the tables to this version; raises what the database raises."""
        async with self._engine.begin() as connection:
            await connection.run_sync(upgrade)

    async def close(self) -> None:
        await (self._sqlite.close() if self._sqlite else self._engine.dispose())

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncSession]:
        async with self._reading() as session:
            yield session

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncSession]:
        """Never wait for the network, or for another `write`, within."""
        async with self._turn, self._writing.begin() as session:
            yield session

    @property
    def engine(self) -> AsyncEngine:
        return self._engine


def sqlite_url(path: Path) -> str:
    return f"sqlite+aiosqlite:///{path}"


def upgrade(connection: Connection) -> None:
    """Runs the migrations that ship with the package on this connection."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _checked(text: str) -> URL:
    try:
        url = make_url(text)
    except ArgumentError:
        raise InvalidInput(
            "The database's URL cannot be read.",
            reason="database-url",
            field_name="database",
            remedy=["Use postgresql+asyncpg://USER:PASSWORD@HOST/NAME, or leave it out for SQLite."],
        ) from None
    if url.get_backend_name() == "postgresql":
        if find_spec("asyncpg") is None:
            raise SetupMissing(
                "PostgreSQL needs the Python package asyncpg.",
                reason="database-driver",
                remedy=["Install it beside pcg: pip install asyncpg."],
            )
        return url.set(drivername="postgresql+asyncpg")
    if url.get_backend_name() != "sqlite":
        raise InvalidInput(
            f"{url.get_backend_name()} is not a database that the console knows.",
            reason="database-url",
            field_name="database",
            remedy=["Use PostgreSQL, or leave it out for SQLite."],
        )
    if url.database:
        # Readable by this user alone, also where the folder was there before; SQLite's other files follow its mode.
        Path(url.database).touch(mode=0o600)
    return url.set(drivername="sqlite+aiosqlite")
