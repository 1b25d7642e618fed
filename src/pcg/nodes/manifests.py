"""Jet's Kubernetes manifest, which the first node applies.

Used by `cloud_config.py`; the gateway's step `jet-installed` uses the names.
"""

from __future__ import annotations

import copy
from functools import lru_cache
from typing import Any

import yaml

from pcg.errors import InvalidInput
from pcg.model.yaml_document import write_yaml

JET_NAMESPACE = "pcg-system"
JET_NAME = "jet"
JET_SECRET = "jet-token"  # noqa: S105 - the Secret's name
JET_CA = "ca.pem"
"""in that Secret, once the console's CA is another than PCG_CA_PEM"""
JET_PORT = 9440
_TOKEN_FOLDER = "/var/run/secrets/pcg"  # noqa: S105 - a path


@lru_cache(maxsize=4)
def jet_manifest_template(version: str) -> str:
    """Namespace and Deployment, the same for every gateway: the artifact that the console offers (`wire.release`).

    The Secret with the token is not part of it: it must never stand in guest info.
    """
    container = {
        "name": JET_NAME,
        "image": f"pcg/jet:{version}",
        "imagePullPolicy": "IfNotPresent",
        "command": ["pcg", "jet"],
        "env": [
            {"name": "PCG_JET_TOKEN_FILE", "value": f"{_TOKEN_FOLDER}/token"},
            {"name": "PCG_CA_FILE", "value": f"{_TOKEN_FOLDER}/{JET_CA}"},
            {"name": "HOST_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}},
            {"name": "PCG_JET_LISTEN", "value": f"$(HOST_IP):{JET_PORT}"},
            {"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        ],
        "volumeMounts": [{"name": "token", "mountPath": _TOKEN_FOLDER, "readOnly": True}],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": JET_PORT}, "periodSeconds": 1},
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    labels = {"app.kubernetes.io/name": JET_NAME}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": JET_NAME, "namespace": JET_NAMESPACE, "labels": labels},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "hostNetwork": True,
                    "automountServiceAccountToken": False,
                    "containers": [container],
                    "volumes": [{"name": "token", "secret": {"secretName": JET_SECRET, "optional": True}}],
                },
            },
        },
    }
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": JET_NAMESPACE}}
    return write_yaml(namespace, deployment)


def jet_manifest(template: str, endpoint: str, ca_pem: str, proxies: dict[str, str] | None = None) -> str:
    """The template with one gateway's way to its console. `proxies` are PCG_… variables; empty ones are left out.

    Raises InvalidInput for a template that is none: an operator may have put another file in its place.
    """
    values = {"PCG_ENDPOINT": endpoint, "PCG_CA_PEM": ca_pem, **(proxies or {})}
    try:
        documents = copy.deepcopy(_documents(template))
        deployment = next(document for document in documents if document["kind"] == "Deployment")
        container = next(
            item for item in deployment["spec"]["template"]["spec"]["containers"] if item["name"] == JET_NAME
        )
        kept = [item for item in container.get("env", []) if item["name"] not in values]
    except (yaml.YAMLError, StopIteration, KeyError, TypeError, AttributeError) as error:
        raise InvalidInput(
            "The console's manifest of jet holds no Deployment with the container jet.",
            reason="jet-manifest-invalid",
            evidence=[f"{type(error).__name__}: {error}"[:400]],
            remedy=["Put the built-in jet-manifest.yaml back: the console writes it at its start."],
        ) from None
    container["env"] = kept + [{"name": name, "value": value} for name, value in values.items() if value]
    return write_yaml(*documents)


@lru_cache(maxsize=4)
def _documents(template: str) -> list[Any]:
    """Read once for all machines."""
    return [document for document in yaml.safe_load_all(template) if document is not None]
