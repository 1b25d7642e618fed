"""A machine that kubeadm made a node: what runs on it from then on, and again after each boot.

The API server on the node's address (control plane only), the control-plane address while this node holds it
(kube-vip), and the kubelet. Started by kubeadm's init and join, and by the guest when a finished node boots.
"""

from __future__ import annotations

import asyncio
from typing import Any, NoReturn

import yaml
from starlette.types import ASGIApp

from pcg.clouds.guest.api_servers import API_PORT, Listener
from pcg.clouds.guest.api_sockets import ApiServer
from pcg.clouds.guest.cluster import Cluster
from pcg.clouds.guest.disk import MachineDisk
from pcg.clouds.guest.environment import Environment
from pcg.clouds.guest.etcd_api import CLIENT_PORT
from pcg.clouds.guest.kubelet import Kubelet
from pcg.clouds.guest.kubelet_service import keep_kubelet, kubelet_application
from pcg.clouds.guest.kubernetes_api.resources import Object
from pcg.clouds.guest.logs import GuestLogs
from pcg.clouds.guest.waiting import event_or_time

CA_FILE = "/etc/kubernetes/pki/ca.crt"
CA_KEY_FILE = "/etc/kubernetes/pki/ca.key"
ETCD_CA_FILE = "/etc/kubernetes/pki/etcd/ca.crt"
ETCD_CA_KEY_FILE = "/etc/kubernetes/pki/etcd/ca.key"
ETCD_SERVING_FILE = "/etc/kubernetes/pki/etcd/server.crt"
ETCD_SERVING_KEY_FILE = "/etc/kubernetes/pki/etcd/server.key"
SERVING_FILE = "/etc/kubernetes/pki/apiserver.crt"
SERVING_KEY_FILE = "/etc/kubernetes/pki/apiserver.key"
REGISTRATION_FILE = "/var/lib/kubelet/registration.yaml"
"""labels and taints with which this node registers itself"""
MANIFESTS = "/etc/kubernetes/manifests"

RESTART_SECONDS = 10.0
"""after which a kubelet starts a static pod again that could not listen"""


_CLOCK_RESOLUTION = 1e-6
"""seconds"""


