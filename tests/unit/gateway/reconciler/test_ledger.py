"""The ledger of the ten steps: state, current task, since, last error, next try, and the events of each change."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

import pytest

from pcg.clock import LoopClock
from pcg.errors import AskPerson, TryAgain, Unreachable
from pcg.gateway.memory import Memory
from pcg.gateway.steps_ledger import Ledger
from pcg.gateway.store import GatewayStore
from pcg.model.records import StepReport
from pcg.model.states import StepName, StepState

pytestmark = pytest.mark.looptime

CONNECT = StepName.CONNECT
AWAY = Unreachable("The cloud is away.", reason="away", evidence=["tried: 127.64.0.2"])


@dataclass
class Book:
    store: GatewayStore
    clock: LoopClock = field(default_factory=LoopClock)
    start: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    @cached_property
    def ledger(self) -> Ledger:
        """Opened by the test itself, because a fixture lives in true time."""
        return Ledger(self.store, Memory(self.store), self.clock)

    def step(self, name: StepName = CONNECT) -> StepReport:
        return next(report for report in self.ledger.reports() if report.name == name)

    def events(self) -> list[str]:
        return [report.event.reason for report in self.store.pending()[1]]

    def at(self, seconds: float) -> datetime:
        return self.start + timedelta(seconds=seconds)


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    store = GatewayStore(tmp_path / "gateway.db")
    yield Book(store)
    store.close()


async def test_all_ten_steps_are_reported_in_order_from_the_beginning(book: Book) -> None:
    assert [report.name for report in book.ledger.reports()] == list(StepName)
    assert {report.state for report in book.ledger.reports()} == {StepState.WAITING}
    assert len(book.ledger.reports()) == 10


async def test_a_running_step_tells_its_task_and_since_when_it_runs(book: Book) -> None:
    await asyncio.sleep(5)
    book.ledger.begin(CONNECT)
    await asyncio.sleep(5)
    assert book.ledger.run(CONNECT, "waiting")
    step = book.step()
    assert (step.state, step.task, step.since) == (StepState.RUNNING, "waiting", book.at(5))


async def test_the_same_task_again_is_no_news(book: Book) -> None:
    assert book.ledger.run(CONNECT, "waiting")
    assert not book.ledger.run(CONNECT, "waiting")
    assert book.ledger.run(CONNECT, "waiting for more")


async def test_a_finished_step_tells_how_long_it_took(book: Book) -> None:
    book.ledger.begin(CONNECT)
    await asyncio.sleep(7)
    assert book.ledger.done(CONNECT)
    assert not book.ledger.done(CONNECT)
    step = book.step()
    assert (step.state, step.seconds, step.since, step.task) == (StepState.DONE, 7.0, book.at(7), "")
    assert book.events() == ["StepDone"]


async def test_an_error_is_told_with_its_next_try(book: Book) -> None:
    book.ledger.begin(CONNECT)
    await asyncio.sleep(1)
    book.ledger.failed(CONNECT, AWAY, 4.0)
    step = book.step()
    assert (step.state, step.since, step.next_try) == (StepState.FAILED, book.at(1), book.at(5))
    assert step.last_error is not None
    assert (step.last_error.reason, step.last_error.at) == ("away", book.at(1))


async def test_the_same_error_again_makes_no_event_and_stays_as_old_as_it_is(book: Book) -> None:
    book.ledger.failed(CONNECT, AWAY, 4.0)
    await asyncio.sleep(4)
    book.ledger.failed(CONNECT, AWAY, 8.0)
    step = book.step()
    assert book.events() == ["StepFailed"]
    assert step.last_error is not None
    assert (step.last_error.at, step.since, step.next_try) == (book.start, book.start, book.at(12))


async def test_another_error_makes_an_event(book: Book) -> None:
    book.ledger.failed(CONNECT, AWAY, 4.0)
    book.ledger.failed(CONNECT, TryAgain("Something else.", reason="else"), 4.0)
    assert book.events() == ["StepFailed"] * 2


async def test_an_error_is_kept_until_the_next_try_has_told_otherwise(book: Book) -> None:
    book.ledger.failed(CONNECT, AWAY, 4.0)
    assert not book.ledger.begin(CONNECT)
    assert book.step().last_error is not None
    book.ledger.run(CONNECT, "waiting")
    assert (book.step().last_error, book.step().next_try) == (None, None)


async def test_done_after_an_error_tells_which(book: Book) -> None:
    book.ledger.failed(CONNECT, AWAY, 4.0)
    book.ledger.done(CONNECT)
    event = book.store.pending()[1][-1].event
    assert event.message == "connect is done, after: The cloud is away."
    assert book.step().last_error is None


async def test_what_only_a_person_can_mend_blocks_until_the_next_change(book: Book) -> None:
    book.ledger.failed(CONNECT, AskPerson("Give a password.", reason="credentials-needed"), None)
    assert (book.step().state, book.step().next_try) == (StepState.BLOCKED, None)


async def test_reopened_steps_wait_and_others_stay(book: Book) -> None:
    book.ledger.done(CONNECT)
    book.ledger.failed(StepName.NODES, AWAY, 1.0)
    await asyncio.sleep(3)
    book.ledger.reopen(CONNECT, StepName.NODES, StepName.MACHINES)
    assert (book.step().state, book.step().since) == (StepState.WAITING, book.at(3))
    assert book.step(StepName.NODES).state is StepState.FAILED
    assert book.step(StepName.MACHINES).since is None


async def test_a_step_done_again_counts_its_new_run(book: Book) -> None:
    book.ledger.begin(CONNECT)
    await asyncio.sleep(2)
    book.ledger.done(CONNECT)
    await asyncio.sleep(100)
    book.ledger.run(CONNECT, "again")
    await asyncio.sleep(3)
    book.ledger.done(CONNECT)
    assert book.step().seconds == 3.0


async def test_a_new_generation_looks_at_all_steps_anew_without_old_errors(book: Book) -> None:
    book.ledger.done(CONNECT)
    book.ledger.failed(StepName.PREFLIGHT, AWAY, 9.0)
    book.ledger.begin_generation(2, keep=True)
    assert {report.state for report in book.ledger.reports()} == {StepState.WAITING}
    assert book.step(StepName.PREFLIGHT).last_error is None
    assert book.step(StepName.PREFLIGHT).next_try is None


async def test_a_new_incarnation_forgets_all_of_the_old_one(book: Book) -> None:
    book.ledger.begin(CONNECT)
    book.ledger.done(CONNECT)
    book.ledger.begin_generation(2, keep=False)
    assert book.step() == StepReport(name=CONNECT)


async def test_the_ledger_survives_a_restart_of_the_process(book: Book) -> None:
    book.ledger.begin_generation(3, keep=False)
    book.ledger.failed(CONNECT, AWAY, 4.0)
    memory = Memory(book.store)
    assert memory.steps_generation == 3
    assert Ledger(book.store, memory, book.clock).reports() == book.ledger.reports()


async def test_a_retry_that_fails_the_same_way_is_no_progress(book: Book) -> None:
    book.ledger.failed(CONNECT, AWAY, 4.0)
    before = book.ledger.progressed_at
    await asyncio.sleep(10)
    book.ledger.failed(CONNECT, AWAY, 4.0)
    assert book.ledger.progressed_at == before
    book.ledger.done(CONNECT)
    assert book.ledger.progressed_at == before + 10


async def test_a_step_that_tries_in_between_and_fails_the_same_way_makes_no_event(book: Book) -> None:
    book.ledger.failed(CONNECT, AWAY, 4.0)
    before = book.ledger.progressed_at
    await asyncio.sleep(5)
    book.ledger.run(CONNECT, "trying")
    book.ledger.failed(CONNECT, AWAY, 4.0)
    assert book.events() == ["StepFailed"]
    assert book.ledger.progressed_at == before
    book.ledger.done(CONNECT)
    book.ledger.failed(CONNECT, AWAY, 4.0)
    assert book.events() == ["StepFailed", "StepDone", "StepFailed"]


SLOW = TryAgain("It takes long.", reason="slow", evidence=["seen: nothing"])


async def test_a_concern_stands_beside_a_step_that_goes_on_and_is_told_once(book: Book) -> None:
    book.ledger.run(CONNECT, "waiting")
    await asyncio.sleep(200)
    assert book.ledger.run(CONNECT, "waiting", SLOW)
    await asyncio.sleep(5)
    assert not book.ledger.run(CONNECT, "waiting", SLOW)
    step = book.step()
    assert (step.state, step.task) == (StepState.RUNNING, "waiting")
    assert step.last_error is not None and (step.last_error.reason, step.last_error.at) == ("slow", book.at(200))
    assert book.events() == ["StepOverdue"]
    assert book.ledger.progressed_at == 0.0
    assert book.ledger.run(CONNECT, "waiting")
    assert book.step().last_error is None
    assert book.ledger.run(CONNECT, "waiting", SLOW)
    assert book.events() == ["StepOverdue"]
