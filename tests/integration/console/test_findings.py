"""The history of findings: made of the events that told of each closing, page by page, and bounded."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from pcg.console.store.models import Gateway
from pcg.model.records import FINDING_CLOSED, FINDING_OPENED, Event, Evidence, Finding
from pcg.model.states import Severity, StepName
from pcg.wire.frames import Report

from .conftest import Console, status

pytestmark = pytest.mark.shared

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def finding(cause: str, **more: Any) -> Finding:
    return Finding(
        scenario="image-deploy-failed", cause=cause, severity=Severity.ERROR, since=NOON, summary=f"It is {cause}.",
        evidence=[Evidence(source="step connect", text=f"seen {cause}", time=NOON)], remedy=["Mend it."],
        step=StepName.CONNECT, **more,
    )  # fmt: skip


def event(reason: str, about: Finding | None, **more: Any) -> Event:
    return Event(at=NOON, reason=reason, message="told", step=StepName.CONNECT, finding=about, **more)


async def tell(console: Console, gateway_id: str, *events: Event, writer: str = "w") -> None:
    reports = [Report(writer=writer, number=number, event=item) for number, item in enumerate(events, 1)]
    await console.service.reports.store_reports(gateway_id, reports)


async def ask(console: Console, gateway_id: str, **parameters: Any) -> dict[str, Any]:
    answer = await console.client.get(f"/api/v1/gateways/{gateway_id}/findings", params=parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_closed_findings_are_kept_with_their_evidence_the_latest_first(console: Console):
    gateway_id, _ = await console.configured()
    over = [finding(f"cause-{number}", closed=NOON + timedelta(minutes=number)) for number in range(5)]
    lines = [event("StepDone", None)]
    for item in over:
        lines += [event(FINDING_OPENED, item.model_copy(update={"closed": None})), event(FINDING_CLOSED, item)]
    await tell(console, gateway_id, *lines)
    assert (await ask(console, gateway_id))["items"] == []
    page = await ask(console, gateway_id, closed=True, limit=2)
    assert [item["cause"] for item in page["items"]] == ["cause-4", "cause-3"]
    first = page["items"][0]
    assert first["evidence"][0]["text"] == "seen cause-4"
    assert (first["closed"], first["step"], first["remedy"]) == ("2026-01-01T12:04:00Z", "connect", ["Mend it."])
    seen = list(page["items"])
    while page["next"]:
        page = await ask(console, gateway_id, closed=True, limit=2, after=page["next"])
        seen += page["items"]
    assert [item["cause"] for item in seen] == [f"cause-{number}" for number in (4, 3, 2, 1, 0)]
    other, _ = await console.registered("other")
    assert (await ask(console, other, closed=True))["items"] == []


async def test_events_bear_their_findings(console: Console):
    gateway_id, _ = await console.configured()
    await tell(console, gateway_id, event("StepDone", None), event(FINDING_OPENED, finding("one")))
    answer = await console.client.get(f"/api/v1/gateways/{gateway_id}/events")
    plain, opened = answer.json()["items"]
    assert plain["finding"] is None
    assert opened["finding"]["evidence"][0]["text"] == "seen one"


async def test_open_findings_of_a_gateway_that_is_away_are_those_that_it_told_last(console: Console):
    gateway_id, _ = await console.configured()
    await console.service.reports.store_status(gateway_id, 1, 1, status(1, findings=[finding("one")]))
    (item,) = (await ask(console, gateway_id))["items"]
    async with console.service.database.read() as session:
        row = await session.get(Gateway, gateway_id)
        assert row is not None and row.status_at is not None
        assert item["last_told"] == row.status_at.isoformat().replace("+00:00", "Z")
    seen = NOON + timedelta(days=300)
    console.service.presence.arrived(gateway_id, seen)
    (item,) = (await ask(console, gateway_id))["items"]
    assert (item["last_told"], item["closed"]) == (None, None)
    console.service.presence.left(gateway_id, seen)
    (item,) = (await ask(console, gateway_id))["items"]
    assert item["last_told"] == seen.isoformat().replace("+00:00", "Z")


async def test_what_a_hostile_gateway_tells_as_a_finding_stops_nothing(console: Console):
    gateway_id, _ = await console.configured()
    huge = finding("huge").model_copy(update={"remedy": ["x" * 100_000]})
    nul = finding("nul\x00", closed=NOON)
    await tell(
        console, gateway_id, event(FINDING_CLOSED, huge), event(FINDING_CLOSED, None), event(FINDING_CLOSED, nul),
        event(FINDING_CLOSED, finding("never-closed")),
    )  # fmt: skip
    items = (await ask(console, gateway_id, closed=True))["items"]
    assert [item["cause"] for item in items] == ["never-closed", "nul\ufffd"]
    assert items[0]["closed"] == "2026-01-01T12:00:00Z", "when it was told, for want of better"
    events = (await console.client.get(f"/api/v1/gateways/{gateway_id}/events")).json()["items"]
    assert events[0]["finding"] is None
    assert "too large" in events[0]["fields"]["cut-by-console"]


async def test_the_history_is_found_without_reading_all_events(console: Console):
    async with console.service.database.read() as session:
        plan = await session.execute(
            text(
                "EXPLAIN QUERY PLAN SELECT * FROM events WHERE gateway_id = 'x' AND finding IS NOT NULL"
                " AND reason = 'FindingClosed' ORDER BY position DESC LIMIT 20"
            )
        )
        assert "ix_events_findings" in str(plan.all())


async def test_findings_count_in_what_is_stored_of_a_gateway(console: Console):
    gateway_id, _ = await console.configured()
    big = finding("big").model_copy(update={"remedy": ["x" * 20_000]})
    await tell(console, gateway_id, event(FINDING_CLOSED, big))
    volume = await console.service.volumes._measured(gateway_id)
    assert volume.bytes > 20_000
