"""The text that kube-apiserver answers to `/readyz?verbose`, `/livez?verbose` and `/healthz?verbose`."""

from __future__ import annotations

_CHECKS = (
    "ping",
    "log",
    "etcd",
    "etcd-readiness",
    "informer-sync",
    "poststarthook/start-kube-apiserver-admission-initializer",
    "poststarthook/generic-apiserver-start-informers",
    "poststarthook/priority-and-fairness-config-consumer",
    "poststarthook/start-apiextensions-informers",
    "poststarthook/crd-informer-synced",
    "poststarthook/start-system-namespaces-controller",
    "poststarthook/bootstrap-controller",
    "poststarthook/rbac/bootstrap-roles",
    "poststarthook/scheduling/bootstrap-system-priority-classes",
    "poststarthook/start-cluster-authentication-info-controller",
    "poststarthook/apiservice-registration-controller",
    "autoregister-completion",
    "shutdown",
)
"""of Kubernetes 1.30, the ones that matter"""

_READY_ALONE = ("etcd-readiness", "informer-sync", "shutdown")


def health_text(check: str, *, etcd: bool) -> str:
    """`check` is readyz, livez or healthz."""
    names = [name for name in _CHECKS if check == "readyz" or name not in _READY_ALONE]
    lines = [
        f"[-]{name} failed: reason withheld" if not etcd and name.startswith("etcd") else f"[+]{name} ok"
        for name in names
    ]
    return "\n".join([*lines, f"{check} check {'passed' if etcd else 'failed'}"]) + "\n"
