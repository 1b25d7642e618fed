"""A finding's whole life through both sides: what came and went while the console was away stands in its history."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from pcg.clock import SystemClock
from pcg.diagnosis.engine import diagnose
from pcg.diagnosis.facts import Facts
from pcg.gateway import open_findings
from pcg.gateway.open_findings import OpenFindings
from pcg.model.records import Finding, GatewayStatus, Problem, StepReport
from pcg.model.states import StepName, StepState

from .conftest import Console, Gateway, Make


def found(step: StepName = StepName.CONNECT) -> list[Finding]:
    problem = Problem(
        reason="vcenter-unreachable", what="vcenter.example.com refuses the connection", at=datetime.now(UTC)
    )
    failed = StepReport(name=step, state=StepState.FAILED, last_error=problem)
    status = GatewayStatus(generation=1, incarnation=1, steps=[failed])
    return diagnose(Facts(now=datetime.now(UTC), status=status))


async def history(console: Console, gateway: Gateway, least: int) -> list[dict[str, Any]]:
    async with asyncio.timeout(20):
        while True:
            page = await console.get(f"/gateways/{gateway.registration.gateway_id}/findings?closed=true")
            if len(page["items"]) >= least:
                return page["items"]
            await asyncio.sleep(0.02)


async def test_what_came_and_went_while_the_console_was_away_is_in_its_history_once(
    console: Console, make: Make, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(open_findings, "HELD_SECONDS", 0.0)
    gateway = await make()
    await gateway.up()
    target, console.relay.target = console.relay.target, 1
    console.relay.cut()
    opened = OpenFindings(gateway.store, SystemClock())
    (finding,) = found()
    opened.look([finding])
    await gateway.kill()
    gateway = await make(process_of=gateway)
    opened = OpenFindings(gateway.store, SystemClock())
    opened.look([finding])
    opened.look([])
    console.relay.target = target
    (item,) = await history(console, gateway, 1)
    assert (item["scenario"], item["cause"], item["step"]) == (*finding.key, "connect")
    assert item["evidence"][0]["text"] == "vcenter.example.com refuses the connection"
    assert item["closed"] >= item["since"]
    events = (await console.get(f"/gateways/{gateway.registration.gateway_id}/events"))["items"]
    about = [event["reason"] for event in events if event["finding"]]
    assert about == ["FindingOpened", "FindingClosed"]
