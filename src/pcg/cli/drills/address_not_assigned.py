"""Machines that run and get no address, for one reason after the other on the way to it."""

from __future__ import annotations

from pcg.cli.drilling.drill import Drill, Fault, Kind
from pcg.cli.drilling.neighbours import AddressTaken
from pcg.cli.drilling.scene import with_shared_address

DRILLS = (
    Drill("dhcp-no-answer", Kind.CLOUD, Fault("dhcp/server-stopped")),
    Drill("dhcp-scope-exhausted", Kind.CLOUD, Fault("dhcp/leases-all-taken")),
    Drill(
        "static-address-wrong",
        Kind.INPUT,
        AddressTaken(lambda scene: [scene.shared_address]),
        change=with_shared_address,
    ),
    Drill("cloud-init-incomplete", Kind.CLOUD, Fault("node-image/data-source-missing")),
    Drill("dhcp-not-enabled", Kind.CLOUD, Fault("node-image/network-configuration-off")),
    Drill("network-adapter-disconnected", Kind.CLOUD, Fault("machines/cards-disconnected")),
    Drill("guest-agent-missing", Kind.CLOUD, Fault("machines/agents-stopped")),
)
