"""What is checked of an object's parts before it is stored: what the controllers and the kubelets rely on.

An object that one of them stumbled over would stop the whole data center. Called by `resources.admitted`. Raises
Malformed with the path and Kubernetes' own words for what is wrong there.
"""

from __future__ import annotations

import re
from typing import Any

_LABEL = re.compile(r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\Z")
_RESTART_POLICIES = ("Always", "OnFailure", "Never")


class Malformed(Exception):
    """Its text is `path: what is wrong`."""


def check_metadata(metadata: dict[str, Any]) -> None:
    _each_text(metadata.get("labels"), "metadata.labels")
    for owner, path in _entries(metadata.get("ownerReferences"), "metadata.ownerReferences"):
        _text(owner.get("uid"), f"{path}.uid")


def check_node(spec: Any, path: str = "spec") -> None:
    for taint, where in _entries(_mapping(spec, path).get("taints"), f"{path}.taints"):
        _text(taint.get("key"), f"{where}.key")


def check_budget(spec: Any, path: str = "spec") -> None:
    """One of two numbers; percentages are not served here."""
    spec = _mapping(spec, path)
    _mapping(_mapping(spec.get("selector"), f"{path}.selector").get("matchLabels"), f"{path}.selector.matchLabels")
    given = [key for key in ("minAvailable", "maxUnavailable") if key in spec]
    if len(given) != 1 or isinstance(spec[given[0]], bool) or not isinstance(spec[given[0]], int):
        raise Malformed(f"{path}: Invalid value: minAvailable or maxUnavailable, as a number")


def check_replicas(value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise Malformed(f"spec.replicas: Invalid value: {value!r}: must be greater than or equal to 0")


def check_pod(spec: Any, path: str = "spec") -> None:
    spec = _mapping(spec, path)
    if spec.get("restartPolicy", "Always") not in _RESTART_POLICIES:
        raise Malformed(f"{path}.restartPolicy: Unsupported value: {spec['restartPolicy']!r}")
    volumes: set[str] = set()
    for volume, where in _entries(spec.get("volumes"), f"{path}.volumes"):
        _unique_label(volume.get("name"), f"{where}.name", volumes)
        if volume.get("secret") is not None:
            _text(_mapping(volume["secret"], f"{where}.secret").get("secretName"), f"{where}.secret.secretName")
    containers: set[str] = set()
    for container, where in _entries(spec.get("containers"), f"{path}.containers"):
        _unique_label(container.get("name"), f"{where}.name", containers)
        _check_container(container, where, volumes)
    if not containers:
        raise Malformed(f"{path}.containers: Required value")
    for _ in _entries(spec.get("tolerations"), f"{path}.tolerations"):
        pass


def _check_container(container: dict[str, Any], path: str, volumes: set[str]) -> None:
    _text(container.get("image"), f"{path}.image")
    for variable, where in _entries(container.get("env"), f"{path}.env"):
        _text(variable.get("name"), f"{where}.name")
        source = _mapping(variable.get("valueFrom") or {}, f"{where}.valueFrom")
        if "fieldRef" in source:
            reference = _mapping(source["fieldRef"], f"{where}.valueFrom.fieldRef")
            _text(reference.get("fieldPath"), f"{where}.valueFrom.fieldRef.fieldPath")
        if source.get("secretKeyRef") is not None:
            reference = _mapping(source["secretKeyRef"], f"{where}.valueFrom.secretKeyRef")
            for key in ("name", "key"):
                _text(reference.get(key), f"{where}.valueFrom.secretKeyRef.{key}")
    for mount, where in _entries(container.get("volumeMounts"), f"{path}.volumeMounts"):
        _text(mount.get("mountPath"), f"{where}.mountPath")
        if mount.get("name") not in volumes:
            raise Malformed(f"{where}.name: Not found: {mount.get('name')!r}")
    probe = _mapping(container.get("readinessProbe") or {}, f"{path}.readinessProbe")
    period, get = probe.get("periodSeconds", 10), probe.get("httpGet")
    if not isinstance(period, int) or period < 1:
        raise Malformed(f"{path}.readinessProbe.periodSeconds: Invalid value: {period!r}")
    if get is not None and not isinstance(_mapping(get, f"{path}.readinessProbe.httpGet").get("port"), int):
        raise Malformed(f"{path}.readinessProbe.httpGet.port: Invalid value: {get.get('port')!r}: must be a number")


def _unique_label(name: Any, path: str, seen: set[str]) -> None:
    _text(name, path)
    if not _LABEL.match(name):
        raise Malformed(f"{path}: Invalid value: {name!r}: a lowercase RFC 1123 label")
    if name in seen:
        raise Malformed(f"{path}: Duplicate value: {name!r}")
    seen.add(name)


def _entries(value: Any, path: str) -> list[tuple[dict[str, Any], str]]:
    """Each with its own path; none at all is an empty list."""
    if not isinstance(value or [], list):
        raise Malformed(f"{path}: Invalid value: must be a list")
    return [(_mapping(entry, f"{path}[{number}]"), f"{path}[{number}]") for number, entry in enumerate(value or [])]


def _each_text(value: Any, path: str) -> None:
    for key, text in _mapping({} if value is None else value, path).items():
        if not isinstance(text, str):
            raise Malformed(f"{path}.{key}: Invalid value: must be a string")


def _mapping(value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Malformed(f"{path}: {'Required value' if value is None else 'Invalid value: must be an object'}")
    return value


def _text(value: Any, path: str) -> None:
    if not isinstance(value, str) or not value:
        raise Malformed(f"{path}: Required value")
