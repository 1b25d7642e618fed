"""Provisioning does not go on: no room, no time, a host, a session or an object that is not there."""

from __future__ import annotations

from typing import Any

from pcg.cli.drilling.drill import Drill, Fault, Kind
from pcg.cli.drilling.neighbours import AddressTaken
from pcg.cli.drilling.scene import Scene
from pcg.model.states import StepName


def _with_pool(scene: Scene, document: dict[str, Any]) -> None:
    _give(document, scene.pool(201))


def _with_other_pool(scene: Scene, document: dict[str, Any]) -> None:
    _give(document, scene.pool(211))


def _give(document: dict[str, Any], pool: list[str]) -> None:
    first, *_, last = pool
    router = f"{first.rpartition('.')[0]}.1"
    document["network"]["addresses"] = {"static": {"range": f"{first}-{last}", "prefix": 24, "gateway": router}}


DRILLS = (
    Drill("insufficient-resources", Kind.CLOUD, Fault("datastore/filled")),
    Drill(
        "address-pool-exhausted",
        Kind.INPUT,
        AddressTaken(lambda scene: scene.pool(201), instead=_with_other_pool),
        leads_to=StepName.MACHINES,
        change=_with_pool,
    ),
    Drill("time-not-synchronised", Kind.CLOUD, Fault("hosts/clock-ahead"), leads_to=StepName.PREFLIGHT),
    Drill("vendor-fault", Kind.CLOUD, Fault("hosts/not-responding"), leads_to=StepName.MACHINES),
    Drill("session-lost", Kind.CLOUD, Fault("api/sessions-ended"), when=StepName.MACHINES, leads_to=StepName.MACHINES),
    Drill("object-not-found", Kind.CLOUD, Fault("inventory/network-renamed"), leads_to=StepName.PREFLIGHT),
)
