"""An API server that does not answer: by the network, a packet filter, its shared address, itself, its machine."""

from __future__ import annotations

from pcg.cli.drilling.drill import Change, Drill, Fault, Kind
from pcg.cli.drilling.scene import with_shared_address
from pcg.model.states import StepName


def _drill(cause: str, fault: str, change: Change | None = None) -> Drill:
    return Drill(cause, Kind.CLUSTER, Fault(fault), leads_to=StepName.CONTROL_PLANE, change=change)


DRILLS = (
    Drill("network-misconfigured", Kind.CLUSTER, Fault("network/not-routed")),
    _drill("cloud-init-failed", "node-image/root-read-only"),
    _drill("firewall-blocked", "network/port-6443-dropped"),
    _drill("virtual-ip-not-held", "network/foreign-addresses-dropped", with_shared_address),
    _drill("api-server-down", "machines/api-servers-stopped"),
)
