"""What the screen and the console are told of each bootstrap step, in simulated time."""

from __future__ import annotations

import asyncio

import pytest

from pcg.clock import LoopClock
from pcg.errors import Unreachable
from pcg.gateway.bootstrap_steps import BootstrapStep, BootstrapSteps
from pcg.model.records import Event
from pcg.model.states import Severity

pytestmark = pytest.mark.looptime

REFUSED = Unreachable(
    "https://c cannot be reached: the connection was refused.",
    reason="connection-refused",
    evidence=["tried: https://c"],
    remedy=["Allow it."],
)


def steps() -> tuple[BootstrapSteps, list[str], list[Event]]:
    said: list[str] = []
    told: list[Event] = []
    return BootstrapSteps(LoopClock(), said.append, told.append), said, told


async def test_a_step_tells_how_long_it_took_its_waits_included() -> None:
    book, said, told = steps()
    book.begin(BootstrapStep.NETWORK)
    await asyncio.sleep(2)
    book.failed(REFUSED, 1, 3.0)
    await asyncio.sleep(3)
    book.begin(BootstrapStep.NETWORK)
    book.done("127.0.0.1 port 443 answers")
    assert said[-1] == "bootstrap: network: done in 5.00 s: 127.0.0.1 port 443 answers"
    assert told[-1].fields == {"bootstrap-step": "network", "seconds": "5.00"}
    assert told[-1].severity is Severity.INFO


async def test_every_try_is_a_line_and_each_new_trouble_one_event_with_its_remedy() -> None:
    book, said, told = steps()
    book.begin(BootstrapStep.NETWORK)
    for attempt in range(1, 4):
        book.failed(REFUSED, attempt, 1.0)
    assert [line for line in said if "failed" in line] == [
        f"bootstrap: network: try {attempt} failed: https://c cannot be reached: the connection was refused. · "
        "tried: https://c; next try in 1.0 s"
        for attempt in range(1, 4)
    ]
    assert said.count("  remedy: Allow it.") == 1
    assert [event.reason for event in told] == ["BootstrapStepFailed"]
    book.failed(Unreachable("other", reason="no-route"), 4, 1.0)
    assert [event.fields["trouble"] for event in told] == ["connection-refused", "no-route"]


async def test_a_step_that_is_done_is_told_again_only_after_trouble() -> None:
    book, said, _ = steps()
    for _ in range(2):
        book.begin(BootstrapStep.NETWORK)
        book.done("fine")
    assert len(said) == 1
    book.begin(BootstrapStep.NETWORK)
    book.failed(REFUSED, 2, 1.0)
    book.begin(BootstrapStep.NETWORK)
    book.done("fine again")
    assert said[-1].endswith("fine again")


async def test_after_ten_minutes_the_step_that_took_longest_is_named() -> None:
    book, said, told = steps()
    watching = asyncio.create_task(book.watch_overdue())
    book.begin(BootstrapStep.NETWORK)
    await asyncio.sleep(100)
    book.begin(BootstrapStep.CONSOLE_REACHED)
    book.failed(REFUSED, 1, 1.0)
    await asyncio.sleep(501)
    overdue = [line for line in said if line.startswith("registration-overdue")]
    assert len(overdue) == 1
    assert "not registered after 10 minutes; most of it went into console-reached (500 s)" in overdue[0]
    assert "the connection was refused" in overdue[0]
    assert told[-1].reason == "RegistrationOverdue"
    assert told[-1].severity is Severity.WARNING
    await asyncio.sleep(600)
    assert sum(line.startswith("registration-overdue") for line in said) == 2
    watching.cancel()
