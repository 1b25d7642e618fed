"""Which kinds of objects there are, and what is checked of one before it is stored."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Any

from pcg.clouds.guest.kubernetes_api.status import bad_request, invalid
from pcg.clouds.guest.kubernetes_api.validation import (
    Malformed,
    check_budget,
    check_metadata,
    check_node,
    check_pod,
    check_replicas,
)

Object = dict[str, Any]

NAME = re.compile(r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\Z")
"""a lowercase RFC 1123 subdomain"""


@dataclass(frozen=True)
class Resource:
    plural: str
    kind: str
    version: str = "v1"
    namespaced: bool = True


RESOURCES = {
    resource.plural: resource
    for resource in (
        Resource("nodes", "Node", namespaced=False),
        Resource("namespaces", "Namespace", namespaced=False),
        Resource("secrets", "Secret"),
        Resource("configmaps", "ConfigMap"),
        Resource("pods", "Pod"),
        Resource("events", "Event"),
        Resource("deployments", "Deployment", "apps/v1"),
        Resource("poddisruptionbudgets", "PodDisruptionBudget", "policy/v1"),
    )
}


def by_kind(api_version: str, kind: str) -> Resource | None:
    """The resource that a manifest names, or None when this API does not serve it."""
    found = (entry for entry in RESOURCES.values() if (entry.version, entry.kind) == (api_version, kind))
    return next(found, None)


def admitted(resource: Resource, given: Object, namespace: str) -> Object:
    """What is stored of `given`: kind and names made right, a Secret's `stringData` encoded. Raises StatusError."""
    metadata = given.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
        raise invalid(resource.kind, "", "metadata.name: Required value: name or generateName is required")
    name = metadata["name"]
    if not NAME.match(name):
        raise invalid(resource.kind, name, f'metadata.name: Invalid value: "{name}": a lowercase RFC 1123 subdomain')
    for key, wanted in (("apiVersion", resource.version), ("kind", resource.kind)):
        if given.get(key, wanted) != wanted:
            raise bad_request(f"the object provided is unrecognized: {key} {given[key]!r} is not {wanted!r}")
    if resource.namespaced and metadata.get("namespace", namespace) != namespace:
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
    stored = {**given, "apiVersion": resource.version, "kind": resource.kind, "metadata": dict(metadata)}
    if resource.namespaced:
        stored["metadata"]["namespace"] = namespace
    try:
        _complete(resource, stored)
    except Malformed as error:
        raise invalid(resource.kind, name, str(error)) from None
    return stored


def matches(labels: dict[str, str], selector: dict[str, str]) -> bool:
    return all(labels.get(key) == value for key, value in selector.items())


def _complete(resource: Resource, stored: Object) -> None:
    """Checks what others rely on and adds what the API server adds. Raises Malformed, or StatusError."""
    check_metadata(stored["metadata"])
    if resource.plural == "secrets":
        _encode_secret(stored)
    if resource.plural == "deployments":
        _complete_deployment(stored)
    if resource.plural == "poddisruptionbudgets":
        check_budget(stored.get("spec"))
    if resource.plural == "pods":
        check_pod(stored.get("spec"))
        stored["spec"] = {"restartPolicy": "Always", **stored["spec"]}
        stored["status"] = {"phase": "Pending", "conditions": [], **(stored.get("status") or {})}
    if resource.plural == "nodes":
        stored["spec"] = stored.get("spec") or {}
        check_node(stored["spec"])
        stored["status"] = {"addresses": [], "conditions": [], **(stored.get("status") or {})}


def _encode_secret(secret: Object) -> None:
    data, text = secret.get("data") or {}, secret.pop("stringData", None) or {}
    for values, path in ((data, "data"), (text, "stringData")):
        if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
            raise Malformed(f"{path}: Invalid value: values must be strings")
    for key, value in data.items():
        try:
            base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            raise bad_request(f"Secret in version v1 cannot be handled: illegal base64 data of {key!r}") from None
    secret["data"] = data | {key: base64.b64encode(value.encode()).decode() for key, value in text.items()}
    secret.setdefault("type", "Opaque")


def _complete_deployment(deployment: Object) -> None:
    try:
        spec = deployment["spec"] = {"replicas": 1, **deployment["spec"]}
        selector, labels = spec["selector"]["matchLabels"], spec["template"]["metadata"]["labels"]
        check_pod(spec["template"]["spec"], "spec.template.spec")
        chosen = bool(selector) and matches(labels, selector)
    except (KeyError, TypeError, AttributeError) as error:
        what = error.args[0] if isinstance(error, KeyError) else "spec"
        raise Malformed(f"{what}: Required value") from None
    check_replicas(spec["replicas"])
    check_metadata({"labels": labels})
    if not chosen:
        raise Malformed("spec.template.metadata.labels: `selector` does not match template `labels`")
