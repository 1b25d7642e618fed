"""What a gateway cluster that stands cannot become: asked by the console when a configuration is saved, and by the
gateway, which alone knows what stands, before it acts on one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pcg.model.configuration import Configuration
from pcg.model.made_from import MadeFrom, described, made_from

_SIZE, _IMAGE = "nodes.size", "template.image"

WAY_OUT = "Keep it as it is; or reset the gateway and configure it anew: then a new cluster is built."


@dataclass(frozen=True)
class RefusedChange:
    """`field` as a path in the configuration; `why` for a person."""

    field: str
    why: str


def fixed_parts(configuration: Configuration) -> dict[str, str]:
    """By the field's path: what kubeadm writes into every certificate and manifest when it builds a cluster.

    Without a shared control-plane address also what a machine is made from: the API server's address is the only
    machine's own, so no other machine can take its place.
    """
    network = configuration.network
    parts = {
        "network.controlPlaneAddress": network.control_plane_address or "",
        "network.podCidr": network.pod_cidr,
        "network.serviceCidr": network.service_cidr,
    }
    if network.control_plane_address is None:
        parts |= parts_of_machine(made_from(configuration, 0))
    return parts


def parts_of_machine(made: MadeFrom) -> dict[str, str]:
    return {_SIZE: described(made.cpus, made.memory, made.disk), _IMAGE: made.image}


def refused_change(machines: int, fixed: Mapping[str, str], wanted: Configuration) -> RefusedChange | None:
    """The first wish that a cluster of so many machines, built with these `fixed` parts, cannot follow."""
    if wanted.nodes.count < machines:
        why = (
            f"A cluster of {machines} nodes cannot become one of {wanted.nodes.count}: each holds a part of etcd's "
            "quorum, and the last one alone would be the only copy."
        )
        return RefusedChange("nodes.count", why)
    for field, value in fixed_parts(wanted).items():
        before = fixed.get(field, value)
        if before != value and field in (_SIZE, _IMAGE):
            why = (
                f"The cluster's machine was made with {before}. To replace it by one with {value}, both must stand "
                "behind one network.controlPlaneAddress for a while, and the cluster was built without."
            )
            return RefusedChange(field, why)
        if before != value:
            why = f"The cluster was built with {field} {before or 'left out'}; every node's certificates name it."
            return RefusedChange(field, f"{why} It cannot become {value or 'none'}.")
    return None
