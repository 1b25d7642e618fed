"""kubeadm's configuration documents (kubeadm.k8s.io/v1beta3), for the first node and for those that join.

https://kubernetes.io/docs/reference/config-api/kubeadm-config.v1beta3/ Used by `cloud_config.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pcg.model.configuration import Configuration
from pcg.model.yaml_document import write_yaml
from pcg.nodes.pki import TOKEN_LIFETIME, ClusterSecrets

API_PORT = 6443
TOKEN_GROUP = "system:bootstrappers:kubeadm:default-node-token"  # noqa: S105 - a group's name
_VERSION = "kubeadm.k8s.io/v1beta3"


def init_configuration(
    name: str, configuration: Configuration, secrets: ClusterSecrets, ordinals: Sequence[int]
) -> str:
    """For the first node: InitConfiguration and ClusterConfiguration.

    `ordinals` are the numbers of the machines that may join from the start. Never empty: given no token at all, kubeadm
    would make one that is good for a day.
    """
    network, release = configuration.network, configuration.kubernetes.release
    cluster: dict[str, Any] = {
        "apiVersion": _VERSION,
        "kind": "ClusterConfiguration",
        "clusterName": "pcg",
        "kubernetesVersion": f"v{release.version}",
        "networking": {"podSubnet": network.pod_cidr, "serviceSubnet": network.service_cidr},
        "etcd": {"local": {"dataDir": "/var/lib/etcd", "imageTag": release.etcd}},
        "dns": {"imageTag": release.coredns},
    }
    if network.control_plane_address:
        cluster["controlPlaneEndpoint"] = f"{network.control_plane_address}:{API_PORT}"
    if configuration.kubernetes.registry:
        cluster["imageRepository"] = configuration.kubernetes.registry
    tokens = [
        {
            "token": secrets.bootstrap_token(ordinal),
            "ttl": f"{int(TOKEN_LIFETIME.total_seconds())}s",
            "usages": ["signing", "authentication"],
            "groups": [TOKEN_GROUP],
        }
        for ordinal in ordinals
    ]
    init = {
        "apiVersion": _VERSION,
        "kind": "InitConfiguration",
        "bootstrapTokens": tokens,
        "nodeRegistration": _registration(name, configuration),
        "localAPIEndpoint": {"bindPort": API_PORT},
    }
    return write_yaml(init, cluster)


def join_configuration(
    name: str, configuration: Configuration, secrets: ClusterSecrets, endpoint: str, ordinal: int
) -> str:
    """For a further control-plane node; `endpoint` is HOST:PORT of the API server, `ordinal` its machine's number."""
    join = {
        "apiVersion": _VERSION,
        "kind": "JoinConfiguration",
        "discovery": {
            "bootstrapToken": {
                "token": secrets.bootstrap_token(ordinal),
                "apiServerEndpoint": endpoint,
                "caCertHashes": [secrets.ca_hash],
            },
            "timeout": "15m0s",
        },
        "controlPlane": {"localAPIEndpoint": {"bindPort": API_PORT}},
        "nodeRegistration": _registration(name, configuration),
    }
    return write_yaml(join)


def _registration(name: str, configuration: Configuration) -> dict[str, Any]:
    return {
        "name": name,
        "criSocket": "unix:///run/containerd/containerd.sock",
        # No taint: in a cluster of control-plane nodes alone jet must run somewhere.
        "taints": [],
        # The node image carries every image under the name that it is published by; kubeadm must not go and ask for
        # them. Under the name of a registry of one's own they may be missing, and then come from there.
        "imagePullPolicy": "IfNotPresent" if configuration.kubernetes.registry else "Never",
    }
