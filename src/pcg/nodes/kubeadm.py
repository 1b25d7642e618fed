"""kubeadm's configuration documents (kubeadm.k8s.io/v1beta3), for the first node and for those that join.

https://kubernetes.io/docs/reference/config-api/kubeadm-config.v1beta3/ Used by `cloud_config.py`.
"""

from __future__ import annotations

from typing import Any

import yaml

from pcg.model.configuration import Configuration
from pcg.nodes.pki import TOKEN_LIFETIME, ClusterSecrets

API_PORT = 6443
_VERSION = "kubeadm.k8s.io/v1beta3"


def init_configuration(name: str, configuration: Configuration, secrets: ClusterSecrets) -> str:
    """For the first node: InitConfiguration and ClusterConfiguration."""
    network = configuration.network
    cluster: dict[str, Any] = {
        "apiVersion": _VERSION,
        "kind": "ClusterConfiguration",
        "clusterName": "pcg",
        "kubernetesVersion": f"v{configuration.kubernetes.version}",
        "networking": {"podSubnet": network.pod_cidr, "serviceSubnet": network.service_cidr},
        "etcd": {"local": {"dataDir": "/var/lib/etcd"}},
    }
    if network.control_plane_address:
        cluster["controlPlaneEndpoint"] = f"{network.control_plane_address}:{API_PORT}"
    if configuration.kubernetes.registry:
        cluster["imageRepository"] = configuration.kubernetes.registry
    token = {
        "token": secrets.bootstrap_token,
        "ttl": TOKEN_LIFETIME,
        "usages": ["signing", "authentication"],
        "groups": ["system:bootstrappers:kubeadm:default-node-token"],
    }
    init = {
        "apiVersion": _VERSION,
        "kind": "InitConfiguration",
        "bootstrapTokens": [token],
        "nodeRegistration": _registration(name),
        "localAPIEndpoint": {"bindPort": API_PORT},
    }
    return yaml.safe_dump_all([init, cluster], sort_keys=False)


def join_configuration(name: str, endpoint: str, secrets: ClusterSecrets) -> str:
    """For a further control-plane node; `endpoint` is HOST:PORT of the API server."""
    join = {
        "apiVersion": _VERSION,
        "kind": "JoinConfiguration",
        "discovery": {
            "bootstrapToken": {
                "token": secrets.bootstrap_token,
                "apiServerEndpoint": endpoint,
                "caCertHashes": [secrets.ca_hash],
            },
            "timeout": "15m0s",
        },
        "controlPlane": {"localAPIEndpoint": {"bindPort": API_PORT}},
        "nodeRegistration": _registration(name),
    }
    return yaml.safe_dump(join, sort_keys=False)


def _registration(name: str) -> dict[str, Any]:
    # No taint: in a cluster of control-plane nodes alone jet must run somewhere.
    return {"name": name, "criSocket": "unix:///run/containerd/containerd.sock", "taints": []}
