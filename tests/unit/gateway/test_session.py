"""The session's rules in simulated time: who proves what, what is sent when, and how it comes back."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from nacl.signing import SigningKey

from pcg.errors import GiveUp, Refused
from pcg.model.desired import DesiredState
from pcg.sealing import signatures
from pcg.wire import frames

pytestmark = pytest.mark.looptime


@asynccontextmanager
async def running(bench: Any) -> Any:
    task = asyncio.create_task(bench.session.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_handshake_then_status_and_events_in_order(bench: Any) -> None:
    for number in range(200):
        bench.happen(f"E{number}")
    async with running(bench):
        await asyncio.sleep(1)
        assert [reason for _, _, reason in bench.console.events] == [f"E{number}" for number in range(200)]
        assert bench.store.pending() == (0, [])
        assert [(status.term, status.revision) for status in bench.console.of_type(frames.Status)] == [(1, 1)]
        bench.happen("Later")
        await asyncio.sleep(1)
        assert bench.console.events[-1] == (bench.store.writer, 201, "Later")
        assert bench.session.connected


async def test_desired_state_reaches_the_reconciler(bench: Any) -> None:
    desired = DesiredState(generation=3, incarnation=1, mode="idle")

    async def greet(end: Any) -> None:
        await end.send(frames.encode(frames.Desired(state=desired)))

    bench.console.greet = greet
    async with running(bench):
        await asyncio.sleep(1)
    assert bench.wanted == [desired]


@pytest.mark.parametrize("impostor", ["other key", "other id", "other nonce", "no challenge", "version"])
async def test_a_console_that_cannot_prove_itself_learns_nothing(bench: Any, impostor: str) -> None:
    bench.happen("Secret")

    def first(hello: frames.Hello) -> frames.Frame:
        if impostor == "no challenge":
            return frames.Welcome(term=9, stored={}, time=datetime(2026, 1, 1, tzinfo=UTC))
        key = SigningKey.generate() if impostor == "other key" else bench.console.identity
        console = "console-2" if impostor == "other id" else "console-1"
        signed = signatures.new_nonce() if impostor == "other nonce" else hello.nonce
        version = 7 if impostor == "version" else 1
        parts = signatures.session_parts(version, hello.gateway_id, console, signed, "n")
        signature = signatures.sign(key, signatures.SESSION_CONSOLE, *parts)
        return frames.Challenge(version=version, console_id=console, nonce="n", signature=signature)

    bench.console.first = first
    async with running(bench) as task:
        await asyncio.sleep(600)
        assert not task.done()
        assert not bench.session.connected
    assert {type(frame) for frame in bench.console.received} == {frames.Hello}
    assert len(bench.console.dials) > 5


@pytest.mark.parametrize("frame", [frames.Farewell(), frames.Superseded(term=9)])
async def test_an_unproven_console_cannot_end_the_gateway(bench: Any, frame: frames.Frame) -> None:
    bench.console.first = lambda hello: frame
    async with running(bench) as task:
        await asyncio.sleep(60)
        assert not task.done()


@pytest.mark.parametrize("frame", [frames.Farewell(), frames.Farewell(reason="revoked"), frames.Superseded(term=9)])
@pytest.mark.parametrize("when", ["after the proof", "within the session"])
async def test_the_console_ends_it_for_good(bench: Any, frame: frames.Frame, when: str) -> None:
    if when == "after the proof":
        bench.console.after_proof = lambda proof: frame
    async with running(bench) as task:
        await asyncio.sleep(1)
        if when == "within the session":
            await bench.console.send(frame)
        assert await task == frame
        assert not bench.session.connected


async def test_a_final_refusal_ends_and_another_does_not(bench: Any) -> None:
    bench.console.first = lambda hello: frames.Refusal(reason="busy")
    async with running(bench) as task:
        await asyncio.sleep(60)
        assert not task.done()
        bench.console.first = lambda hello: frames.Refusal(reason="unknown-gateway", final=True)
        await asyncio.sleep(120)
        with pytest.raises(Refused, match="unknown-gateway"):
            await task


async def test_the_term_is_asked_once_and_kept_over_reconnects(bench: Any) -> None:
    async with running(bench):
        for _ in range(3):
            await asyncio.sleep(30)
            await bench.console.ends[-1].close()
        await asyncio.sleep(30)
    assert [proof.term for proof in bench.console.of_type(frames.Proof)] == [0, 1, 1, 1]
    assert [status.revision for status in bench.console.of_type(frames.Status)] == [1, 2, 3, 4]


async def test_what_the_console_has_is_dropped_and_never_sent_again(bench: Any) -> None:
    for number in range(1, 11):
        bench.happen(f"E{number}")
    bench.console.stored = {bench.store.writer: 7}
    async with running(bench):
        await asyncio.sleep(1)
    sent = [report.number for frame in bench.console.of_type(frames.Reports) for report in frame.reports]
    assert sent == [8, 9, 10]


async def test_unacknowledged_reports_are_bounded_and_sent_again(bench: Any) -> None:
    bench.console.acknowledges = False
    for number in range(frames.MAXIMUM_REPORTS * 10):
        bench.happen(f"E{number}")
    async with running(bench):
        await asyncio.sleep(5)
        assert len(bench.console.of_type(frames.Reports)) == 4
        bench.console.acknowledges = True
        await bench.console.ends[-1].close()
        await asyncio.sleep(30)
    reasons = [reason for _, _, reason in bench.console.events]
    assert reasons == [f"E{number}" for number in range(frames.MAXIMUM_REPORTS * 10)]


async def test_an_hour_without_the_console_loses_nothing(bench: Any) -> None:
    async with running(bench):
        await asyncio.sleep(30)
        bench.console.away = True
        await bench.console.ends[-1].close()
        for number in range(60):
            await asyncio.sleep(60)
            bench.happen(f"E{number}")
        tries = len(bench.console.dials)
        bench.console.away = False
        await asyncio.sleep(61)
        assert [reason for _, _, reason in bench.console.events] == [f"E{number}" for number in range(60)]
    waits = [later - earlier for earlier, later in zip(bench.console.dials, bench.console.dials[1:], strict=False)]
    assert waits[1] == pytest.approx(0, abs=0.01) or waits[0] == pytest.approx(30, abs=0.1)
    assert max(waits[1:]) <= 60
    assert 60 <= tries <= 400


async def test_a_session_that_stood_is_opened_again_at_once(bench: Any) -> None:
    async with running(bench):
        await asyncio.sleep(30)
        await bench.console.ends[-1].close()
        await asyncio.sleep(0.1)
        assert len(bench.console.dials) == 2


async def test_a_console_that_breaks_every_session_is_not_hammered(bench: Any) -> None:
    async def greet(end: Any) -> None:
        await end.close()

    bench.console.greet = greet
    async with running(bench):
        await asyncio.sleep(600)
    assert 10 <= len(bench.console.dials) <= 80


async def test_heartbeats_only_when_nothing_else_is_sent(bench: Any) -> None:
    async with running(bench):
        await asyncio.sleep(99)
        assert len(bench.console.of_type(frames.Heartbeat)) == 4
        for number in range(10):
            bench.happen(f"E{number}")
            await asyncio.sleep(10)
        assert len(bench.console.of_type(frames.Heartbeat)) <= 5
        assert len(bench.console.dials) == 1


async def test_a_silent_console_is_noticed_after_three_intervals(bench: Any) -> None:
    bench.console.heartbeats = False
    async with running(bench):
        await asyncio.sleep(59)
        assert len(bench.console.dials) == 1
        await asyncio.sleep(2)
        assert len(bench.console.dials) == 2
        assert any("silent for 60 s" in line for line in bench.said)


async def test_a_console_that_never_answers_hello_is_left(bench: Any) -> None:
    bench.console.answers_handshake = False
    async with running(bench):
        await asyncio.sleep(29)
        assert len(bench.console.dials) == 1
        await asyncio.sleep(3)
        assert len(bench.console.dials) == 2


async def test_many_changes_of_status_are_told_together_and_the_last_is_told(bench: Any) -> None:
    async with running(bench):
        await asyncio.sleep(1)
        for generation in range(1, 101):
            await bench.status.change(generation)
            await asyncio.sleep(0.01)
        await asyncio.sleep(1)
    told = bench.console.of_type(frames.Status)
    assert told[-1].status.generation == 100
    assert len(told) <= 14
    assert [frame.revision for frame in told] == list(range(1, len(told) + 1))


@pytest.mark.parametrize("garbage", ["", "{}", '{"type":"hello"}', "[1]", '{"type":"acknowledge","stored":{"w":"x"}}'])
async def test_garbage_within_a_session_breaks_it_and_it_comes_back(bench: Any, garbage: str) -> None:
    async with running(bench) as task:
        await asyncio.sleep(1)
        await bench.console.ends[-1].send(garbage)
        await asyncio.sleep(60)
        assert not task.done()
        assert bench.session.connected
        assert len(bench.console.dials) == 2


async def test_an_error_that_nobody_foresaw_is_not_swallowed(bench: Any) -> None:
    def broken(desired: DesiredState) -> None:
        raise ZeroDivisionError

    bench.party.want = broken
    async with running(bench) as task:
        await asyncio.sleep(1)
        await bench.console.send(frames.Desired(state=DesiredState(generation=1, incarnation=1, mode="idle")))
        with pytest.raises(ZeroDivisionError):
            await task


# Requests.


async def _ask(bench: Any, *requests: frames.Request | frames.Cancel, seconds: float = 1) -> dict[str, frames.Response]:
    async with running(bench):
        await asyncio.sleep(0.1)
        for request in requests:
            await bench.console.send(request)
            await asyncio.sleep(0.001)
        await asyncio.sleep(seconds)
        assert bench.session.connected
    return {frame.id: frame for frame in bench.console.of_type(frames.Response)}


async def test_requests_are_answered_refused_cut_and_timed(bench: Any) -> None:
    async def preflight(arguments: dict[str, Any]) -> dict[str, Any]:
        return {"got": arguments}

    async def inventory(arguments: dict[str, Any]) -> dict[str, Any]:
        await asyncio.sleep(3600)
        return {}

    async def kubeconfig(arguments: dict[str, Any]) -> dict[str, Any]:
        if arguments:
            raise RuntimeError("password=hunter2")
        raise GiveUp("No cluster yet.", reason="no-cluster")

    bench.party.requests = {"preflight": preflight, "inventory": inventory, "kubeconfig": kubeconfig}
    answers = await _ask(
        bench,
        frames.Request(id="fine", verb="preflight", arguments={"a": 1}),
        frames.Request(id="large", verb="preflight", arguments={"a": "x" * 100}, limit=50),
        frames.Request(id="slow", verb="inventory", deadline=0.5),
        frames.Request(id="no", verb="kubeconfig"),
        frames.Request(id="broken", verb="kubeconfig", arguments={"a": 1}),
        frames.Request(id="unknown", verb="bundle"),
    )
    assert answers["fine"].ok
    assert answers["fine"].body == {"got": {"a": 1}}
    reasons = {name: answer.body["reason"] for name, answer in answers.items() if not answer.ok}
    assert reasons == {
        "large": "too-large",
        "slow": "deadline-exceeded",
        "no": "no-cluster",
        "broken": "unexpected",
        "unknown": "verb-unknown",
    }
    assert "hunter2" not in str(answers["broken"].body)


async def test_a_cancelled_request_is_not_answered(bench: Any) -> None:
    cancelled = []

    async def inventory(arguments: dict[str, Any]) -> dict[str, Any]:
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise
        return {}

    bench.party.requests = {"inventory": inventory}
    answers = await _ask(
        bench,
        frames.Request(id="one", verb="inventory"),
        frames.Request(id="two", verb="inventory"),
        frames.Cancel(id="one"),
        frames.Cancel(id="never-heard-of"),
        seconds=15,
    )
    assert list(answers) == ["two"]
    assert cancelled == [True]


async def test_too_many_requests_at_once_are_answered_busy(bench: Any) -> None:
    async def inventory(arguments: dict[str, Any]) -> dict[str, Any]:
        await asyncio.sleep(5)
        return {}

    bench.party.requests = {"inventory": inventory}
    answers = await _ask(bench, *(frames.Request(id=str(n), verb="inventory") for n in range(10)), seconds=10)
    assert [answers[str(n)].ok for n in range(10)] == [True] * 8 + [False] * 2
