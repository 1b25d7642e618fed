"""What the data center keeps: all or nothing on disk, and tasks that end once, on time, whatever happens to it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from pcg.clock import LoopClock
from pcg.clouds.simulated import tasks as tasks_module
from pcg.clouds.simulated.refusals import Refusal
from pcg.clouds.simulated.state import State
from pcg.clouds.simulated.tasks import Task, Tasks

pytestmark = pytest.mark.looptime


def test_a_transaction_is_all_or_nothing(tmp_path: Path) -> None:
    state = State(tmp_path / "new folder" / "datacenter.db")
    state.put("kind", "kept", {"value": 1})
    with pytest.raises(RuntimeError), state.transaction():
        state.put("kind", "lost", {"value": 2})
        state.remove("kind", "kept")
        with state.transaction():
            state.put("kind", "inner", {"value": 3})
        raise RuntimeError
    assert state.all("kind") == {"kept": {"value": 1}}
    with state.transaction():
        state.put("kind", "kept", {"value": 4})
    assert state.get("kind", "kept") == {"value": 4}
    state.close()


def test_documents_outlive_the_process_and_are_kept_apart_by_kind(tmp_path: Path) -> None:
    first = State(tmp_path / "datacenter.db")
    first.put("kind", "key", {"value": "ä"})
    first.close()
    second = State(tmp_path / "datacenter.db")
    assert second.get("kind", "key") == {"value": "ä"}
    assert second.get("other", "key") is None
    second.close()


class Office:
    """Tasks of one kind whose effect is counted; started again on the same disk it is the process started again."""

    def __init__(self, folder: Path) -> None:
        self.state = State(folder / "datacenter.db")
        self.done: list[tuple[float, str]] = []
        self.changes: list[str] = []
        self.refusal: Refusal | None = None
        self.tasks = Tasks(
            self.state,
            LoopClock(),
            effects={"clone": self._effect},
            preparations={},
            on_change=lambda task: self.changes.append(f"{task.object} {task.state}"),
        )
        self._work = asyncio.create_task(self.tasks.run())

    def _effect(self, task: Task) -> None:
        self.done.append((asyncio.get_running_loop().time(), task.object))
        self.state.put("made", task.object, {})
        if self.refusal is not None:
            raise self.refusal

    def begin(self, name: str, seconds: float = 20.0, **request: Any) -> Task:
        return self.tasks.begin("clone", name, "gateway-1", seconds, request)

    async def end(self) -> None:
        self._work.cancel()
        await asyncio.gather(self._work, return_exceptions=True)
        self.state.close()


async def test_a_task_can_be_seen_while_it_runs_and_has_its_effect_once(tmp_path: Path) -> None:
    office = Office(tmp_path)
    task = office.begin("a")
    await asyncio.sleep(10)
    assert [item.id for item in office.tasks.running("gateway-1")] == [task.id]
    assert office.tasks.running("another") == []
    assert task.progress(10.0) == 50
    await asyncio.sleep(60)
    assert office.done == [(20.0, "a")]
    assert office.changes == ["a running", "a done"]
    ended = office.tasks.get(task.id)
    assert ended is not None
    assert (ended.state, ended.finished, ended.progress(0.0)) == ("done", 20.0, 100)
    await office.end()


async def test_tasks_go_on_side_by_side(tmp_path: Path) -> None:
    office = Office(tmp_path)
    for name in "abc":
        office.begin(name)
    await asyncio.sleep(20.1)
    assert sorted(name for _, name in office.done) == ["a", "b", "c"]
    await office.end()


async def test_a_task_goes_on_after_a_restart_and_ends_when_it_would_have(tmp_path: Path) -> None:
    office = Office(tmp_path)
    office.begin("a")
    await asyncio.sleep(8)
    await office.end()
    await asyncio.sleep(4)
    again = Office(tmp_path)
    await asyncio.sleep(7.9)
    assert again.done == []
    await asyncio.sleep(0.2)
    assert again.done == [(20.0, "a")]
    await again.end()


async def test_a_task_whose_time_passed_during_the_restart_ends_at_once_and_once(tmp_path: Path) -> None:
    office = Office(tmp_path)
    office.begin("a")
    await office.end()
    await asyncio.sleep(100)
    again = Office(tmp_path)
    await asyncio.sleep(0.1)
    assert [name for _, name in again.done] == ["a"]
    await again.end()
    third = Office(tmp_path)
    await asyncio.sleep(100)
    assert third.done == []
    await third.end()


async def test_a_refused_effect_fails_the_task_keeps_its_error_and_leaves_nothing(tmp_path: Path) -> None:
    office = Office(tmp_path)
    office.refusal = Refusal("name-taken", "The name is taken.", {"name": "a"})
    task = office.begin("a")
    await asyncio.sleep(20.1)
    failed = office.tasks.get(task.id)
    assert failed is not None
    assert (failed.state, failed.error) == ("failed", office.refusal.document())
    assert office.state.all("made") == {}
    await office.end()
    again = Office(tmp_path)
    assert again.tasks.get(task.id) == failed
    await again.end()


async def test_what_a_task_was_given_is_forgotten_with_its_end(tmp_path: Path) -> None:
    office = Office(tmp_path)
    task = office.begin("a", user_data="secret")
    assert "secret" not in repr(task)
    await asyncio.sleep(20.1)
    assert "secret" not in str(office.state.all("task"))
    await office.end()


async def test_finished_tasks_are_forgotten_from_the_oldest_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks_module, "KEPT_FINISHED", 3)
    office = Office(tmp_path)
    running = office.begin("running", seconds=1000.0)
    for number in range(6):
        office.begin(str(number), seconds=1.0)
        await asyncio.sleep(2)
    kept = [task.object for task in office.tasks.log()]
    assert kept[0] == "running"
    assert kept[-1] == "5"
    assert len(kept) <= 5
    assert len(office.state.all("task")) == len(kept)
    assert office.tasks.get(running.id) is not None
    await office.end()
