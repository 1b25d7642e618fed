"""Machines that do not become nodes of the cluster, or are none any more."""

from __future__ import annotations

from pcg.cli.drilling.drill import Drill, Fault, Kind, Stage
from pcg.model.states import StepName

DRILLS = (
    Drill(
        "token-expired",
        Kind.CLUSTER,
        Fault("machines/join-tokens-run-out"),
        nodes=3,
        found_within=120.0,  # three machines and a control plane are made before it can show
    ),
    Drill(
        "certificate-mismatch", Kind.CLUSTER, Fault("network/port-6443-intercepted"), leads_to=StepName.CONTROL_PLANE
    ),
    Drill("kubelet-not-running", Kind.CLUSTER, Fault("machines/kubelets-stopped"), when=Stage.RUNNING),
)
