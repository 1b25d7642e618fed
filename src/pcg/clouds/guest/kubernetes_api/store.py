"""The cluster's objects: what etcd holds. One shared store a cluster; `cluster.py` keeps it on every member's disk.

Used by the app (clients), by the controllers and by the kubelets, which all see the same objects.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from pcg.clouds.guest.kubernetes_api.resources import RESOURCES, Object, admitted, matches
from pcg.clouds.guest.kubernetes_api.status import already_exists, conflict, invalid, not_found

KEPT_EVENTS = 500
"""Kubernetes forgets events after an hour; here the oldest go when there are more than this"""

_SERVER_OWNED = ("uid", "creationTimestamp", "resourceVersion")


class ObjectStore:
    """`guard` raises while etcd has no quorum; `commit` is called after each change, before it is visible elsewhere.

    Answers are copies: what a caller does to one changes nothing here.
    """

    def __init__(self, now: Callable[[], datetime], guard: Callable[[], None], commit: Callable[[], None]) -> None:
        self.revision = 0
        self._now = now
        self._guard = guard
        self._commit = commit
        self._objects: dict[tuple[str, str, str], Object] = {}
        self._changed = asyncio.Event()

    @property
    def next_change(self) -> asyncio.Event:
        """Set at the next change. Take it before looking at the objects, then wait for it: nothing is missed."""
        return self._changed

    def touch(self) -> None:
        """Wake who waits: something beside the objects changed (a member came or went)."""
        self._changed.set()
        self._changed = asyncio.Event()

    def get(self, plural: str, name: str, namespace: str = "") -> Object:
        self._guard()
        found = self._objects.get((plural, namespace, name))
        if found is None:
            raise not_found(plural, name)
        return copied(found)

    def find(self, plural: str, name: str, namespace: str = "") -> Object | None:
        self._guard()
        found = self._objects.get((plural, namespace, name))
        return None if found is None else copied(found)

    def select(
        self,
        plural: str,
        namespace: str | None = None,
        *,
        labels: dict[str, str] | None = None,
        fields: dict[str, str] | None = None,
    ) -> list[Object]:
        """In the order of names; of all namespaces when `namespace` is None."""
        self._guard()
        return [
            copied(found)
            for (kind, space, _), found in sorted(self._objects.items(), key=lambda item: item[0])
            if kind == plural
            and namespace in (None, space)
            and matches(found["metadata"].get("labels") or {}, labels or {})
            and all(str(_at(found, path)) == value for path, value in (fields or {}).items())
        ]

    def create(self, plural: str, given: Object, namespace: str = "") -> Object:
        self._guard()
        created = admitted(RESOURCES[plural], given, namespace)
        name = created["metadata"]["name"]
        if namespace and ("namespaces", "", namespace) not in self._objects:
            raise not_found("namespaces", namespace)
        if (plural, namespace, name) in self._objects:
            raise already_exists(plural, name)
        created["metadata"] |= {"uid": str(uuid.uuid4()), "creationTimestamp": stamp(self._now())}
        if plural == "namespaces":
            created["status"] = {"phase": "Active"}
        return self._put(plural, namespace, created)

    def replace(self, plural: str, name: str, given: Object, namespace: str = "") -> Object:
        """A `resourceVersion` in `given` must be the present one."""
        present = self.get(plural, name, namespace)
        replaced = admitted(RESOURCES[plural], given, namespace)
        if replaced["metadata"]["name"] != name:
            raise invalid(RESOURCES[plural].kind, name, "metadata.name: field is immutable")
        asked = replaced["metadata"].get("resourceVersion")
        if asked and asked != present["metadata"]["resourceVersion"]:
            raise conflict(plural, name)
        replaced["metadata"] |= {key: present["metadata"][key] for key in _SERVER_OWNED}
        return self._put(plural, namespace, replaced)

    def patch(self, plural: str, name: str, change: Object, namespace: str = "") -> Object:
        """RFC 7386 merge patch."""
        merged = merge(self.get(plural, name, namespace), change)
        if not isinstance(merged, dict):
            raise invalid(RESOURCES[plural].kind, name, "a patch must be an object")
        return self.replace(plural, name, merged, namespace)

    def delete(self, plural: str, name: str, namespace: str = "") -> Object:
        removed = self.get(plural, name, namespace)
        del self._objects[plural, namespace, name]
        if plural == "namespaces":
            for key in [key for key in self._objects if key[1] == name]:
                del self._objects[key]
        self._committed()
        return removed

    def document(self) -> Object:
        """Everything, as it lies on a member's disk."""
        return {"revision": self.revision, "objects": [[*key, value] for key, value in self._objects.items()]}

    def load(self, document: Object) -> None:
        """Take over what a member's disk holds."""
        self.revision = int(document["revision"])
        self._objects = {(plural, space, name): value for plural, space, name, value in document["objects"]}

    def _put(self, plural: str, namespace: str, stored: Object) -> Object:
        key = (plural, namespace, stored["metadata"]["name"])
        present = self._objects.get(key)
        if present is not None and _same(present, stored):
            return copied(present)
        stored["metadata"]["resourceVersion"] = str(self.revision + 1)
        self._objects[key] = copied(stored)
        if plural == "events":
            for oldest in self._surplus_events():
                del self._objects[oldest]
        self._committed()
        return stored

    def _surplus_events(self) -> list[tuple[str, str, str]]:
        events = [key for key in self._objects if key[0] == "events"]
        return events[: max(0, len(events) - KEPT_EVENTS)]

    def _committed(self) -> None:
        self.revision += 1
        self._commit()
        self.touch()


def copied(found: Object) -> Object:
    """Objects hold what JSON holds; `copy.deepcopy`, which asks for more, takes several times as long."""
    return {key: _copied(part) for key, part in found.items()}


def _copied(part: Any) -> Any:
    if isinstance(part, dict):
        return copied(part)
    return [_copied(item) for item in part] if isinstance(part, list) else part


def merge(target: Any, change: Any) -> Any:
    """RFC 7386."""
    if not isinstance(change, dict):
        return change
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in change.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


def stamp(moment: datetime) -> str:
    """As Kubernetes writes times: RFC 3339 in seconds."""
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _same(one: Object, other: Object) -> bool:
    def plain(entry: Object) -> Object:
        return {**entry, "metadata": {**entry["metadata"], "resourceVersion": ""}}

    return plain(one) == plain(other)


def _at(found: Object, path: str) -> Any:
    value: Any = found
    for part in _parts(path):
        value = value.get(part, "") if isinstance(value, dict) else ""
    return value


def _parts(path: str) -> Iterator[str]:
    return iter(path.split("."))
