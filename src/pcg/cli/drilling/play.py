"""Plays drills: the trouble comes, the system names it, the trouble goes, the system goes on by itself. Called by
`pcg drill`.

What is judged is only what a person could see: the console's findings, those that the machine keeps of itself, and the
faulty part's own counter.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from pcg.cli.drilling.drill import RECOVERED_SECONDS, Drill, Played, Stage
from pcg.cli.drilling.events import nothing_lost
from pcg.cli.drilling.scene import Scene, SharedConsole, open_scene, running_console
from pcg.errors import PcgError

STAGE_SECONDS = 120.0
"""within which a gateway without trouble comes to where the trouble shall meet it, several at once on two cores"""

COUNTED_SECONDS = 5.0
"""a counter may rise a moment after the finding"""

LIMIT_SECONDS = 300.0
"""of one drill, whatever happens"""

Told = Callable[[str], None]


@dataclass(frozen=True)
class Run:
    """How drills are played. `told` gets each line of progress, `played` each row once those before it are there."""

    folder: Path
    speed: float
    at_once: int
    told: Told
    played: Callable[[Played], None]
    logs: Path | None = None


@dataclass
class _Course:
    caused: bool = False
    found: bool = False
    only: bool = False
    recovered: bool = False
    others: tuple[str, ...] = ()
    trouble: str = ""
    began: float = field(default_factory=time.monotonic)


async def play_all(drills: Mapping[str, Drill], run: Run) -> None:
    """At most `run.at_once` side by side, before one console; `run.played` gets each row in the order of `drills`."""
    places = asyncio.Semaphore(run.at_once)
    async with running_console(run.folder / "shared") as shared:
        run.told(f"console ready at {shared.url}")

        async def one(number: int, key: str, drill: Drill) -> Played:
            async with places:
                return await _play(number, key, drill, shared, run)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(number, *item)) for number, item in enumerate(drills.items())]
            for task in tasks:
                run.played(await task)


async def _play(number: int, key: str, drill: Drill, shared: SharedConsole, run: Run) -> Played:
    scenario, _, cause = key.partition("/")
    course = _Course()
    logs = run.logs / key.replace("/", ".") if run.logs else None
    try:
        async with (
            asyncio.timeout(LIMIT_SECONDS),
            open_scene(drill, shared, run.folder / str(number), run.speed, logs) as scene,
        ):
            await _course(scene, (scenario, cause), course, lambda line: run.told(f"{key}: {line}"))
    except (PcgError, OSError, TimeoutError, httpx.HTTPError) as error:
        course.trouble = str(error) or f"it took longer than {LIMIT_SECONDS:g} seconds"
        run.told(f"{key}: {course.trouble}")
    return Played(
        scenario=scenario,
        cause=cause,
        kind=drill.kind,
        caused=course.caused,
        found=course.found,
        only=course.only,
        recovered=course.recovered,
        seconds=round(time.monotonic() - course.began, 1),
        others=course.others,
        trouble=course.trouble,
    )


async def _course(scene: Scene, wanted: tuple[str, str], course: _Course, told: Told) -> None:
    drill = scene.drill
    if drill.when is not Stage.START:
        await scene.start_installer()
        if not await scene.until(lambda: scene.reached(Stage.CONNECTED), STAGE_SECONDS):
            raise PcgError("the gateway did not register, before any trouble came")
    if drill.when not in (Stage.START, Stage.CONNECTED):
        await scene.configure()
        if not await scene.until(lambda: scene.under_way(drill.when), STAGE_SECONDS):
            raise PcgError(f"{drill.when} was not reached, before any trouble came")
    scene.forget_seen()
    before = await drill.trouble.hits(scene)
    await drill.trouble.on(scene)
    told("trouble comes")
    if drill.when is Stage.START:
        await scene.start_installer()
    elif drill.when is Stage.CONNECTED and drill.configures and not drill.unconfigured:
        await scene.configure()
    course.found = await scene.until(lambda: wanted in scene.seen, drill.found_within)
    course.caused = await _counted(scene, before)
    told("found; the trouble goes" if course.found else "not found; the trouble goes")
    await drill.trouble.off(scene)
    if drill.when is Stage.START and drill.configures:
        if not await scene.until(lambda: scene.reached(Stage.CONNECTED), RECOVERED_SECONDS):
            raise PcgError("the gateway did not register after the trouble had gone")
        await scene.configure()
    course.recovered = await scene.until(
        lambda: wanted not in scene.present and scene.reached(drill.leads_to), RECOVERED_SECONDS
    )
    if course.recovered and drill.nothing_lost:
        course.recovered = await _all_arrives(scene)
    grave = {key for key, severity in scene.seen.items() if severity != "info"}
    course.only = grave == (set() if drill.notice else {wanted})
    course.others = tuple(sorted("/".join(key) for key in grave - {wanted}))
    told("recovered" if course.recovered else "not recovered")


async def _all_arrives(scene: Scene) -> bool:
    """Events come a moment after the session."""
    ends = time.monotonic() + COUNTED_SECONDS
    while not await nothing_lost(scene.state, scene.console, scene.gateway_id):
        if time.monotonic() > ends:
            return False
        await asyncio.sleep(0.1)
    return True


async def _counted(scene: Scene, before: int) -> bool:
    ends = time.monotonic() + COUNTED_SECONDS
    while await scene.drill.trouble.hits(scene) <= before:
        if time.monotonic() > ends:
            return False
        await asyncio.sleep(0.1)
    return True
