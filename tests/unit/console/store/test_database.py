"""The store opens, migrates and keeps the promises that its callers rely on."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, delete, select, text
from sqlalchemy.exc import IntegrityError

from pcg.console.store.database import Database, sqlite_url
from pcg.console.store.models import Gateway, Setting, StoredEvent, Table
from pcg.errors import InvalidInput, SetupMissing

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
async def database(tmp_path: Path):
    opened = Database(sqlite_url(tmp_path / "console.db"))
    await opened.migrate()
    yield opened
    await opened.close()


def _event(number: int, gateway_id: str = "g1") -> StoredEvent:
    return StoredEvent(
        gateway_id=gateway_id,
        writer="w",
        number=number,
        at=NOON,
        received_at=NOON,
        severity="info",
        reason="r",
        message="m",
        fields={},
    )


async def test_migrations_equal_the_models(database: Database):
    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), Table.metadata))

    async with database.engine.connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_migrating_again_changes_nothing(database: Database):
    async with database.write() as session:
        session.add(Setting(key="a", value="b"))
    await database.migrate()
    async with database.read() as session:
        assert (await session.get(Setting, "a")).value == "b"


async def test_sqlite_is_durable_and_checks_references(database: Database):
    async with database.read() as session:
        found = [
            (await session.execute(text(f"PRAGMA {name}"))).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    assert found == ["wal", 2, 1]
    with pytest.raises(IntegrityError):
        async with database.write() as session:
            session.add(_event(1, "nobody"))


async def test_its_files_are_private(database: Database, tmp_path: Path):
    async with database.write() as session:
        session.add(Setting(key="a", value="b"))
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


async def test_times_come_back_in_utc(database: Database):
    elsewhere = datetime(2026, 1, 1, 14, tzinfo=timezone(timedelta(hours=2)))
    async with database.write() as session:
        session.add(Gateway(id="g1", name="one", cloud="simulated", created_at=elsewhere))
    async with database.read() as session:
        found = (await session.get(Gateway, "g1")).created_at
    assert (found, found.tzinfo) == (NOON, UTC)


async def test_a_gateways_rows_go_with_it_and_positions_are_never_given_twice(database: Database):
    for name in ("g1", "g2"):
        async with database.write() as session:
            session.add(Gateway(id=name, name=name, cloud="simulated", created_at=NOON))
            await session.flush()
            session.add(_event(1, name))
        async with database.write() as session:
            positions = list(await session.scalars(select(StoredEvent.position)))
            await session.execute(delete(Gateway))
            assert positions == [1 if name == "g1" else 2]
    async with database.read() as session:
        assert list(await session.scalars(select(StoredEvent.position))) == []


async def test_an_event_is_stored_once(database: Database):
    async with database.write() as session:
        session.add(Gateway(id="g1", name="one", cloud="simulated", created_at=NOON))
        await session.flush()
        session.add(_event(1))
    with pytest.raises(IntegrityError):
        async with database.write() as session:
            session.add(_event(1))


async def test_a_failed_transaction_leaves_nothing(database: Database):
    with pytest.raises(RuntimeError):
        async with database.write() as session:
            session.add(Setting(key="a", value="b"))
            await session.flush()
            raise RuntimeError
    async with database.read() as session:
        assert await session.get(Setting, "a") is None


async def test_writers_at_the_same_time_wait_for_each_other(database: Database):
    async with database.write() as session:
        session.add(Setting(key="count", value="0"))

    async def count_up() -> None:
        async with database.write() as session:
            row = await session.get(Setting, "count")
            await asyncio.sleep(0)
            row.value = str(int(row.value) + 1)

    async with asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(count_up())
    async with database.read() as session:
        assert (await session.get(Setting, "count")).value == "20"


@pytest.mark.parametrize("url", ["", "not a url", "mysql://localhost/x"])
def test_a_database_that_is_not_known_is_refused(url: str):
    with pytest.raises(InvalidInput) as caught:
        Database(url)
    assert caught.value.field_name == "database"


def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("pcg.console.store.database.find_spec", lambda name: None)
    with pytest.raises(SetupMissing, match="asyncpg"):
        Database("postgresql://localhost/pcg")
