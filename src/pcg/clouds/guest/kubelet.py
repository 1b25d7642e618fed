"""The simulated kubelet of one node: registers the node and runs the pods that are bound to it.

Level-triggered over the cluster's objects. It goes on running its containers while the API has no quorum, and tells
their state when it has one again. Started by the guest once kubeadm has joined the node.
"""

from __future__ import annotations

import asyncio
from typing import NoReturn

from pcg.clouds.guest.cluster import Cluster
from pcg.clouds.guest.disk import MachineDisk
from pcg.clouds.guest.environment import Environment
from pcg.clouds.guest.kubernetes_api.events import record_event
from pcg.clouds.guest.kubernetes_api.resources import Object
from pcg.clouds.guest.kubernetes_api.status import StatusError
from pcg.clouds.guest.kubernetes_api.store import stamp
from pcg.clouds.guest.logs import GuestLogs
from pcg.clouds.guest.pod_worker import PodWorker

_FULL = ("True", "KubeletHasDiskPressure", "kubelet has disk pressure")
_PRESSURE = {"key": "node.kubernetes.io/disk-pressure", "effect": "NoSchedule"}
_HEALTHY = {
    "MemoryPressure": ("False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    "DiskPressure": ("False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    "PIDPressure": ("False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    "Ready": ("True", "KubeletReady", "kubelet is posting ready status"),
}


class Kubelet:
    def __init__(
        self,
        *,
        machine_id: str,
        node: str,
        address: str,
        cluster: Cluster,
        disk: MachineDisk,
        logs: GuestLogs,
        environment: Environment,
        template: Object,
    ) -> None:
        """`template`: labels and taints with which the node registers itself, when it is not registered."""
        self._machine_id = machine_id
        self._node = node
        self._address = address
        self._cluster = cluster
        self._store = cluster.store
        self._disk = disk
        self._logs = logs
        self._environment = environment
        self._template = template
        self._workers: dict[str, tuple[PodWorker, asyncio.Task[None]]] = {}

    async def run(self) -> NoReturn:
        self._logs.kubelet(f'"Starting kubelet" nodeName="{self._node}"', source="server.go:162")
        self._cluster.set_running(self._node, True)
        try:
            await self._cluster.wait_for(lambda: self._cluster.available)
            self._register()
            async with asyncio.TaskGroup() as group:
                while True:
                    changed = self._store.next_change
                    if self._cluster.available:
                        self._mend_node()
                        self._sync(group)
                    await changed.wait()
        finally:
            self._cluster.set_running(self._node, False)
        raise AssertionError("a kubelet runs until it is cancelled")

    def _register(self) -> None:
        if self._store.find("nodes", self._node) is None:
            status = {
                "addresses": [
                    {"type": "InternalIP", "address": self._address},
                    {"type": "Hostname", "address": self._node},
                ],
                "conditions": [],
                "nodeInfo": {"kubeletVersion": f"v{self._cluster.version}", "osImage": "Ubuntu 22.04.4 LTS"},
            }
            node = self._store.create("nodes", {**self._template, "status": status})
            self._logs.kubelet(
                f'"Successfully registered node" node="{self._node}"', source="kubelet_node_status.go:76"
            )
            message = f"Node {self._node} event: Registered Node {self._node} in Controller"
            record_event(self._store, node, "RegisteredNode", message, "node-controller", self._environment.clock.now())

    def _mend_node(self) -> None:
        """Post a healthy status where another one stands: after registering, and after the node was away."""
        node = self._store.find("nodes", self._node)
        if node is None:
            return  # deleted by a person: a kubelet registers only as it starts
        present = {entry["type"]: entry for entry in node["status"]["conditions"]}
        full = not self._environment.servers.surroundings.well("disks_have_room")
        wanted = {**_HEALTHY, "DiskPressure": _FULL} if full else _HEALTHY
        now = stamp(self._environment.clock.now())
        conditions = [
            present[kind]
            if kind in present and present[kind]["status"] == status
            else {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": now}
            for kind, (status, reason, message) in wanted.items()
        ]
        addresses = [{"type": "InternalIP", "address": self._address}, {"type": "Hostname", "address": self._node}]
        changed = self._store.patch("nodes", self._node, {"status": {"conditions": conditions, "addresses": addresses}})
        if (present.get("DiskPressure", {}).get("status") == "True") is not full:
            self._tell_of_disk(changed, full)
        if present.get("Ready", {}).get("status") != "True":
            message = f"Node {self._node} status is now: NodeReady"
            record_event(self._store, changed, "NodeReady", message, "kubelet", self._environment.clock.now())

    def _tell_of_disk(self, node: Object, full: bool) -> None:
        """Nothing new is scheduled to a node under disk pressure."""
        taints = [taint for taint in node["spec"].get("taints") or () if taint.get("key") != _PRESSURE["key"]]
        node = self._store.patch("nodes", self._node, {"spec": {"taints": [*taints, _PRESSURE] if full else taints}})
        reason = "NodeHasDiskPressure" if full else "NodeHasNoDiskPressure"
        if full:
            words = '"Eviction manager: attempting to reclaim" resourceName="ephemeral-storage"'
            self._logs.kubelet(words, level="W", source="eviction_manager.go:345")
        message = f"Node {self._node} status is now: {reason}"
        self._logs.kubelet(f'"{message}"', source="kubelet_node_status.go:696")
        record_event(self._store, node, reason, message, "kubelet", self._environment.clock.now())

    def _sync(self, group: asyncio.TaskGroup) -> None:
        wanted = {
            pod["metadata"]["uid"]: pod for pod in self._store.select("pods", fields={"spec.nodeName": self._node})
        }
        for uid in self._workers.keys() - wanted.keys():
            worker, task = self._workers[uid]
            if task.done():
                del self._workers[uid]
            else:
                worker.end(task)
        for uid, pod in wanted.items():
            if uid not in self._workers:
                worker = PodWorker(
                    pod,
                    machine_id=self._machine_id,
                    address=self._address,
                    cluster=self._cluster,
                    folder=self._disk.path(f"/var/lib/kubelet/pods/{uid}"),
                    logs=self._logs,
                    environment=self._environment,
                )
                self._workers[uid] = (worker, group.create_task(worker.run()))
        for worker, _ in self._workers.values():
            try:
                worker.publish()
            except StatusError as error:
                self._logs.kubelet(f'"Failed to update status for pod" err="{error}"', level="E")