class Node:
    """`start_api` and `run` belong to one boot; `close` closes what listens and leaves etcd."""

    def __init__(
        self,
        *,
        machine_id: str,
        name: str,
        address: str,
        cluster: Cluster,
        disk: MachineDisk,
        logs: GuestLogs,
        environment: Environment,
    ) -> None:
        self.name = name
        self.address = address
        self.cluster = cluster
        self._machine_id = machine_id
        self._disk = disk
        self._logs = logs
        self._environment = environment
        self._listeners: dict[str, Listener] = {}
        self._etcd: Listener | None = None

    async def start_api(self) -> None:
        """Serve on the node's own address, etcd first. Raises OSError when that cannot be listened on."""
        if self._etcd is None:
            etcd = self._server(self.cluster.etcd, ETCD_CA_FILE, ETCD_SERVING_FILE, ETCD_SERVING_KEY_FILE)
            self._etcd = await self._environment.servers.open(self.address, CLIENT_PORT, etcd)
        await self._listen(self.address)

    async def restart_api(self) -> None:
        """After a boot: until the address can be listened on."""
        while True:
            try:
                return await self.start_api()
            except OSError as error:
                self._logs.kubelet(
                    f'"Error syncing pod, skipping" pod="kube-system/kube-apiserver-{self.name}" err="listen tcp '
                    f'{self.address}:{API_PORT}: bind: {error.strerror}"',
                    level="E",
                )
                await self._environment.take(RESTART_SECONDS)

    async def run(self) -> NoReturn:
        """The kubelet and kube-vip, until cancelled."""
        registration = yaml.safe_load(self._disk.read(REGISTRATION_FILE) or "{}")

        def kubelet() -> Kubelet:
            return Kubelet(
                machine_id=self._machine_id,
                node=self.name,
                address=self.address,
                cluster=self.cluster,
                disk=self._disk,
                logs=self._logs,
                environment=self._environment,
                template=registration,
            )

        own = self._server(kubelet_application(), CA_FILE, SERVING_FILE, SERVING_KEY_FILE)
        servers = self._environment.servers
        async with asyncio.TaskGroup() as group:
            for address in self.control_plane_addresses():
                if self._listeners:
                    group.create_task(self._hold(address))
            group.create_task(self._feel())
            group.create_task(keep_kubelet(kubelet, self.address, own, servers, self._logs))
        raise AssertionError("a node runs until it is cancelled")

    async def _feel(self) -> NoReturn:
        """Look again at everything whenever the surroundings change, and write down what this node meets."""
        around = self._environment.servers.surroundings
        static_pod = f'pod="kube-system/kube-apiserver-{self.name}"'
        while True:
            changed = around.next_change
            if not around.well("api_servers_run"):
                self._logs.kubelet(
                    f'"Error syncing pod, skipping" err="failed to \\"StartContainer\\" for \\"kube-apiserver\\" with '
                    f'CrashLoopBackOff: \\"back-off 10s restarting failed container=kube-apiserver\\"" {static_pod}',
                    level="E",
                    source="pod_workers.go:1294",
                )
            self.cluster.store.touch()
            await changed.wait()

    def close(self) -> None:
        """At once, as pulling the plug does."""
        for listener in [*self._listeners.values(), *([self._etcd] if self._etcd else [])]:
            listener.close()
        self._etcd = None
        for address, holder in list(self.cluster.address_holders.items()):
            if holder == self.name:
                del self.cluster.address_holders[address]
                lease = self._environment.durations.address_lease / self._environment.speed
                self.cluster.address_free_at[address] = self._environment.clock.monotonic() + lease
        self._listeners = {}
        self.cluster.stop_member(self.name)

    def control_plane_addresses(self) -> list[str]:
        """What the static pods of kube-vip on this disk announce."""
        found = []
        for name in self._disk.names(MANIFESTS):
            pod = _manifest(self._disk.read(f"{MANIFESTS}/{name}") or "")
            for container in pod.get("spec", {}).get("containers") or []:
                if "kube-vip" in str(container.get("image", "")):
                    values = {entry.get("name"): entry.get("value") for entry in container.get("env") or []}
                    found += [str(values["address"])] if values.get("address") else []
        return found

    async def _hold(self, address: str) -> NoReturn:
        """kube-vip's leader election: the lease is held by one node and runs out when that is gone."""
        cluster = self.cluster
        while True:
            changed = cluster.store.next_change
            wait: float | None = None
            if cluster.available and address not in cluster.address_holders:
                wait = cluster.address_free_at.get(address, 0.0) - self._environment.clock.monotonic()
                # A rest that is smaller than the clock can tell would be waited for without end in simulated time.
                if wait < _CLOCK_RESOLUTION:
                    cluster.address_holders[address] = self.name
                    wait = await self._announce(address)
            await event_or_time(changed, self._environment.clock, wait)

    async def _announce(self, address: str) -> float | None:
        """None when this node holds the address now; else seconds until the next try."""
        try:
            await self._listen(address)
        except OSError as error:
            self._logs.system("kube-vip", f"could not add IP [{address}] to {'ens192'}: {error.strerror}")
            del self.cluster.address_holders[address]
            return RESTART_SECONDS / self._environment.speed
        self._logs.system("kube-vip", f"Node [{self.name}] is assuming leadership of the cluster, VIP [{address}]")
        return None

    async def _listen(self, address: str) -> None:
        server = self._server(self.cluster.application, CA_FILE, SERVING_FILE, SERVING_KEY_FILE)
        announced = address != self.address
        self._listeners[address] = await self._environment.servers.open(address, API_PORT, server, announced=announced)

    def _server(self, application: ASGIApp, ca: str, certificate: str, key: str) -> ApiServer:
        disk = self._disk
        return ApiServer(application, disk.read(ca) or "", disk.path(certificate), disk.path(key))


def registration(name: str, labels: dict[str, str], taints: list[Any]) -> Object:
    """The Node object with which a kubelet registers."""
    own = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}
    return {"metadata": {"name": name, "labels": own | labels}, "spec": {"taints": taints} if taints else {}}


def _manifest(text: str) -> dict[str, Any]:
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError:
        return {}  # a kubelet skips a manifest that it cannot read
    return document if isinstance(document, dict) else {}
