"""The cluster's own controllers: deployments, scheduler, node lifecycle, garbage collection.

Level-triggered over the objects: `reconcile` looks at everything and does what is missing; `run_controllers` calls it
after each change. One runs for each cluster, whichever members live.
"""

from __future__ import annotations

import hashlib
import json
from typing import NoReturn

from pcg.clouds.guest.cluster import Cluster
from pcg.clouds.guest.durations import GuestDurations
from pcg.clouds.guest.kubernetes_api.authentication import TOKEN_SECRET_TYPE
from pcg.clouds.guest.kubernetes_api.events import record_event
from pcg.clouds.guest.kubernetes_api.resources import Object, matches
from pcg.clouds.guest.kubernetes_api.store import stamp
from pcg.clouds.guest.surroundings import Surroundings
from pcg.clouds.guest.waiting import event_or_time

_POD_NAME_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
"""Kubernetes' own, without what could spell words"""


async def run_controllers(cluster: Cluster, durations: GuestDurations, around: Surroundings) -> NoReturn:
    controllers = Controllers(cluster, durations, around)
    while True:
        changed = cluster.store.next_change
        again = controllers.reconcile() if cluster.available else None
        await event_or_time(changed, cluster.clock, again)


class Controllers:
    def __init__(self, cluster: Cluster, durations: GuestDurations, around: Surroundings) -> None:
        self._cluster = cluster
        self._around = around
        self._store = cluster.store
        self._grace = durations.node_grace / cluster.speed
        self._eviction = durations.eviction / cluster.speed
        self._lost_since: dict[str, float] = {}
        self._made = 0

    def reconcile(self) -> float | None:
        """Seconds until something is due by time alone, or None."""
        due = self._node_lifecycle()
        self._clean_tokens()
        self._collect_garbage()
        for deployment in self._store.select("deployments"):
            self._scale(deployment)
        for pod in self._store.select("pods", fields={"spec.nodeName": ""}):
            self._schedule(pod)
        return due

    def _node_lifecycle(self) -> float | None:
        now = self._cluster.clock.monotonic()
        due: list[float] = []
        for node in self._store.select("nodes"):
            name = node["metadata"]["name"]
            if name in self._cluster.running:
                self._lost_since.pop(name, None)
                continue
            silent = now - self._lost_since.setdefault(name, now)
            if silent < self._grace:
                due.append(self._grace - silent)
                continue
            if is_ready(node):
                self._mark_unknown(node)
            if silent < self._grace + self._eviction:
                due.append(self._grace + self._eviction - silent)
                continue
            for pod in self._store.select("pods", fields={"spec.nodeName": name}):
                self._delete_pod(pod)
        return min(due, default=None)

    def _clean_tokens(self) -> None:
        """As the token cleaner does with those that have run out."""
        if self._around.tokens_valid:
            return
        for secret in self._store.select("secrets", "kube-system"):
            if secret.get("type") == TOKEN_SECRET_TYPE and not self._around.well("tokens_valid"):
                self._store.delete("secrets", secret["metadata"]["name"], "kube-system")

    def _mark_unknown(self, node: Object) -> None:
        conditions = [
            {
                **condition,
                "status": "Unknown",
                "reason": "NodeStatusUnknown",
                "message": "Kubelet stopped posting node status.",
                "lastTransitionTime": stamp(self._cluster.clock.now()),
            }
            for condition in node["status"]["conditions"]
        ]
        self._store.patch("nodes", node["metadata"]["name"], {"status": {"conditions": conditions}})
        self._tell(
            node, "NodeNotReady", f"Node {node['metadata']['name']} status is now: NodeNotReady", "node-controller"
        )

    def _collect_garbage(self) -> None:
        nodes = {node["metadata"]["name"] for node in self._store.select("nodes")}
        owners = {deployment["metadata"]["uid"] for deployment in self._store.select("deployments")}
        for pod in self._store.select("pods"):
            orphan = any(owner["uid"] not in owners for owner in pod["metadata"].get("ownerReferences", ()))
            if orphan or pod["spec"].get("nodeName", "") not in nodes | {""}:
                self._delete_pod(pod)

    def _scale(self, deployment: Object) -> None:
        """Pods of an older template go at once (strategy Recreate); there is no ReplicaSet between."""
        metadata, spec = deployment["metadata"], deployment["spec"]
        revision = _template_hash(spec["template"])
        selector = spec["selector"]["matchLabels"]
        owned = [
            pod
            for pod in self._store.select("pods", metadata["namespace"], labels=selector)
            if any(owner["uid"] == metadata["uid"] for owner in pod["metadata"].get("ownerReferences", ()))
        ]
        current = [pod for pod in owned if pod["metadata"]["labels"].get("pod-template-hash") == revision]
        surplus = [pod for pod in owned if pod not in current] + current[spec["replicas"] :]
        for pod in surplus:
            self._delete_pod(pod)
        current = current[: spec["replicas"]]
        for _ in range(spec["replicas"] - len(current)):
            current.append(self._make_pod(deployment, revision))
        ready = sum(1 for pod in current if is_ready(pod))
        status = {"replicas": len(current), "readyReplicas": ready, "availableReplicas": ready}
        status |= {"unavailableReplicas": len(current) - ready, "updatedReplicas": len(current)}
        self._store.patch("deployments", metadata["name"], {"status": status}, metadata["namespace"])

    def _make_pod(self, deployment: Object, revision: str) -> Object:
        metadata, template = deployment["metadata"], deployment["spec"]["template"]
        self._made += 1
        unique = _letters(f"{metadata['uid']}/{self._store.revision}/{self._made}", 5)
        owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": metadata["name"], "uid": metadata["uid"]}
        pod = {
            "metadata": {
                "name": f"{metadata['name']}-{revision}-{unique}",
                "labels": {**template["metadata"]["labels"], "pod-template-hash": revision},
                "ownerReferences": [{**owner, "controller": True}],
            },
            "spec": {"restartPolicy": "Always", **template["spec"]},
            "status": {"phase": "Pending", "conditions": []},
        }
        made = self._store.create("pods", pod, metadata["namespace"])
        message = f"Created pod: {made['metadata']['name']}"
        self._tell(deployment, "SuccessfulCreate", message, "replicaset-controller")
        return made

    def _schedule(self, pod: Object) -> None:
        nodes = self._store.select("nodes")
        good = [node for node in nodes if is_ready(node) and node["metadata"]["name"] in self._cluster.running]
        fitting = [node for node in good if not node["spec"].get("unschedulable") and not untolerated(node, pod)]
        metadata = pod["metadata"]
        if not fitting:
            problem = _why_not(nodes, good, pod)
            condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": problem}
            if condition not in pod["status"].get("conditions", ()):
                change = {"status": {"phase": "Pending", "conditions": [condition]}}
                self._store.patch("pods", metadata["name"], change, metadata["namespace"])
                self._tell(pod, "FailedScheduling", problem, "default-scheduler", kind="Warning")
            return
        load = {node["metadata"]["name"]: 0 for node in fitting}
        for other in self._store.select("pods"):
            if other["spec"].get("nodeName") in load:
                load[other["spec"]["nodeName"]] += 1
        chosen = min(load, key=lambda name: (load[name], name))
        self._store.patch("pods", metadata["name"], {"spec": {"nodeName": chosen}}, metadata["namespace"])
        message = f"Successfully assigned {metadata['namespace']}/{metadata['name']} to {chosen}"
        self._tell(pod, "Scheduled", message, "default-scheduler")

    def _delete_pod(self, pod: Object) -> None:
        self._store.delete("pods", pod["metadata"]["name"], pod["metadata"]["namespace"])

    def _tell(self, about: Object, reason: str, message: str, component: str, kind: str = "Normal") -> None:
        record_event(self._store, about, reason, message, component, self._cluster.clock.now(), kind=kind)


