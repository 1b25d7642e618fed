"""Whatever happens to console, connection and gateway: every event arrives once, in the order in which it was made."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pcg.wire import frames
from simulated_time import MEMORY, new_loop

_ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("happen"), st.integers(1, 150)),
        st.tuples(st.just("wait"), st.sampled_from([0.001, 0.5, 30, 300])),
        st.tuples(
            st.sampled_from(["break", "away", "back", "deaf", "hear", "mute", "speak", "slow", "quick", "kill"]),
            st.just(0),
        ),
    ),
    max_size=25,
)


async def _live(make: Callable[[Path], Any], path: Path, actions: list[tuple[str, float]]) -> tuple[Any, list[str]]:
    bench, made = make(path), []
    console = bench.console
    running = asyncio.create_task(bench.session.run())
    for action, amount in actions:
        if action == "happen":
            for _ in range(int(amount)):
                made.append(f"E{len(made)}")
                bench.happen(made[-1])
        elif action == "wait":
            await asyncio.sleep(amount)
        elif action == "break" and console.ends:
            await console.ends[-1].close()
        elif action in ("away", "back"):
            console.away = action == "away"
        elif action in ("deaf", "hear"):
            console.acknowledges = action == "hear"
        elif action in ("mute", "speak"):
            console.heartbeats = action == "speak"
        elif action in ("slow", "quick"):
            console.delay = 2.0 if action == "slow" else 0.0
        elif action == "kill":
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            bench.store.close()
            bench = make(path)
            running = asyncio.create_task(bench.session.run())
    console.away, console.acknowledges, console.heartbeats, console.delay = False, True, True, 0.0
    if console.ends:
        await console.ends[-1].close()
    await asyncio.sleep(300)
    assert not running.done()
    left = bench.store.pending()[1]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await console.stop()
    bench.store.close()
    assert left == []
    return console, made


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=_ACTIONS)
def test_every_event_once_and_in_order(world_maker: Any, actions: list[tuple[str, float]]) -> None:
    # In memory, where there is any: a real disk is waited for at every commit, and no power fails here.
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder, asyncio.Runner(loop_factory=new_loop) as runner:
        console, made = runner.run(_live(world_maker(), Path(folder) / "gateway.db", actions))
    assert [reason for _, _, reason in console.events] == made
    # Within one term the revisions of the status rise, over every reconnect.
    told = [(frame.term, frame.revision) for frame in console.of_type(frames.Status)]
    assert told == sorted(set(told))


@pytest.mark.parametrize("ticks", range(12))
def test_cancelled_just_when_the_connection_breaks_it_ends(tmp_path: Path, world_maker: Any, ticks: int) -> None:
    """`ticks` of the event loop lie between the break and the cancellation."""

    async def live() -> bool:
        bench = world_maker()(tmp_path / "gateway.db")
        running = asyncio.create_task(bench.session.run())
        await asyncio.sleep(30)
        await bench.console.ends[-1].close()
        for _ in range(ticks):
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait([running], timeout=600)
        ended = running.cancelled()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await bench.console.stop()
        bench.store.close()
        return ended

    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert runner.run(live())
