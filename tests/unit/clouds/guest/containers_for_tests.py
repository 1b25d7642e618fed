"""Containers with one behaviour each, for pods in simulated time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from doubles.jet import obedient_jet
from pcg.clock import Clock, LoopClock
from pcg.clouds.guest.containers import CoroutineContainers

from .lab import Lab, given, node_machine, running_lab

Log = Callable[[str], None]
Ready = Callable[[bool], None]


@dataclass
class Recorded:
    """What the containers were given and when they started; a test steers them by `lives` and `exit_code`."""

    clock: Clock
    lives: float = 1.0
    """seconds until the crashing one ends"""
    exit_code: int = 3
    started: list[float] = field(default_factory=list)
    environments: list[dict[str, str]] = field(default_factory=list)
    become_ready: list[Ready] = field(default_factory=list)

    def runtime(self) -> CoroutineContainers:
        """Images: `crash:1` ends after a while, `stay:1` runs and is ready when told, `pcg/jet`."""
        return CoroutineContainers({"crash": self._crash, "stay": self._stay, "pcg/jet": obedient_jet})

    def pauses(self) -> list[float]:
        """Between one container's end and the next one's start, in whole seconds."""
        following = zip(self.started, self.started[1:], strict=False)
        return [round(later - earlier - self.lives) for earlier, later in following]

    async def _crash(self, environment: dict[str, str], log: Log, ready: Ready) -> int:
        self._begin(environment)
        log("about to end")
        ready(True)
        await self.clock.sleep(self.lives)
        return self.exit_code

    async def _stay(self, environment: dict[str, str], log: Log, ready: Ready) -> int:
        self._begin(environment)
        self.become_ready.append(ready)
        if "TOKEN_FILE" in environment:
            log(f"token {Path(environment['TOKEN_FILE']).read_text()}")
        await asyncio.Event().wait()
        return 0

    def _begin(self, environment: dict[str, str]) -> None:
        self.started.append(self.clock.monotonic())
        self.environments.append(environment)


@asynccontextmanager
async def node_with(state: Path, **changes: Any) -> AsyncIterator[tuple[Lab, Recorded]]:
    """A ready node without jet, and the record of what its containers do."""
    clock = LoopClock()
    recorded = Recorded(clock, **changes)
    async with running_lab(state, clock, containers=recorded.runtime()) as lab:
        lab.hypervisor.put(given(node_machine(1), lambda document: document["runcmd"].pop()))
        await lab.nodes_are_ready()
        await lab.send("POST", "/api/v1/namespaces", {"metadata": {"name": "pcg-system"}})
        yield lab, recorded
