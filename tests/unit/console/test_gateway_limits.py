"""A gateway that floods: what it sends is cut, slowed and removed, and nobody else feels it. Real hub, real store."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, text

from doubles.gateway import ADMIN, NOON, GatewayDouble, ManualClock, open_service
from pcg.clock import SystemClock
from pcg.console import reports as reports_module
from pcg.console import stored_volumes
from pcg.console.allowances import EVENTS, OTHERS, STATUSES
from pcg.console.event_rows import CUT_FIELD, MAXIMUM_EVENT_BYTES, event_row, row_bytes
from pcg.console.hub import Hub
from pcg.console.service import Service
from pcg.console.store.models import AuditEntry, EventWriter, Gateway, StoredEvent
from pcg.console.stored_volumes import StoredVolumes
from pcg.model.records import Event, Evidence, Finding, GatewayStatus
from pcg.model.states import Severity
from pcg.wire import frames

# The size of one event.


def _event(**parts: Any) -> frames.Report:
    return frames.Report(
        writer="w", number=1, event=Event.model_validate({"at": NOON, "reason": "tested", "message": "m", **parts})
    )


@pytest.mark.parametrize(
    "name,value,message",
    [
        ("field", "x" * 900_000, "m"),
        ("n" * 500_000, "v", "m"),
        ("ä", "\x01" * 300_000, "\x01" * 4096),
        ("field", "\U0001f600" * 90_000, "\U0001f600" * 4096),
    ],
    ids=["long value", "long name", "escaped", "wide"],
)
def test_an_event_that_is_too_large_is_cut_and_says_so(name: str, value: str, message: str):
    many = {f"{name}{number}": value for number in range(32)}
    for fields in ({name: value}, many, {f"{number}{name}": value for number in range(32)}):
        row = event_row("g", _event(fields=fields, message=message), NOON)
        assert len(row["message"].encode()) + len(json.dumps(row["fields"])) <= MAXIMUM_EVENT_BYTES
        size = len(message.encode()) + len(json.dumps(fields))
        assert row["fields"].pop(CUT_FIELD).startswith(f"it had {size} bytes")
        assert row["message"] == message
        for kept_name, kept in row["fields"].items():
            assert any(kept_name.rstrip("…") in told for told in fields)
            assert value.startswith(kept.rstrip("…"))


def test_an_event_that_fits_is_stored_as_it_is():
    fields = {f"f{number}": "x" * 1900 for number in range(32)}
    row = event_row("g", _event(fields=fields), NOON)
    assert row["fields"] == fields
    assert row_bytes(row) > 32 * 1900


async def test_an_event_that_was_cut_does_not_stop_those_behind_it(service: Service, gateway: GatewayDouble):
    await gateway.connect()
    large = gateway.report_of(1).event.model_copy(update={"fields": {"log": "x" * 400_000}})
    await gateway.send(
        frames.Reports(reports=[frames.Report(writer="writer-1", number=1, event=large), gateway.report_of(2)])
    )
    assert (await gateway.expect(frames.Acknowledge)).stored == {"writer-1": 2}
    one, two = (await service.observations.events(ADMIN, gateway.gateway_id, limit=9)).items
    assert (list(one.fields), two.fields) == (["log", CUT_FIELD], {})
    await gateway.leave()


# Writers.


async def test_writers_are_bounded_and_no_event_comes_twice(
    service: Service, gateway: GatewayDouble, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(reports_module, "MAXIMUM_WRITERS", 100)
    await gateway.connect()

    async def tell(writer: str, number: int) -> None:
        report = gateway.report_of(number).model_copy(update={"writer": writer})
        await gateway.send(frames.Reports(reports=[report]))
        assert (await gateway.expect(frames.Acknowledge)).stored == {writer: number}
        await clock.advance(0.01)

    for number in range(150):
        await tell(f"writer {number}", 3)
    async with service.database.read() as session:
        kept = set(await session.scalars(select(EventWriter.writer)))
    assert kept == {f"writer {number}" for number in range(50, 150)}
    assert set(await service.reports.stored(gateway.gateway_id)) == {f"writer {number}" for number in range(86, 150)}
    # Of a writer that was forgotten too, what is stored is not stored again, and what is new is.
    report = gateway.report_of(2).model_copy(update={"writer": "writer 0"})
    await gateway.send(frames.Reports(reports=[report, report.model_copy(update={"number": 3})]))
    assert (await gateway.expect(frames.Acknowledge)).stored == {"writer 0": 3}
    await tell("writer 0", 4)
    async with service.database.read() as session:
        assert await session.scalar(select(func.count()).select_from(StoredEvent)) == 151
    await gateway.leave()


# How fast it is read.


class Waiting:
    """The clock of the allowances: tells how many frames wait to be due."""

    def __init__(self, service: Service, clock: ManualClock) -> None:
        self.frames = 0
        self._clock = clock
        service.allowances._clock = self  # type: ignore[assignment]

    def monotonic(self) -> float:
        return self._clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        self.frames += 1
        await self._clock.sleep(seconds)
        self.frames -= 1

    async def some(self) -> None:
        async with asyncio.timeout(30):
            while not self.frames:
                await asyncio.sleep(0.001)


async def _stored(service: Service, gateway: GatewayDouble) -> int:
    async with service.database.read() as session:
        number = await session.scalar(
            select(func.count()).select_from(StoredEvent).where(StoredEvent.gateway_id == gateway.gateway_id)
        )
    return int(number or 0)


async def test_events_beyond_the_rate_wait_and_are_not_lost(
    service: Service, hub: Hub, gateway: GatewayDouble, clock: ManualClock
):
    other, waiting = await GatewayDouble.registered(service, hub, "two"), Waiting(service, clock)
    await gateway.connect()
    await other.connect()
    total = int(EVENTS.burst) + 640
    for start in range(1, total + 1, 64):
        reports = [gateway.report_of(number) for number in range(start, min(start + 64, total + 1))]
        await gateway.send(frames.Reports(reports=reports))
    await waiting.some()
    begun = clock.monotonic()
    assert EVENTS.burst - 64 <= await _stored(service, gateway) <= EVENTS.burst
    # Time stands still for the one that floods; the other is answered at once.
    async with asyncio.timeout(5):
        assert (await other.report(1)).stored == {"writer-1": 1}
    while (stored := await _stored(service, gateway)) < total:
        assert stored <= EVENTS.burst + (clock.monotonic() - begun) * EVENTS.each_second
        if waiting.frames:
            await clock.advance(0.5)
        else:
            await asyncio.sleep(0.001)
    assert clock.monotonic() - begun >= 5.5
    assert 600 <= service.allowances.events_throttled <= 704
    await service.collapsed.write(everything=True)
    async with service.database.read() as session:
        entry = (await session.scalars(select(AuditEntry).where(AuditEntry.action == "events-throttled"))).one()
    assert (entry.gateway_name, entry.details) == ("one", {"count": service.allowances.events_throttled})
    page = await service.observations.events(ADMIN, gateway.gateway_id, after=0, limit=total)
    assert [item.message for item in page.items] == [f"event {number}" for number in range(1, total + 1)]
    for connected in (gateway, other):
        await connected.leave()


async def test_large_frames_count_for_more(service: Service, clock: ManualClock):
    waited = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    clock.sleep = sleep  # type: ignore[method-assign]
    pace, report = service.allowances.pace, frames.Reports(reports=[])
    for _ in range(7):
        await pace("g", report, 1 << 20)
    assert waited == []
    await pace("g", report, 1 << 20)
    await pace("other", report, 1 << 20)
    assert waited == [pytest.approx(0.48)]
    status = frames.Status(term=1, revision=1, status=GatewayStatus(generation=1, incarnation=1))
    for _ in range(int(STATUSES.burst / 4) + 1):
        await pace("g", status, 1 << 20)
    assert waited[1:] == [pytest.approx(0.4)]
    for _ in range(int(OTHERS.burst) + 1):
        await pace("g", frames.Heartbeat(), 30)
    assert waited[2:] == [pytest.approx(1 / OTHERS.each_second)]


async def test_coming_back_gains_nothing(service: Service, gateway: GatewayDouble, clock: ManualClock):
    waiting = Waiting(service, clock)
    for start in range(1, int(EVENTS.burst) + 1, 64):
        await gateway.connect()
        await gateway.report(*range(start, min(start + 64, int(EVENTS.burst) + 1)))
        await gateway.leave()
    await gateway.connect()
    await gateway.send(frames.Reports(reports=[gateway.report_of(int(EVENTS.burst) + 1)]))
    await waiting.some()
    assert await _stored(service, gateway) == EVENTS.burst
    await clock.advance(1)
    await gateway.expect(frames.Acknowledge)
    await gateway.leave()


def _large_status(revision: int) -> frames.Status:
    """Of about 256 KiB."""
    finding = Finding(
        scenario="s", cause=f"c{revision}", severity=Severity.ERROR, since=NOON, summary="s",
        evidence=[Evidence(source="log", text="x" * 4096)] * 2,
    )  # fmt: skip
    status = GatewayStatus(generation=1, incarnation=1, findings=[finding] * 31)
    return frames.Status(term=1, revision=revision, status=status)


async def test_a_flood_of_statuses_starves_nobody(tmp_path: Path):
    """On the real clock: for two seconds one gateway sends statuses of 256 KiB as fast as they are taken."""
    clock = SystemClock()
    async with open_service(tmp_path, clock) as service:
        hub = Hub(service)
        flooding, quiet = [await GatewayDouble.registered(service, hub, name) for name in ("one", "two")]
        await flooding.connect()
        await quiet.connect()
        sent = 0
        # A line of a few frames, as a socket has room for a few.
        room = asyncio.Semaphore(4)
        get = flooding.end.peer.inbox.get

        async def get_one() -> str | bytes | None:
            room.release()
            return await get()

        flooding.end.peer.inbox.get = get_one  # type: ignore[method-assign]
        texts = [frames.encode(_large_status(revision)) for revision in range(1, 80)]
        assert all(200_000 < len(each) < 300_000 for each in texts)

        async def flood() -> None:
            nonlocal sent
            for each in texts:
                await room.acquire()
                await flooding.end.send(each)
                sent += 1

        begun, waits = clock.monotonic(), []
        task = asyncio.create_task(flood())
        number = 0
        while clock.monotonic() - begun < 2:
            number += 1
            asked = clock.monotonic()
            await quiet.report(number)
            waits.append(clock.monotonic() - asked)
        seconds = clock.monotonic() - begun
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert sent - 4 <= STATUSES.burst + seconds * STATUSES.each_second + 1
        assert number > 20
        assert sorted(waits)[len(waits) // 2] < 0.2
        # The newest that was taken is what counts.
        async with service.database.read() as session:
            row = await session.get(Gateway, flooding.gateway_id)
            assert row is not None
            assert sent - 6 <= row.status_revision <= sent
        for gateway in (flooding, quiet):
            await gateway.end.close()
            await gateway.over()


# How much is stored.


@pytest.fixture
async def small(service: Service, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[StoredVolumes]:
    """A hundred events or 100,000 bytes; removed in batches of seven; its task runs."""
    monkeypatch.setattr(stored_volumes, "BATCH", 7)
    volumes = StoredVolumes(service.database, clock, service.collapsed, most_events=100, most_bytes=100_000)
    service.volumes = service.reports._volumes = volumes
    task = asyncio.create_task(volumes.run())
    yield volumes
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def _at_rest(volumes: StoredVolumes, clock: ManualClock) -> None:
    async with asyncio.timeout(20):
        while volumes._to_do:
            await clock.advance(0.05)
            await asyncio.sleep(0.001)


def _reports(numbers: range, **parts: Any) -> list[frames.Report]:
    return [_event(message=f"event {number}", **parts).model_copy(update={"number": number}) for number in numbers]


async def _messages(service: Service, gateway_id: str) -> list[str]:
    return [item.message for item in (await service.observations.events(ADMIN, gateway_id, limit=1000)).items]


async def test_beyond_the_number_the_oldest_go_first(
    service: Service, hub: Hub, gateway: GatewayDouble, clock: ManualClock, small: StoredVolumes
):
    other = await GatewayDouble.registered(service, hub, "two")
    await service.reports.store_reports(other.gateway_id, _reports(range(1, 51)))
    for start in range(1, 241, 20):
        await service.reports.store_reports(gateway.gateway_id, _reports(range(start, start + 20)))
        await _at_rest(small, clock)
    messages = await _messages(service, gateway.gateway_id)
    assert messages == [f"event {number}" for number in range(241 - len(messages), 241)]
    assert 95 <= len(messages) <= 100
    assert len(await _messages(service, other.gateway_id)) == 50
    # What went is not stored again, and it is told.
    assert await service.reports.store_reports(gateway.gateway_id, _reports(range(1, 5))) == {"w": 240}
    assert await _messages(service, gateway.gateway_id) == messages
    await service.collapsed.write(everything=True)
    async with service.database.read() as session:
        entries = list(await session.scalars(select(AuditEntry).where(AuditEntry.action == "events-removed")))
    assert {entry.gateway_name for entry in entries} == {"one"}
    assert sum(entry.details["count"] for entry in entries) == 240 - len(messages)
    assert entries[-1].details["received_until"].startswith("2026-06-01 12:00:")


async def test_beyond_the_bytes_the_oldest_go_first(
    service: Service, gateway: GatewayDouble, clock: ManualClock, small: StoredVolumes
):
    for start in range(1, 61, 10):
        reports = _reports(range(start, start + 10), fields={"log": "ä" * 500})
        await service.reports.store_reports(gateway.gateway_id, reports)
        await _at_rest(small, clock)
    messages = await _messages(service, gateway.gateway_id)
    assert messages == [f"event {number}" for number in range(61 - len(messages), 61)]
    one = row_bytes(event_row("g", reports[-1], NOON))
    assert 95_000 - one <= len(messages) * one <= 100_000
    # What is counted in memory is what a measurement finds.
    counted = small._volumes[gateway.gateway_id]
    measured = await small._measured(gateway.gateway_id)
    assert (counted.events, counted.bytes) == (measured.events, measured.bytes)


async def test_after_a_restart_what_was_there_counts(
    service: Service, gateway: GatewayDouble, clock: ManualClock, small: StoredVolumes
):
    async with service.database.write() as session:
        rows = [event_row(gateway.gateway_id, report, NOON) for report in _reports(range(1, 121))]
        await session.execute(StoredEvent.__table__.insert(), rows)  # type: ignore[attr-defined]
    await service.reports.store_reports(
        gateway.gateway_id, [_reports(range(1, 2))[0].model_copy(update={"writer": "n"})]
    )
    await _at_rest(small, clock)
    assert 95 <= len(await _messages(service, gateway.gateway_id)) <= 96


async def test_an_acknowledgement_does_not_wait_for_the_removal(
    service: Service, gateway: GatewayDouble, clock: ManualClock, small: StoredVolumes
):
    await gateway.connect()
    for start in range(1, 193, 64):
        # The clock stands still, so the removal rests between its batches.
        assert (await gateway.report(*range(start, start + 64))).stored == {"writer-1": start + 63}
    assert len(await _messages(service, gateway.gateway_id)) > 100
    await _at_rest(small, clock)
    assert 95 <= len(await _messages(service, gateway.gateway_id)) <= 100
    await gateway.leave()


async def test_a_gateway_that_is_deleted_meanwhile(
    service: Service, gateway: GatewayDouble, clock: ManualClock, small: StoredVolumes
):
    await service.reports.store_reports(gateway.gateway_id, _reports(range(1, 301)))
    async with service.database.write() as session:
        await session.execute(text("DELETE FROM events"))
    await _at_rest(small, clock)
    assert small._volumes[gateway.gateway_id].events == 0


async def test_the_removal_is_fast_enough(service: Service, gateway: GatewayDouble, monkeypatch: pytest.MonkeyPatch):
    """One batch beside ten thousand stored events takes a small part of a second from those who write."""
    clock = SystemClock()
    volumes = StoredVolumes(service.database, clock, service.collapsed, most_events=9_000)
    for start in range(1, 10_001, 1000):
        await service.reports.store_reports(gateway.gateway_id, _reports(range(start, start + 1000)))
    volume = await volumes._measured(gateway.gateway_id)
    begun = time.perf_counter()
    assert await volumes._remove_oldest(gateway.gateway_id, volume) is not None
    assert time.perf_counter() - begun < 1
