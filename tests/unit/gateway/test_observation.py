"""What is told: the reconciler's status with present findings, a new revision whenever either source changed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from pcg.clock import LoopClock
from pcg.diagnosis.facts import Facts, JetFact
from pcg.gateway.observation import Observation
from pcg.model.records import Finding, GatewayStatus
from pcg.model.states import Severity


class Reconciler:
    """A mock."""

    def __init__(self) -> None:
        self.generation = 0
        self.moved = asyncio.Event()

    def status(self) -> GatewayStatus:
        return GatewayStatus(generation=self.generation, incarnation=1)

    async def wait_status_changed(self, revision: int) -> int:
        while self.generation <= revision:
            await self.moved.wait()
        return self.generation

    def move(self) -> None:
        self.generation += 1
        self.moved.set()
        self.moved = asyncio.Event()


def finding(since: datetime) -> Finding:
    return Finding(scenario="s", cause="c", severity=Severity.INFO, since=since, summary="x")


@pytest.mark.looptime
async def test_findings_are_those_of_now_and_know_the_earlier_ones() -> None:
    reconciler, jets, earlier_seen = Reconciler(), [], []

    def diagnose(facts: Facts, earlier: Sequence[Finding] = ()) -> list[Finding]:
        earlier_seen.append(list(earlier))
        return [finding(facts.now) for jet in facts.jets if jet.back_off]

    observation = Observation(reconciler, lambda: jets, diagnose, LoopClock())
    assert observation.status().findings == []
    jets.append(JetFact(place="installer", restarts=3, back_off=True, since=None))
    first = observation.status().findings
    assert first == [finding(datetime(2026, 1, 1, tzinfo=UTC))]
    observation.status()
    assert earlier_seen == [[], [], first]


@pytest.mark.looptime
async def test_a_change_of_either_source_is_a_new_revision() -> None:
    reconciler = Reconciler()
    observation = Observation(reconciler, list, lambda facts, earlier=(): [], LoopClock())
    assert await observation.wait_status_changed(-1) == 0
    running = asyncio.create_task(observation.run())
    await asyncio.sleep(0)
    revision = await observation.wait_status_changed(0)
    for change in (reconciler.move, observation.changed, reconciler.move):
        waiting = asyncio.create_task(observation.wait_status_changed(revision))
        await asyncio.sleep(1)
        assert not waiting.done()
        change()
        later = await asyncio.wait_for(waiting, 1)
        assert later > revision
        revision = later
    assert observation.status().generation == 2
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