def is_ready(entry: Object) -> bool:
    """Of a node or a pod: its condition Ready."""
    conditions = entry.get("status", {}).get("conditions", ())
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def untolerated(node: Object, pod: Object) -> list[Object]:
    """The node's taints that keep the pod away."""
    tolerations = pod["spec"].get("tolerations") or ()
    return [
        taint
        for taint in node["spec"].get("taints") or ()
        if taint.get("effect") != "PreferNoSchedule" and not any(_tolerates(entry, taint) for entry in tolerations)
    ]


def _tolerates(toleration: Object, taint: Object) -> bool:
    if toleration.get("effect") not in (None, "", taint.get("effect")):
        return False
    if toleration.get("operator", "Equal") == "Exists":
        return toleration.get("key") in (None, "", taint["key"])
    return matches(
        {"key": taint["key"], "value": taint.get("value", "")},
        {"key": toleration.get("key", ""), "value": toleration.get("value", "")},
    )


def _why_not(nodes: list[Object], ready: list[Object], pod: Object) -> str:
    reasons = [f"{len(nodes) - len(ready)} node(s) were not ready"] if len(ready) < len(nodes) else []
    cordoned = sum(1 for node in ready if node["spec"].get("unschedulable"))
    reasons += [f"{cordoned} node(s) were unschedulable"] if cordoned else []
    for node in ready:
        reasons += [f"1 node(s) had untolerated taint {{{taint['key']}: }}" for taint in untolerated(node, pod)[:1]]
    return f"0/{len(nodes)} nodes are available: {', '.join(reasons) or 'no nodes'}."


def _template_hash(template: Object) -> str:
    return _letters(json.dumps(template, sort_keys=True), 10)


def _letters(text: str, count: int) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return "".join(_POD_NAME_LETTERS[byte % len(_POD_NAME_LETTERS)] for byte in digest[:count])
