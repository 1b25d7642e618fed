"""An API server that does not answer: by the network, a packet filter, its shared address, itself, its machine."""

from __future__ import annotations

from pcg.cli.drilling.drill import Drill, Fault, Kind
from pcg.cli.drilling.scene import with_shared_address

DRILLS = (
    Drill("network-misconfigured", Kind.CLUSTER, Fault("network/not-routed")),
    Drill("cloud-init-failed", Kind.CLUSTER, Fault("node-image/root-read-only")),
    Drill("firewall-blocked", Kind.CLUSTER, Fault("network/port-6443-dropped")),
    Drill(
        "virtual-ip-not-held",
        Kind.CLUSTER,
        Fault("network/foreign-addresses-dropped"),
        change=with_shared_address,
    ),
    Drill("api-server-down", Kind.CLUSTER, Fault("machines/api-servers-stopped")),
)
