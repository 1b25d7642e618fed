"""What is old is removed by itself, and who pages, or sends the same again, notices nothing else."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import event, select, update

from doubles.gateway import NOON, ManualClock
from pcg.cli.console import console as console_command
from pcg.console import housekeeping as housekeeping_module
from pcg.console.app import create_app
from pcg.console.housekeeping import EVERY, Housekeeping
from pcg.console.settings import KEEP_EVENTS_DAYS, Settings
from pcg.console.store.models import AuditEntry, StoredEvent
from pcg.model.records import Event
from pcg.wire.frames import Report

from .conftest import EMAIL, PASSWORD, Console

YEAR = timedelta(days=KEEP_EVENTS_DAYS)


def _reports(numbers: range) -> list[Report]:
    return [
        Report(writer="w1", number=number, event=Event(at=NOON, reason="tested", message=f"event {number}"))
        for number in numbers
    ]


async def _aged(console: Console, numbers: range, age: timedelta) -> None:
    """Stored so long ago."""
    received = console.service.clock.now() - age
    async with console.service.database.write() as session:
        await session.execute(update(StoredEvent).where(StoredEvent.number.in_(numbers)).values(received_at=received))


def _keeping(console: Console, **keep: timedelta) -> Housekeeping:
    service = console.service
    return Housekeeping(service.database, service.clock, service.collapsed, service.volumes, **keep)


async def test_events_are_removed_in_batches_and_cursors_keep_working(
    console: Console, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(housekeeping_module, "BATCH", 7)
    gateway_id, _ = await console.registered()
    await console.service.reports.store_reports(gateway_id, _reports(range(1, 61)))
    url = f"/api/v1/gateways/{gateway_id}/events"
    first = (await console.client.get(url, params={"limit": 10})).json()
    assert [item["message"] for item in first["items"]] == [f"event {number}" for number in range(1, 11)]
    await _aged(console, range(1, 41), YEAR + timedelta(seconds=1))
    await _aged(console, range(41, 51), YEAR - timedelta(minutes=1))

    writes: list[str] = []
    event.listen(
        console.service.database.engine.sync_engine,
        "before_cursor_execute",
        lambda connection, cursor, statement, *rest: writes.append(statement) if "DELETE" in statement else None,
    )
    await _keeping(console, keep_events=YEAR).remove_old()
    assert len(writes) == 6, "forty in batches of seven"

    # From behind a removed one on, and from the beginning.
    for after in (first["next"], None):
        page = (await console.client.get(url, params={"after": after} if after else {})).json()
        assert [item["message"] for item in page["items"]] == [f"event {number}" for number in range(41, 61)]
    # What went does not come back when it is sent again, and what is new does.
    assert await console.service.reports.store_reports(gateway_id, _reports(range(1, 62))) == {"w1": 61}
    page = (await console.client.get(url)).json()
    assert [item["message"] for item in page["items"]] == [f"event {number}" for number in range(41, 62)]
    assert await console.service.reports.stored(gateway_id) == {"w1": 61}


async def test_when_all_are_removed_a_cursor_still_leads_to_what_comes(console: Console):
    gateway_id, _ = await console.registered()
    await console.service.reports.store_reports(gateway_id, _reports(range(1, 4)))
    url = f"/api/v1/gateways/{gateway_id}/events"
    last = (await console.client.get(url)).json()["items"][-1]["position"]
    await _aged(console, range(1, 4), YEAR * 2)
    await _keeping(console, keep_events=YEAR).remove_old()
    assert (await console.client.get(url, params={"after": last})).json()["items"] == []
    await console.service.reports.store_reports(gateway_id, _reports(range(4, 5)))
    (item,) = (await console.client.get(url, params={"after": last})).json()["items"]
    assert (item["message"], item["position"]) == ("event 4", last + 1)


async def test_the_audit_is_kept_for_ever_unless_told_otherwise(console: Console):
    await console.create()
    async with console.service.database.write() as session:
        await session.execute(update(AuditEntry).values(at=console.service.clock.now() - YEAR * 9))
    await console.create("two")
    await _keeping(console, keep_events=YEAR).remove_old()
    rows = (await console.client.get("/api/v1/audit")).json()["items"]
    assert {row["gateway_name"] for row in rows} >= {"one", "two"}
    await _keeping(console, keep_audit=timedelta(days=30)).remove_old()
    rows = (await console.client.get("/api/v1/audit")).json()["items"]
    assert {row["gateway_name"] for row in rows} == {"two"}


async def test_the_application_removes_by_itself_every_hour(tmp_path: Path):
    clock = ManualClock()
    settings = Settings(data=tmp_path, admin_email=EMAIL, admin_password=PASSWORD, keep_events_days=1)
    app = create_app(settings, clock=clock)

    async def left() -> int:
        async with app.state.service.database.read() as session:
            return len(list(await session.scalars(select(StoredEvent.position))))

    async with app.router.lifespan_context(app):
        console = Console(app, None, None)  # type: ignore[arg-type]
        from doubles.gateway import create

        gateway_id = (await create(console.service)).gateway.id
        await console.service.reports.store_reports(gateway_id, _reports(range(1, 11)))
        await clock.advance(timedelta(days=1).total_seconds() - 60)
        assert await left() == 10
        async with asyncio.timeout(20):
            while await left():
                await clock.advance(EVERY.total_seconds() / 4)


@pytest.mark.parametrize(
    "options,told",
    [((), (365, 0)), (("--keep-events", "0", "--keep-audit", "90"), (0, 90))],
    ids=["default", "given"],
)
def test_the_command_hands_on_how_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], told: tuple[int, int]
):
    seen: list[Settings] = []

    async def serve(settings: Settings) -> None:
        seen.append(settings)

    monkeypatch.setattr("pcg.console.app.serve", serve)
    done = CliRunner().invoke(console_command, ["serve", "--data", str(tmp_path), *options])
    assert done.exit_code == 0, done.output
    assert [(settings.keep_events_days, settings.keep_audit_days) for settings in seen] == [told]


@pytest.mark.parametrize("days", ["-1", "x", "99999"])
def test_what_is_no_number_of_days_is_refused(tmp_path: Path, days: str):
    done = CliRunner().invoke(console_command, ["serve", "--data", str(tmp_path), "--keep-events", days])
    assert done.exit_code == 2
    assert "--keep-events" in done.output
