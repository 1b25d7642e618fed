"""What the simulated node image carries on its disk: a manifest for each pod network (docs/node-image.md).

Laid on a machine's disk by the runner when the machine is made. A simulated pod network is one object that says so:
simulated pods need no addresses.
"""

from __future__ import annotations

from pcg.clouds.guest.disk import MachineDisk
from pcg.model.yaml_document import write_yaml

_FOLDER = "/usr/share/pcg/cni"
_POD_NETWORKS = ("calico", "cilium", "flannel", "antrea")


def lay_out(disk: MachineDisk) -> None:
    for name in _POD_NETWORKS:
        manifest = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": f"{name}-config", "namespace": "kube-system"},
            "data": {"podCidr": "__POD_CIDR__"},
        }
        disk.write(f"{_FOLDER}/{name}.yaml", write_yaml(manifest))
