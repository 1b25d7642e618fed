"""Every container image that a node needs: what the node image must carry, so that joining pulls nothing.

docs/node-image.md has the list for the defaults; whoever builds a node image checks it against this.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from pcg import __version__
from pcg.model.configuration import Configuration
from pcg.nodes import control_plane_address
from pcg.nodes.manifests import jet_manifest_template

KUBERNETES_REGISTRY = "registry.k8s.io"


def images_of(configuration: Configuration, jet_template: str | None = None) -> list[str]:
    """With their tags, as the container runtime knows them. The pod network's come beside them: those that the manifest
    in the node image names (`images_in`). `jet_template`: the console's manifest of jet, where it is not our own."""
    jet = images_in(jet_template or jet_manifest_template(__version__))
    shared = configuration.network.control_plane_address
    kube_vip = [control_plane_address.image(configuration.kubernetes.registry)] if shared else []
    return [*_of_kubeadm(configuration), *kube_vip, *map(_in_full, jet)]


def images_in(manifests: str) -> list[str]:
    """Of every container in a file of manifests, in order, each once."""
    return list(dict.fromkeys(image for document in yaml.safe_load_all(manifests) for image in _images(document)))


def _of_kubeadm(configuration: Configuration) -> list[str]:
    """What `kubeadm config images list` prints for its configuration."""
    release, registry = configuration.kubernetes.release, configuration.kubernetes.registry
    # kubeadm's own rule: only where it is published CoreDNS lies one folder deeper.
    coredns = "coredns" if registry else "coredns/coredns"
    names = [
        *(f"kube-{name}:v{release.version}" for name in ("apiserver", "controller-manager", "scheduler", "proxy")),
        f"{coredns}:{release.coredns}",
        f"pause:{release.pause}",
        f"etcd:{release.etcd}",
    ]
    return [f"{registry or KUBERNETES_REGISTRY}/{name}" for name in names]


def _images(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in ("containers", "initContainers") and isinstance(inner, list):
                yield from (item["image"] for item in inner if isinstance(item, dict) and "image" in item)
            yield from _images(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _images(inner)


def _in_full(image: str) -> str:
    """containerd's reading of a name without a registry."""
    first, slash, _ = image.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return image
    return f"docker.io/{image if slash else f'library/{image}'}"
