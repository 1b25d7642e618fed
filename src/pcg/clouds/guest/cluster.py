"""One Kubernetes cluster: its members, its quorum, and its objects on every member's disk.

The members of one cluster share one store in memory, as etcd's members share one log; what makes it true is that each
change is on the disk of every living member before anybody sees it, and that nothing is read or written without a
majority. Made by kubeadm (init), found again by nodes that boot with etcd's data.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable

from starlette.types import ASGIApp

from pcg.clock import Clock
from pcg.clouds.guest.disk import MachineDisk
from pcg.clouds.guest.etcd_api import etcd_application
from pcg.clouds.guest.kubernetes_api.app import build_application
from pcg.clouds.guest.kubernetes_api.status import etcd_unavailable
from pcg.clouds.guest.kubernetes_api.store import ObjectStore

ETCD_FILE = "/var/lib/etcd/member/state.json"
CLUSTER_FILE = "/var/lib/kubelet/cluster-id"
"""beside the kubelet's kubeconfig: which cluster this node was joined to"""


class Cluster:
    """`members`: every etcd member, dead or alive. `running`: nodes whose kubelet runs now."""

    def __init__(self, cluster_id: str, clock: Clock, speed: float) -> None:
        self.id = cluster_id
        self.clock = clock
        self.speed = speed
        self.members: set[str] = set()
        self.announced: set[str] = set()
        """peer URLs of learners that have not begun yet; they have no vote"""
        self.running: set[str] = set()
        self.version = "1.30"
        self.address_holders: dict[str, str] = {}
        """the node that holds each control-plane address (kube-vip's lease)"""
        self.address_free_at: dict[str, float] = {}
        self.store = ObjectStore(clock.now, self._guard, self._persist)
        self._alive: dict[str, MachineDisk] = {}
        self._application: ASGIApp | None = None
        self.etcd: ASGIApp = etcd_application(self)

    @property
    def available(self) -> bool:
        """Whether a majority of the members lives."""
        return bool(self.members) and 2 * len(self.members & self._alive.keys()) > len(self.members)

    @property
    def alive(self) -> bool:
        return bool(self._alive)

    @property
    def application(self) -> ASGIApp:
        """One for all members: they serve the same objects."""
        if self._application is None:
            self._application = build_application(
                self.store, available=lambda: self.available, now=self.clock.now, version=lambda: self.version
            )
        return self._application

    def found(self, member: str, disk: MachineDisk, version: str) -> None:
        """The first member, of a cluster that holds nothing yet."""
        self.version = version
        self._alive[member] = disk
        self.members.add(member)
        self._persist()
        self.store.touch()

    def announce(self, peer: str) -> None:
        """Before it starts, a member that joins is added by its peer URL. Raises StatusError without a quorum."""
        self._guard()
        self.announced.add(peer)
        self._persist()

    def withdraw(self, peer: str) -> None:
        """Of one that never began."""
        self.announced.discard(peer)
        self._persist()

    def add_member(self, member: str, disk: MachineDisk, peer: str = "") -> None:
        """It has begun. Raises StatusError without a quorum."""
        self._guard()
        self.announced.discard(peer)
        self.members.add(member)
        self._alive[member] = disk
        self._persist()
        self.store.touch()

    def start_member(self, member: str, disk: MachineDisk) -> bool:
        """A node that boots with etcd's data; False when its disk holds none. The newest disk of a majority has
        everything that was ever answered, since every answer waited for a majority's disks.
        """
        text = disk.read(ETCD_FILE)
        if text is None:
            return False
        document = json.loads(text)
        if not self._alive or document["revision"] > self.store.revision:
            self.members = set(document["members"])
            self.announced = set(document.get("announced", ()))
            self.version = document["version"]
            self.store.load(document)
        if member not in self.members:
            return False  # removed while it was away
        self._alive[member] = disk
        if self.available:
            self._persist()
        self.store.touch()
        return True

    def stop_member(self, member: str) -> None:
        self._alive.pop(member, None)
        self.store.touch()  # also for a member that was removed before: what its node held is free now

    def remove_member(self, member: str) -> bool:
        """False where the rest would have no majority (etcd's --strict-reconfig-check)."""
        rest = self.members - {member}
        if 2 * len(rest & self._alive.keys()) <= len(rest):
            return False
        self.members = rest
        self._alive.pop(member, None)
        self._persist()
        self.store.touch()
        return True

    def set_running(self, node: str, running: bool) -> None:
        """Called by the node's kubelet as it starts and ends."""
        (self.running.add if running else self.running.discard)(node)
        self.store.touch()

    async def wait_for(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await self.store.next_change.wait()

    def _guard(self) -> None:
        if not self.available:
            raise etcd_unavailable()

    def _persist(self) -> None:
        document = {
            **self.store.document(),
            "members": sorted(self.members),
            "announced": sorted(self.announced),
            "cluster": self.id,
            "version": self.version,
        }
        text = json.dumps(document)
        for disk in self._alive.values():
            disk.write(ETCD_FILE, text, 0o600)


class Clusters:
    """Every cluster that a node of this data center belongs to, by id."""

    def __init__(self, clock: Clock, speed: float, on_new: Callable[[Cluster], None]) -> None:
        self._clock = clock
        self._speed = speed
        self._on_new = on_new
        self._known: dict[str, Cluster] = {}

    def new(self) -> Cluster:
        return self.get(str(uuid.uuid4()))

    def get(self, cluster_id: str) -> Cluster:
        if cluster_id not in self._known:
            self._known[cluster_id] = Cluster(cluster_id, self._clock, self._speed)
            self._on_new(self._known[cluster_id])
        return self._known[cluster_id]

    def on_disk(self, disk: MachineDisk) -> Cluster | None:
        """The cluster that a booting node belongs to, by what kubeadm left on its disk."""
        known = disk.read(CLUSTER_FILE)
        return None if known is None else self.get(known.strip())
