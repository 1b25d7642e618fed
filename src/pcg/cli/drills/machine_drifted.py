"""Somebody deletes, switches off, resizes or copies a machine of a running gateway, in the data center's own client."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from pcg.cli.drilling.drill import Act, Drill, Kind, Stage
from pcg.cli.drilling.scene import Scene
from pcg.model.made_from import parse_made_from
from pcg.model.naming import MARK_MACHINE, MARK_MADE_FROM

_COPY = "copy-of-"


async def _ours(scene: Scene, *, copy: bool = False) -> list[str]:
    """Ids of the gateway's machines, or of copies of them, by name."""
    machines = sorted(await scene.lab.machines(), key=lambda machine: str(machine["name"]))
    marked = [machine for machine in machines if MARK_MACHINE in machine["marks"]]
    return [str(machine["id"]) for machine in marked if machine["name"].startswith(_COPY) == copy]


async def _nothing(scene: Scene) -> None:
    """The gateway mends it by itself."""


async def _remove(scene: Scene) -> None:
    await scene.lab.remove((await _ours(scene))[-1])


async def _power_off(scene: Scene) -> None:
    await scene.lab.power_off((await _ours(scene))[0])


async def _copy(scene: Scene) -> None:
    await scene.lab.copy((await _ours(scene))[0])


async def _remove_copy(scene: Scene) -> None:
    for copy in await _ours(scene, copy=True):
        await scene.lab.remove(copy)


async def _resize(scene: Scene) -> None:
    await scene.lab.reconfigure((await _ours(scene))[0], 2, 3)


async def _resize_back(scene: Scene) -> None:
    """To what it was made with."""
    for machine in await scene.lab.machines():
        made = parse_made_from(machine["marks"].get(MARK_MADE_FROM, ""))
        if made is not None:
            await scene.lab.reconfigure(machine["id"], made.cpus, made.memory)


def _counted(kind: str) -> Callable[[Scene], Awaitable[int]]:
    async def count(scene: Scene) -> int:
        return (await scene.lab.counters()).get(f"{kind} by hand", 0)

    return count


def _drill(cause: str, act: Act, nodes: int = 1) -> Drill:
    return Drill(cause, Kind.CLOUD, act, when=Stage.RUNNING, nodes=nodes)


DRILLS = (
    _drill("deleted-outside", Act(_remove, _nothing, _counted("removed")), nodes=3),
    _drill("powered-off-outside", Act(_power_off, _nothing, _counted("powered-off"))),
    _drill("machine-copied", Act(_copy, _remove_copy, _counted("copied"))),
    _drill("reconfigured-outside", Act(_resize, _resize_back, _counted("reconfigured"))),
)
