"""Each opening and each closing is told once: across restarts and crashes, however often a finding comes and goes."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pcg.clock import SystemClock
from pcg.errors import TryAgain
from pcg.gateway.open_findings import FINDING_BYTES, OpenFindings, within
from pcg.gateway.store import GatewayStore
from pcg.model.records import FINDING_CLOSED as CLOSED
from pcg.model.records import FINDING_OPENED as OPENED
from pcg.model.records import Event, Evidence, Finding
from pcg.model.states import Severity, StepName

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def finding(cause: str = "full", *evidence: str, severity: Severity = Severity.ERROR) -> Finding:
    return Finding(
        scenario="disk", cause=cause, severity=severity, since=NOON, summary="The disk is full.",
        evidence=[Evidence(source="step template", text=text) for text in evidence], remedy=["Free it."],
        step=StepName.TEMPLATE,
    )  # fmt: skip


class Time(SystemClock):
    """Moves only when it is told to."""

    def __init__(self) -> None:
        self.is_now = NOON

    def now(self) -> datetime:
        return self.is_now


class World:
    """A gateway's store that outlives its processes."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "gateway.db"
        self.clock = Time()
        self.start()

    def start(self) -> None:
        self.store = GatewayStore(self.path)
        self.opened = OpenFindings(self.store, self.clock)

    def crash(self) -> None:
        self.store.close()
        self.start()

    def after(self, seconds: float, *present: Finding) -> None:
        self.clock.is_now += timedelta(seconds=seconds)
        self.opened.look(present)

    def told(self) -> list[Event]:
        return [report.event for report in self.store.pending(limit=10_000)[1]]

    def reasons(self) -> list[str]:
        return [event.reason for event in self.told()]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_finding_opens_gains_evidence_and_closes_with_the_time_when_its_cause_had_gone(world: World):
    world.after(0, finding())
    world.after(5, finding("full", "one"))
    world.after(5, finding("full", "one", "two"))
    (opened,) = world.told()
    assert (opened.reason, opened.severity, opened.step) == (OPENED, "error", "template")
    assert opened.fields == {"scenario": "disk", "cause": "full", "since": NOON.isoformat()}
    assert opened.message == "The disk is full."
    world.after(1)
    world.after(9.9)
    assert world.reasons() == [OPENED]
    world.after(0.2)
    closed = world.told()[-1]
    assert (closed.reason, closed.severity, closed.step) == (CLOSED, "info", "template")
    assert closed.fields["closed"] == (NOON + timedelta(seconds=11)).isoformat()
    gone_at = NOON + timedelta(seconds=11)
    assert closed.finding == finding("full", "one", "two").model_copy(update={"closed": gone_at}), "as it was seen last"
    world.after(100)
    assert world.reasons() == [OPENED, CLOSED]
    assert world.opened.findings == []


def test_a_restarted_process_opens_nothing_again_and_loses_no_closing(world: World):
    world.after(0, finding("full", "one"))
    world.crash()
    assert world.opened.findings == [finding("full", "one")]
    world.after(60, finding("full", "one"))
    assert world.reasons() == [OPENED]
    world.after(1)
    world.crash()
    world.after(60)
    assert world.reasons() == [OPENED, CLOSED]
    gone_at = NOON + timedelta(seconds=61)
    assert world.told()[-1].finding == finding("full", "one").model_copy(update={"closed": gone_at})
    world.crash()
    world.after(60)
    assert world.reasons() == [OPENED, CLOSED]


def test_what_cannot_be_written_down_is_told_later(world: World, monkeypatch: pytest.MonkeyPatch):
    def full(event: Event) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(world.store, "append", full)
        with pytest.raises(TryAgain):
            world.opened.look([finding()])
    assert world.store.get("findings") is None
    world.opened.look([finding()])
    assert world.reasons() == [OPENED]


def test_what_flickers_was_never_closed(world: World):
    for _ in range(100):
        world.after(4, finding())
        world.after(4)
    assert world.reasons() == [OPENED]


def test_what_comes_and_goes_for_an_hour_does_not_flood(world: World):
    """A step that fails after 12 seconds, again and again: each of its tries hides the trouble for so long."""
    for _ in range(300):
        world.after(1, finding())
        for _ in range(12):
            world.after(1)
    assert len(world.told()) < 20
    assert world.opened.findings == [finding()]
    world.after(700)
    assert world.reasons()[-1] == CLOSED
    assert int(world.told()[-1].fields["returned"]) > 250
    # After an hour it is another story.
    world.after(4000)
    world.after(0, finding())
    world.after(1)
    world.after(11)
    assert world.reasons()[-2:] == [OPENED, CLOSED]


def test_each_has_its_own_life_and_notices_are_told_as_such(world: World):
    notice = finding("slow", severity=Severity.INFO)
    world.after(0, finding(), notice)
    world.after(1, notice)
    assert world.opened.due() == pytest.approx(10)
    world.after(11, notice)
    assert world.opened.due() is None
    assert [(event.reason, event.fields["cause"], event.severity.value) for event in world.told()] == [
        (OPENED, "full", "error"), (OPENED, "slow", "info"), (CLOSED, "full", "info"),
    ]  # fmt: skip


def test_a_clock_that_is_set_back_holds_nothing_for_ever(world: World):
    world.after(0, finding())
    world.after(1)
    world.clock.is_now -= timedelta(days=1)
    world.after(0)
    world.after(11)
    assert world.reasons() == [OPENED, CLOSED]


@pytest.mark.parametrize("length", [10, 4000])
def test_an_event_carries_as_much_evidence_as_fits_and_says_what_is_left_out(length: int):
    whole = finding("full", *(f"{number} " + "x" * length for number in range(32)))
    kept = within(whole, FINDING_BYTES)
    assert len(kept.model_dump_json()) <= FINDING_BYTES
    if length == 10:
        assert kept == whole
    else:
        assert kept.evidence[:4] == whole.evidence[:4]
        assert kept.evidence[-1].text == f"{33 - len(kept.evidence)} more lines are left out."
