"""Work that takes time and can be seen while it does: tasks, kept on disk, that end whether anybody looks or not.

Each kind has an effect, carried out in the same transaction that ends its task. A data center that was killed takes
its running tasks up again.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from pcg.clock import Clock
from pcg.clouds.simulated.refusals import Refusal
from pcg.clouds.simulated.state import State

_KIND = "task"
KEPT_FINISHED = 1000
"""finished tasks that are remembered"""


@dataclass(frozen=True)
class Task:
    """`started` and `finished` in seconds of the clock's monotonic time; `owner` is a gateway's id, or empty."""

    id: str
    kind: str
    object: str
    """name of the machine or template"""
    owner: str
    number: int
    started: float
    seconds: float
    state: str = "running"
    """running, done or failed"""
    finished: float | None = None
    error: dict[str, Any] | None = None
    request: dict[str, Any] = field(default_factory=dict, repr=False)
    """what the effect needs"""

    def progress(self, now: float) -> int:
        """Percent; below 100 until it has ended."""
        if self.state != "running":
            return 100
        return 0 if self.seconds <= 0 else max(0, min(99, int(100 * (now - self.started) / self.seconds)))


Effect = Callable[[Task], None]
Preparation = Callable[[Task], Awaitable[None]]


class Tasks:
    """`effects` by kind, run at the end; `preparations` by kind, run first and allowed to wait. Both may raise Refusal:
    then the task has failed. `on_change` hears of each beginning and end."""

    def __init__(
        self,
        state: State,
        clock: Clock,
        *,
        effects: Mapping[str, Effect],
        preparations: Mapping[str, Preparation],
        on_change: Callable[[Task], None],
    ) -> None:
        self._state = state
        self._clock = clock
        self._effects = effects
        self._preparations = preparations
        self._on_change = on_change
        self._group: asyncio.TaskGroup | None = None
        self._tasks = {key: Task(**document) for key, document in state.all(_KIND).items()}
        self._number = max((task.number for task in self._tasks.values()), default=0)

    async def run(self) -> None:
        """Works off what runs, and what is begun later, until cancelled."""
        async with asyncio.TaskGroup() as self._group:
            for task in self.running():
                self._group.create_task(self._work(task), name=f"{task.kind} {task.object}")
            await asyncio.Event().wait()

    def begin(self, kind: str, name: str, owner: str, seconds: float, request: dict[str, Any]) -> Task:
        """Raises nothing; the task is on disk when this answers."""
        self._number += 1
        task = Task(
            id=f"task-{uuid.uuid4().hex[:12]}",
            kind=kind,
            object=name,
            owner=owner,
            number=self._number,
            started=self._clock.monotonic(),
            seconds=seconds,
            request=request,
        )
        self._save(task)
        if self._group is not None:
            self._group.create_task(self._work(task), name=f"{kind} {name}")
        return task

    def running(self, owner: str | None = None) -> list[Task]:
        found = [task for task in self._tasks.values() if task.state == "running" and owner in (None, task.owner)]
        return sorted(found, key=lambda task: task.number)

    def get(self, task_id: str) -> Task | None:
        return self._tasks.get(task_id)

    def log(self) -> list[Task]:
        return sorted(self._tasks.values(), key=lambda task: task.number)

    async def _work(self, task: Task) -> None:
        try:
            prepare = self._preparations.get(task.kind)
            if prepare is not None:
                await prepare(task)
            # A clock that was set back (a reboot) must not make it take longer than it takes.
            gone = max(0.0, self._clock.monotonic() - task.started)
            await self._clock.sleep(max(0.0, task.seconds - gone))
            with self._state.transaction():
                self._effects[task.kind](task)
                self._save(self._ended(task, "done"))
        except Refusal as refusal:
            self._save(replace(self._ended(task, "failed"), error=refusal.document()))

    def _ended(self, task: Task, state: str) -> Task:
        # What it was given is not kept: it may hold secrets, and nobody needs it any more.
        return replace(task, state=state, finished=self._clock.monotonic(), request={})

    def _save(self, task: Task) -> None:
        with self._state.transaction():
            self._state.put(_KIND, task.id, asdict(task))
            self._tasks[task.id] = task
            finished = (
                [item for item in self.log() if item.state != "running"] if len(self._tasks) > KEPT_FINISHED else []
            )
            for old in finished[: max(0, len(finished) - KEPT_FINISHED)]:
                self._state.remove(_KIND, old.id)
                del self._tasks[old.id]
        self._on_change(task)
