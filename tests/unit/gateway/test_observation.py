"""What is told: the reconciler's status with present findings, a new revision whenever either source changed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pcg.clock import LoopClock
from pcg.diagnosis.facts import Facts, JetFact
from pcg.errors import TryAgain
from pcg.gateway.observation import Observation
from pcg.gateway.open_findings import OpenFindings
from pcg.gateway.store import GatewayStore
from pcg.model.desired import DesiredState
from pcg.model.drift import Drift
from pcg.model.records import Finding, GatewayStatus
from pcg.model.states import Severity


class Reconciler:
    """A mock."""

    def __init__(self) -> None:
        self.generation = 0
        self.desired: DesiredState | None = None
        self.moved = asyncio.Event()

    def status(self) -> GatewayStatus:
        return GatewayStatus(generation=self.generation, incarnation=1)

    def drifts(self) -> list[Drift]:
        return []

    async def wait_status_changed(self, revision: int) -> int:
        while self.generation <= revision:
            await self.moved.wait()
        return self.generation

    def move(self) -> None:
        self.generation += 1
        self.moved.set()
        self.moved = asyncio.Event()


@pytest.fixture
def store(tmp_path: Path) -> GatewayStore:
    return GatewayStore(tmp_path / "gateway.db")


def finding(since: datetime) -> Finding:
    return Finding(scenario="s", cause="c", severity=Severity.INFO, since=since, summary="x")


@pytest.mark.looptime
async def test_findings_are_those_of_now_and_know_the_earlier_ones(store: GatewayStore) -> None:
    reconciler, jets, earlier_seen = Reconciler(), [], []

    def diagnose(facts: Facts, earlier: Sequence[Finding] = ()) -> list[Finding]:
        earlier_seen.append(list(earlier))
        return [finding(facts.now) for jet in facts.jets if jet.back_off]

    clock = LoopClock()
    observation = Observation(reconciler, lambda: jets, diagnose, clock, OpenFindings(store, clock))
    assert observation.status().findings == []
    jets.append(JetFact(place="installer", restarts=3, back_off=True, since=None))
    first = observation.status().findings
    assert first == [finding(datetime(2026, 1, 1, tzinfo=UTC))]
    observation.status()
    assert earlier_seen == [[], [], first]


@pytest.mark.looptime
async def test_what_was_typed_is_a_fact_of_the_desired_state(store: GatewayStore) -> None:
    reconciler, typed, clock = Reconciler(), [], LoopClock()

    def diagnose(facts: Facts, earlier: Sequence[Finding] = ()) -> list[Finding]:
        typed.append(facts.vcenter_typed)
        return []

    observation = Observation(reconciler, list, diagnose, clock, OpenFindings(store, clock))
    observation.status()
    reconciler.desired = DesiredState(generation=1, incarnation=1, mode="run", vcenter_typed="https://vc")
    observation.status()
    assert typed == [None, "https://vc"]


@pytest.mark.looptime
async def test_a_change_of_either_source_is_a_new_revision(store: GatewayStore) -> None:
    reconciler = Reconciler()
    clock = LoopClock()
    observation = Observation(reconciler, list, lambda facts, earlier=(): [], clock, OpenFindings(store, clock))
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


@pytest.mark.looptime
async def test_findings_are_told_in_events_by_themselves_also_without_a_session(store: GatewayStore) -> None:
    reconciler, jets, clock = Reconciler(), [], LoopClock()

    def diagnose(facts: Facts, earlier: Sequence[Finding] = ()) -> list[Finding]:
        return [finding(facts.now) for jet in facts.jets if jet.back_off]

    observation = Observation(reconciler, lambda: jets, diagnose, clock, OpenFindings(store, clock))
    running = asyncio.create_task(observation.run())
    await asyncio.sleep(30)
    jets.append(JetFact(place="installer", restarts=3, back_off=True, since=None))
    observation.changed()
    await asyncio.sleep(100)
    jets.clear()
    observation.changed()
    await asyncio.sleep(100)
    told = [
        (report.event.reason, report.event.at.minute * 60 + report.event.at.second) for report in store.pending()[1]
    ]
    assert told == [("FindingOpened", 30), ("FindingClosed", 140)]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@pytest.mark.looptime
async def test_a_full_disk_does_not_end_it_and_nothing_stays_untold(
    store: GatewayStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(key: str, value: str | None) -> None:
        raise TryAgain("no room", "store-not-written")

    clock = LoopClock()
    observation = Observation(
        Reconciler(), list, lambda facts, earlier=(): [finding(clock.now())], clock, OpenFindings(store, clock)
    )
    with monkeypatch.context() as patched:
        patched.setattr(store, "put", full)
        running = asyncio.create_task(observation.run())
        await asyncio.sleep(100)
        assert [record.message for record in caplog.records] == [
            "findings that opened or closed could not be told: no room"
        ]
    await asyncio.sleep(11)
    assert [report.event.reason for report in store.pending()[1]] == ["FindingOpened"]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
