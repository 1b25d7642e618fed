"""What a flood leaves in the audit: at most a row a minute of each kind, with its count, and nothing forgotten."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from doubles.gateway import ManualClock, create, open_service
from pcg.console.collapsed_audit import MANY, MAXIMUM_KINDS, QUARTER_HOUR, CollapsedAudit
from pcg.console.service import Service
from pcg.console.store.models import AuditEntry


@pytest.fixture
async def audit(service: Service) -> AsyncIterator[CollapsedAudit]:
    """With its task running."""
    task = asyncio.create_task(service.collapsed.run())
    yield service.collapsed
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def _rows(service: Service, action: str) -> list[dict[str, Any]]:
    async with service.database.read() as session:
        entries = await session.scalars(
            select(AuditEntry).where(AuditEntry.action == action).order_by(AuditEntry.position)
        )
        return [entry.details for entry in entries]


async def _rows_once(service: Service, action: str, number: int) -> list[dict[str, Any]]:
    """When so many are there."""
    async with asyncio.timeout(10):
        while len(rows := await _rows(service, action)) < number:
            await asyncio.sleep(0.001)
    return rows


async def test_the_first_is_written_at_once_and_the_others_of_its_minute_together(
    service: Service, clock: ManualClock, audit: CollapsedAudit
):
    for _ in range(3):
        audit.note("refused", reason="why", address="192.0.2.1")
    assert [row["count"] for row in await _rows_once(service, "refused", 1)] == [3]
    for _ in range(50):
        audit.note("refused", reason="why", address="192.0.2.1")
        await clock.advance(1)
    assert len(await _rows(service, "refused")) == 1
    await clock.advance(30)
    assert [row["count"] for row in await _rows_once(service, "refused", 2)] == [3, 50]
    # Nobody knocks any more: nothing further is written, and nothing is remembered.
    await clock.advance(600)
    assert len(await _rows(service, "refused")) == 2
    audit.note("other")
    await _rows_once(service, "other", 1)
    assert [kind.action for kind in audit._kept] == ["other"]


async def test_kinds_are_told_apart_and_carry_their_latest_details(service: Service, clock: ManualClock):
    audit, made = service.collapsed, await create(service)
    audit.note("refused", reason="a", address="192.0.2.1", installer="first")
    audit.note("refused", reason="a", address="192.0.2.1", installer="se\x1bcond\n" + "x" * 1000)
    audit.note("refused", reason="b", address="192.0.2.1")
    audit.note("refused", reason="b", address="192.0.2.2", email="a@example.com")
    audit.note("refused", reason="b", gateway_id=made.gateway.id, count=7)
    await audit.write()
    rows = await _rows(service, "refused")
    assert rows[0].pop("installer").startswith("secondx")
    assert rows == [
        {"reason": "a", "address": "192.0.2.1", "count": 2},
        {"reason": "b", "address": "192.0.2.1", "count": 1},
        {"reason": "b", "address": "192.0.2.2", "email": "a@example.com", "count": 1},
        {"reason": "b", "count": 7},
    ]
    async with service.database.read() as session:
        entry = (await session.scalars(select(AuditEntry).order_by(AuditEntry.position.desc()).limit(1))).one()
    assert (entry.actor, entry.gateway_id, entry.gateway_name) == ("console", made.gateway.id, "one")
    assert entry.at == clock.now()


async def test_a_flood_from_everywhere_is_told_together(service: Service, clock: ManualClock):
    audit = service.collapsed
    for minute in range(3):
        for number in range(2000):
            audit.note("refused", reason="why", address=f"198.18.{number // 256}.{number % 256}")
            if number % 100 == 0:
                await audit.write()
        await audit.write()
        await clock.advance(60)
        await audit.write()
        rows = await _rows(service, "refused")
        assert len(rows) <= (minute + 1) * (MAXIMUM_KINDS + 1) + 1
        assert sum(row["count"] for row in rows) == (minute + 1) * 2000
        assert MANY in {row["address"] for row in rows}
    assert len(audit._kept) <= MAXIMUM_KINDS + 1


async def test_what_is_told_more_rarely(service: Service, clock: ManualClock):
    audit = service.collapsed
    for _ in range(30):
        audit.note("throttled", count=10, every=QUARTER_HOUR)
        await audit.write()
        await clock.advance(60)
    assert [row["count"] for row in await _rows(service, "throttled")] == [10, 150]
    await audit.write(everything=True)
    assert [row["count"] for row in await _rows(service, "throttled")] == [10, 150, 140]


async def test_a_store_that_fails_loses_nothing(
    service: Service, clock: ManualClock, audit: CollapsedAudit, monkeypatch: pytest.MonkeyPatch
):
    failed = asyncio.Event()

    def fails() -> None:
        failed.set()
        raise OperationalError("INSERT", {}, OSError("disk full"))

    with monkeypatch.context() as patched:
        patched.setattr(service.database, "write", fails)
        audit.note("refused", reason="why")
        await failed.wait()
        audit.note("refused", reason="why")
    while not clock._sleepers:
        await asyncio.sleep(0)
    await clock.advance(1)
    assert [row["count"] for row in await _rows_once(service, "refused", 1)] == [2]


async def test_what_was_not_written_yet_is_written_at_the_end(tmp_path: Path, clock: ManualClock):
    from pcg.console.housekeeping import Housekeeping

    async with open_service(tmp_path, clock) as service:
        housekeeping = Housekeeping(service.database, clock, service.collapsed, service.volumes)
        housekeeping.start()
        service.collapsed.note("refused")
        await _rows_once(service, "refused", 1)
        for _ in range(5):
            service.collapsed.note("refused")
        await housekeeping.stop()
        assert [row["count"] for row in await _rows(service, "refused")] == [1, 5]


async def test_written_by_two_at_once_it_is_told_once(service: Service):
    for _ in range(3):
        service.collapsed.note("refused", reason="why", address="192.0.2.1")
    await asyncio.gather(service.collapsed.write(everything=True), service.collapsed.write(everything=True))
    assert [row["count"] for row in await _rows(service, "refused")] == [3]
