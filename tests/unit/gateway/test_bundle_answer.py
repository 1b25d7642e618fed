"""One bundle at a time in the gateway's process: asked again, given up, forgotten, and wrong questions."""

from __future__ import annotations

import asyncio
import base64
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from doubles.gateway import ManualClock
from pcg.errors import Busy, Conflict, InvalidInput, NotFound, PcgError
from pcg.gateway.bundle_answer import ABANDONED_SECONDS, IDLE_SECONDS, BundleAnswer
from pcg.gateway.identity import StateDirectory

ONE, OTHER = str(uuid.UUID(int=1)), str(uuid.UUID(int=2))


class Process:
    """A gateway's, with a machine that has one log."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock()
        self.state = StateDirectory(folder / "state")
        self.state.path.mkdir(exist_ok=True)
        (folder / "machine/var/log").mkdir(parents=True, exist_ok=True)
        (folder / "machine/var/log/syslog").write_text("Feb  3 07:10:00 node-a app[1]: hello\n")
        self.answer = BundleAnswer(self.state, self.clock, root=folder / "machine")
        self.running = asyncio.create_task(self.answer.run())

    async def ask(self, action: str, bundle: str = ONE, **more: Any) -> dict[str, Any]:
        return await self.answer.answer({"action": action, "bundle": bundle, **more})

    async def ready(self, bundle: str = ONE) -> dict[str, Any]:
        async with asyncio.timeout(30):
            while (told := await self.ask("status", bundle))["state"] == "collecting":
                await asyncio.sleep(0.02)
        assert told["state"] == "ready", told
        return told

    async def stop(self) -> None:
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)


@pytest.fixture
async def process(tmp_path: Path) -> AsyncIterator[Process]:
    made = Process(tmp_path)
    await asyncio.sleep(0)
    yield made
    await made.stop()


async def test_begun_once_and_given_away_once(process: Process) -> None:
    assert (await process.ask("begin"))["state"] == "collecting"
    told = await process.ready()
    # The answer to the first `begin` was lost: the same again begins nothing.
    assert await process.ask("begin") == told
    chunk = await process.ask("chunk", offset=0)
    assert len(base64.b64decode(chunk["data"])) == told["size"]
    assert len(base64.b64decode((await process.ask("chunk", offset=told["size"] - 5))["data"])) == 5
    for _ in range(2):
        assert (await process.ask("end"))["state"] == "ended"
    assert not process.state.bundle.exists()
    with pytest.raises(NotFound):
        await process.ask("chunk", offset=0)


async def test_another_waits_until_this_one_is_given_up(process: Process) -> None:
    await process.ask("begin")
    await process.ready()
    with pytest.raises(Busy):
        await process.ask("begin", OTHER)
    await process.clock.advance(ABANDONED_SECONDS + 1)
    await process.ask("begin", OTHER)
    await process.ready(OTHER)
    with pytest.raises(NotFound):
        await process.ask("status", ONE)


async def test_what_nobody_asks_for_is_removed(process: Process) -> None:
    await process.ask("begin")
    await process.ready()
    await process.clock.advance(IDLE_SECONDS / 2)
    assert process.state.bundle.exists()
    await process.clock.advance(IDLE_SECONDS)
    assert not process.state.bundle.exists()
    with pytest.raises(NotFound):
        await process.ask("status")


async def test_a_stop_in_the_middle_leaves_no_process_and_no_file(process: Process) -> None:
    await process.ask("begin")
    await process.stop()
    assert not process.state.bundle.exists()


async def test_what_a_killed_process_left_is_removed_at_the_start(tmp_path: Path) -> None:
    left = StateDirectory(tmp_path / "state").bundle
    left.mkdir(parents=True)
    (left / "spectro-logs.tgz").write_bytes(b"x")
    process = Process(tmp_path)
    await asyncio.sleep(0)
    assert not left.exists()
    await process.stop()


@pytest.mark.parametrize(
    "question",
    [
        {},
        {"action": "read", "bundle": ONE},
        {"action": "begin", "bundle": "../../etc"},
        {"action": "chunk", "bundle": ONE, "offset": -1},
        {"action": "chunk", "bundle": ONE, "offset": 1 << 60},
    ],
)
async def test_wrong_questions(process: Process, question: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        await process.answer.answer(question)


async def test_a_piece_before_it_is_ready_or_behind_its_end(process: Process) -> None:
    await process.ask("begin")
    with pytest.raises(Conflict):
        await process.ask("chunk", offset=0)
    told = await process.ready()
    with pytest.raises(InvalidInput):
        await process.ask("chunk", offset=told["size"])


async def test_a_disk_that_takes_nothing_is_told(process: Process) -> None:
    process.state.path.rename(process.state.path.with_name("moved"))
    with pytest.raises(PcgError) as told:
        await process.ask("begin")
    assert told.value.reason == "bundle-not-written"
