"""What a gateway cluster that stands cannot become: asked by the console when a configuration is saved, and by the
gateway, which alone knows what stands, before it acts on one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pcg.model.configuration import Configuration

WAY_OUT = "Keep it as it is; or reset the gateway and configure it anew: then a new cluster is built."


@dataclass(frozen=True)
class RefusedChange:
    """`field` as a path in the configuration; `why` for a person."""

    field: str
    why: str


def fixed_parts(configuration: Configuration) -> dict[str, str]:
    """What kubeadm writes into every certificate and manifest when it builds a cluster, by the field's path."""
    network = configuration.network
    return {
        "network.controlPlaneAddress": network.control_plane_address or "",
        "network.podCidr": network.pod_cidr,
        "network.serviceCidr": network.service_cidr,
    }


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
        if before != value:
            why = f"The cluster was built with {field} {before or 'left out'}; every node's certificates name it."
            return RefusedChange(field, f"{why} It cannot become {value or 'none'}.")
    return None
