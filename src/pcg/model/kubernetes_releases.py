"""Which Kubernetes releases a gateway cluster can be built with, and the container images that belong to each.

Asked while a configuration is typed (`model.configuration`), and by `pcg.nodes` for kubeadm's configuration. Each line
follows `kubeadm config images list` of that release. The tags of etcd and CoreDNS are written into what kubeadm is
given, so that another patch level of it asks for the same; the pause image is named by containerd's settings.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Release:
    """One version, exact to its patch level; the others are image tags."""

    version: str
    etcd: str
    coredns: str
    pause: str


# Origin: DefaultEtcdVersion, CoreDNSVersion and PauseVersion in cmd/kubeadm/app/constants/constants.go. Compared with
# public outputs of `kubeadm config images list` and `pull`: those for 1.30.14, 1.32.0 and 1.33.4 agree in all three. Of
# 1.29.15 CoreDNS and pause were seen so, and of etcd also 3.5.10-0, which an earlier patch level lists. The last patch
# levels by https://github.com/kubernetes/website/blob/main/data/releases/eol.yaml: 1.30.14, 1.31.14, 1.32.13.
_RELEASES = {
    "1.29": Release("1.29.15", "3.5.16-0", "v1.11.1", "3.9"),
    "1.30": Release("1.30.14", "3.5.15-0", "v1.11.3", "3.9"),
    "1.31": Release("1.31.14", "3.5.15-0", "v1.11.3", "3.10"),
    "1.32": Release("1.32.9", "3.5.16-0", "v1.11.3", "3.10"),
    "1.33": Release("1.33.4", "3.5.21-0", "v1.12.0", "3.10"),
}
"""by minor release; its patch level is taken where a configuration names none"""

MINORS = tuple(_RELEASES)

POD_NETWORKS = ("calico", "cilium", "flannel", "antrea")
"""what `kubernetes.cni` may name; the node image carries a manifest for each that is used (docs/node-image.md)"""


def release_of(version: str) -> Release:
    """Of `MAJOR.MINOR` or `MAJOR.MINOR.PATCH`. Raises ValueError for a minor release that is not known."""
    minor = ".".join(version.split(".")[:2])
    known = _RELEASES.get(minor)
    if known is None:
        raise ValueError(f"Kubernetes {version} is not one of {', '.join(MINORS)}")
    return known if version == minor else Release(version, known.etcd, known.coredns, known.pause)
