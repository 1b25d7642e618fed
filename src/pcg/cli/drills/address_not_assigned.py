"""Machines that run and get no address, for one reason after the other on the way to it."""

from __future__ import annotations

from pcg.cli.drilling.drill import Drill, Fault, Kind
from pcg.cli.drilling.neighbours import AddressTaken
from pcg.cli.drilling.scene import with_shared_address
from pcg.model.states import StepName


def _drill(cause: str, fault: str) -> Drill:
    return Drill(cause, Kind.CLOUD, Fault(fault), leads_to=StepName.MACHINES)


DRILLS = (
    Drill("dhcp-no-answer", Kind.CLOUD, Fault("dhcp/server-stopped")),
    _drill("dhcp-scope-exhausted", "dhcp/leases-all-taken"),
    Drill(
        "static-address-wrong",
        Kind.INPUT,
        AddressTaken(lambda scene: [scene.shared_address]),
        leads_to=StepName.MACHINES,
        change=with_shared_address,
    ),
    _drill("cloud-init-incomplete", "node-image/data-source-missing"),
    _drill("dhcp-not-enabled", "node-image/network-configuration-off"),
    _drill("network-adapter-disconnected", "machines/cards-disconnected"),
    _drill("guest-agent-missing", "machines/agents-stopped"),
)
