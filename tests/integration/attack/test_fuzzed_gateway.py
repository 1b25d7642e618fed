"""A console that has proven itself and sends anything: the gateway neither ends nor breaks, unless it is told to end by
a frame for that, and no desired state that is older than the known one takes a machine away. In simulated time."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from doubles.console import ConsoleDouble
from integration.attack.garbage import MESSAGES
from integration.attack.test_thief_as_console import Theft, theft
from pcg.errors import ProtocolError, Refused, Unreachable
from pcg.model.desired import DesiredState
from pcg.sealing.keys import GatewayKeys
from pcg.wire import frames
from simulated_time import MEMORY, new_loop
from unit.gateway.conftest import make_bench


async def _hear(path: Path, messages: list[str]) -> None:
    bench = make_bench(path, ConsoleDouble(), GatewayKeys.generate())

    async def inventory(arguments: dict[str, object]) -> dict[str, object]:
        await asyncio.sleep(5)
        return {"got": arguments}

    bench.party.requests = {"inventory": inventory}
    running = asyncio.create_task(bench.session.run())
    try:
        for message in messages:
            await asyncio.sleep(1)
            if running.done():
                break
            try:
                await bench.console.ends[-1].send(message)
            except Unreachable:
                await asyncio.sleep(70)  # it has hung up, and comes back by itself
        await asyncio.sleep(200)
        if running.done():
            _check_it_was_told_to(running, messages)
            return
        # It is none the worse for it: the same process has a session, and tells what happens.
        bench.happen("Afterwards")
        await asyncio.sleep(200)
        assert bench.session.connected
        assert "Afterwards" in [reason for _, _, reason in bench.console.events]
        assert len(bench.console.received) < 2000
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await bench.console.stop()
        bench.store.close()


def _check_it_was_told_to(running: asyncio.Task[object], messages: list[str]) -> None:
    try:
        ending = running.result()
    except Refused:
        assert any('"final": true' in message for message in messages)
    else:
        assert isinstance(ending, frames.Superseded | frames.Farewell)
        assert any(ending.type in message for message in messages)


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(messages=st.lists(MESSAGES, min_size=1, max_size=6))
@example(messages=['{"type":"acknowledge","stored":{"w":9223372036854775808}}'])
def test_nothing_that_a_console_sends_breaks_the_gateway(messages: list[str]) -> None:
    with (
        tempfile.TemporaryDirectory(dir=MEMORY) as folder,
        asyncio.Runner(loop_factory=new_loop) as runner,
    ):
        runner.run(_hear(Path(folder) / "gateway.db", messages))


_HOSTILE: list[str] = [
    '{"type":"welcome","term":1,"stored":{},"time":"2026-01-01T00:00:00Z","heartbeat_seconds":NaN}',
    '{"type":"acknowledge","stored":{"w":9223372036854775808}}',
    '{"type":"acknowledge","stored":{"w":-1}}',
    '{"type":"desired","state":{"generation":18014398509481984,"incarnation":1,"mode":"run"}}',
    '{"type":"desired","state":{"generation":1,"incarnation":-1,"mode":"delete"}}',
    '{"type":"request","id":"1","verb":"delete","arguments":{}}',
    '{"type":"request","id":"1","verb":"inventory","deadline":NaN}',
    "[" * 100_000,
]


@pytest.mark.looptime
@pytest.mark.parametrize("message", _HOSTILE, ids=[
    "never a heartbeat", "beyond the store", "below nothing", "a generation that no other can follow",
    "an incarnation before the first", "a verb that is not on the list", "a deadline that is no time", "deep",
])  # fmt: skip
async def test_known_tricks(tmp_path: Path, message: str):
    await _hear(tmp_path / "gateway.db", [message])


@pytest.mark.looptime
@pytest.mark.parametrize("seconds", ["NaN", "Infinity", "-1", "0", "1e-300"])
async def test_a_console_that_wants_heartbeats_without_end_is_not_given_them(tmp_path: Path, seconds: str):
    console = ConsoleDouble()
    bench = make_bench(tmp_path / "gateway.db", console, GatewayKeys.generate())
    welcome = '{"type":"welcome","term":1,"stored":{},"time":"2026-01-01T00:00:00Z","heartbeat_seconds":SECONDS}'
    if seconds != "1e-300":
        # Seen here first: what waits for a time that is no number would wait in this test too.
        with pytest.raises(ProtocolError):
            frames.decode(welcome.replace("SECONDS", seconds))
    true = frames.encode

    beats = 0

    def encode(frame: frames.Frame) -> str:
        nonlocal beats
        beats += isinstance(frame, frames.Heartbeat)
        # One that is sent without any wait would be the last thing that ever happens here.
        assert beats <= 1300, "more than ten a second"
        return welcome.replace("SECONDS", seconds) if isinstance(frame, frames.Welcome) else true(frame)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(frames, "encode", encode)
        running = asyncio.create_task(bench.session.run())
        await asyncio.sleep(120)
        assert not running.done()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    await console.stop()
    bench.store.close()


@pytest.mark.looptime
async def test_a_question_that_is_cancelled_twice_and_asked_again(tmp_path: Path):
    request = frames.encode(frames.Request(id="1", verb="inventory"))
    cancel = frames.encode(frames.Cancel(id="1"))
    await _hear(tmp_path / "gateway.db", [cancel, request, request, cancel, cancel, request, cancel])


# What no console can do, not even one that is believed: take machines away by what is older, or by saying nothing.


async def _say_older(path: Path, states: list[tuple[int, int, str, bool]]) -> None:
    async with theft(path) as scene:
        await scene.send(scene.newer(incarnation=3, mode="run"))
        await scene.life.until(lambda: _whole(scene))
        machines = sorted(machine.id for machine in scene.life.ours())
        known = scene.life.reconciler.desired
        assert known is not None
        for incarnation, generation, mode, configured in states:
            older = known.model_copy(
                update={
                    "incarnation": incarnation,
                    "generation": generation,
                    "mode": mode,
                    "configuration": known.configuration if configured else None,
                }
            )
            assert (incarnation, generation) < (known.incarnation, known.generation)
            await scene.thief.send(frames.Desired(state=older))
            await asyncio.sleep(60)
        await asyncio.sleep(3600)
        assert scene.life.reconciler.desired == known
        assert sorted(machine.id for machine in scene.life.ours()) == machines


def _whole(scene: Theft) -> bool:
    status = scene.life.status
    done = bool(status.steps) and all(step.state == "done" for step in status.steps)
    return done and status.incarnation == 3 and bool(scene.life.ours())


_MODES = st.sampled_from(["idle", "run", "delete"])
_OLDER = st.one_of(
    st.tuples(st.integers(0, 2), st.sampled_from([0, 1, 2, 3, 2**53]), _MODES, st.booleans()),
    st.tuples(st.just(3), st.integers(0, 1), _MODES, st.booleans()),
)


@settings(max_examples=6, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(states=st.lists(_OLDER, min_size=6, max_size=20))
def test_no_older_desired_state_takes_a_machine_away(states: list[tuple[int, int, str, bool]]) -> None:
    with (
        tempfile.TemporaryDirectory(dir=MEMORY) as folder,
        asyncio.Runner(loop_factory=new_loop) as runner,
    ):
        runner.run(_say_older(Path(folder), states))


@pytest.mark.looptime
@pytest.mark.parametrize("mode", ["run", "idle", "delete"])
async def test_no_desired_state_without_a_configuration_takes_a_machine_away(tmp_path: Path, mode: str):
    """Without it there is no address and no account: the gateway can look at nothing, and does nothing."""
    async with theft(tmp_path) as scene:
        machines = sorted(machine.id for machine in scene.life.ours())
        assert machines
        nothing = DesiredState.model_validate({"generation": 99, "incarnation": 9, "mode": mode})
        await scene.send(nothing)
        await asyncio.sleep(3600)
        assert sorted(machine.id for machine in scene.life.ours()) == machines
