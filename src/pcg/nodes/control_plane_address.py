"""kube-vip's static pod, which holds the control-plane address on one node by ARP (docs/decisions/0015).

https://kube-vip.io/docs/installation/static/ Used by `cloud_config.py` and `images.py`.
"""

from __future__ import annotations

from typing import Any

from pcg.model.yaml_document import write_yaml

MANIFEST_FILE = "/etc/kubernetes/manifests/kube-vip.yaml"
HOSTS_FILE = "/etc/kube-vip.hosts"
HOSTS = "127.0.0.1 localhost kubernetes\n"
"""kube-vip asks the API server of its own node, which it calls `kubernetes`; hostAliases of static pods do not reach
the container in early releases of 1.29 (https://github.com/kube-vip/kube-vip/issues/692)"""

ADMIN = "/etc/kubernetes/admin.conf"
SUPER_ADMIN = "/etc/kubernetes/super-admin.conf"

_NAME = "kube-vip:v0.8.9"


def image(registry: str) -> str:
    return f"{registry or 'ghcr.io/kube-vip'}/{_NAME}"


def manifest(address: str, registry: str, *, first: bool) -> str:
    """`first`: for the node that runs `kubeadm init`.

    Since Kubernetes 1.29 admin.conf has no rights before init has bound them, and init cannot bind them before the
    address is held; only super-admin.conf, which no other node has, can do that. `after_init` ends it.
    """
    environment = {
        "address": address,
        "port": "6443",
        "vip_arp": "true",
        "cp_enable": "true",
        "cp_namespace": "kube-system",
        "vip_leaderelection": "true",
    }
    pod: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "kube-vip", "namespace": "kube-system"},
        "spec": {
            "hostNetwork": True,
            "priorityClassName": "system-node-critical",
            "containers": [
                {
                    "name": "kube-vip",
                    "image": image(registry),
                    "imagePullPolicy": "IfNotPresent",
                    "args": ["manager"],
                    "env": [{"name": name, "value": value} for name, value in environment.items()],
                    "securityContext": {"capabilities": {"add": ["NET_ADMIN", "NET_RAW"]}},
                    "volumeMounts": [
                        {"name": "kubeconfig", "mountPath": ADMIN},
                        {"name": "hosts", "mountPath": "/etc/hosts"},
                    ],
                }
            ],
            "volumes": [
                # Without its type a missing file would be made, as a folder, and kubeadm would stumble over it.
                {"name": "kubeconfig", "hostPath": {"path": SUPER_ADMIN if first else ADMIN, "type": "File"}},
                {"name": "hosts", "hostPath": {"path": HOSTS_FILE, "type": "File"}},
            ],
        },
    }
    return write_yaml(pod)


def after_init() -> list[str]:
    """The command that gives the first node's pod the common administrator again."""
    return ["sed", "-i", f"s|path: {SUPER_ADMIN}|path: {ADMIN}|", MANIFEST_FILE]
