"""The installer's jet ends again and again: no token yet, a wrong one, no way to the console, or it cannot start."""

from __future__ import annotations

import os
import secrets
from dataclasses import replace
from pathlib import Path

from pcg.cli.drilling.drill import Act, Drill, Fault, Kind, Stage, Way
from pcg.cli.drilling.scene import Scene
from pcg.errors import PcgError
from pcg.gateway.identity import StateDirectory
from pcg.model.states import StepName

_HOOK = """\
import sys
if sys.orig_argv[-1] == "jet":
    with open({counter!r}, "a") as file:
        file.write("x")
    raise SystemExit(126)
"""
"""what Python runs before it runs anything else: as damaged as an image that bears it"""


_JET_SPEED = 4.0
"""it has to have ended several times before that is a crash loop"""

_FETCHED = "bootstrap: manager: done"
_FETCHED_SECONDS = 60.0
"""within which an installer that is connected has brought what the console's release lists"""


async def _nothing(scene: Scene) -> None:
    """That it is not configured is the trouble, which the configuration alone ends."""


async def _back_offs(scene: Scene) -> int:
    events = await scene.console.items(f"/gateways/{scene.gateway_id}/events")
    return sum(event["reason"] == "JetBackOff" for event in events)


async def _another_token(scene: Scene) -> None:
    """As after a disk was copied from another gateway."""
    token = StateDirectory(scene.state).jet_token
    token.parent.mkdir(mode=0o700, exist_ok=True)
    token.write_text(secrets.token_urlsafe(32))


async def _configure(scene: Scene) -> None:
    await scene.configure()


async def _tokens_refused(scene: Scene) -> int:
    return await scene.console_counted("pcg_requests_total", "/gateway/v1/jet", 'status="401"')


_REFUSE = Fault("edge/relay/refuse")


async def _refuse_jet(scene: Scene) -> None:
    """What stands goes on, and so does the session: only what connects from now on is refused."""
    if not await scene.until(lambda: any(_FETCHED in line for line in scene.screen), _FETCHED_SECONDS):
        raise PcgError("the installer had not brought the console's release before any trouble came")
    await _REFUSE.on(scene)


def _hook(scene: Scene) -> Path:
    return scene.stack.folder / "hook" / "sitecustomize.py"


def _starts(scene: Scene) -> Path:
    return scene.stack.folder / "hook" / "starts"


async def _damage(scene: Scene) -> None:
    _hook(scene).parent.mkdir()
    _hook(scene).write_text(_HOOK.format(counter=str(_starts(scene))))
    paths = [str(_hook(scene).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    scene.stack.installer_environment["PYTHONPATH"] = os.pathsep.join(paths)


async def _repair(scene: Scene) -> None:
    _hook(scene).unlink()


async def _failed_starts(scene: Scene) -> int:
    return len(_starts(scene).read_text()) if _starts(scene).exists() else 0


_DRILLS = (
    Drill("awaiting-configuration", Kind.INPUT, Act(_nothing, _nothing, _back_offs), when=Stage.START, notice=True),
    Drill(
        "token-rejected",
        Kind.INPUT,
        Act(_another_token, _configure, _tokens_refused),
        leads_to=StepName.TEMPLATE,
        unconfigured=True,
    ),
    Drill(
        "console-unreachable",
        Kind.NETWORK,
        Act(_refuse_jet, _REFUSE.off, _REFUSE.hits),
        leads_to=StepName.JET_INSTALLED,
        way=Way.EDGE,
    ),
    Drill(
        "container-cannot-start",
        Kind.INPUT,
        Act(_damage, _repair, _failed_starts),
        when=Stage.START,
        leads_to=Stage.CONNECTED,
    ),
)

DRILLS = tuple(replace(drill, jet_speed=_JET_SPEED) for drill in _DRILLS)
