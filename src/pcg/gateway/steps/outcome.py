"""What a step answers, and what it is given. A step looks, acts at most once a machine, answers, and never sleeps."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pcg
from pcg.clock import Clock
from pcg.clouds.base import CloudTask, Connection, ObservedMachine, Remembered
from pcg.errors import PcgError
from pcg.gateway.address_claims import AddressClaims
from pcg.gateway.etcd_api import EtcdFactory
from pcg.gateway.kubernetes_api import KubernetesFactory
from pcg.gateway.memory import ClusterMemory, Slot
from pcg.gateway.ways_ahead import LookAhead
from pcg.model.configuration import Configuration
from pcg.model.desired import DesiredState
from pcg.model.naming import instance_uuid, machine_name
from pcg.network.knocking import AskAtPort
from pcg.nodes.manifests import jet_manifest_template
from pcg.nodes.pki import ClientCertificate, ClusterSecrets
from pcg.sealing.keys import GatewayKeys

_MADE = ("made", "started", "up")
"""phases of a slot whose machine was seen"""


@dataclass(frozen=True)
class Done:
    """Nothing is left to do."""


@dataclass(frozen=True)
class Wait:
    """Something is under way. `task` says what; `retry_after` in seconds, None: until the cloud tells a change."""

    task: str
    retry_after: float | None = None
    concern: PcgError | None = None
    """why it probably takes longer than usual: told beside the step, which goes on"""


@dataclass(frozen=True)
class Failed:
    """The same as raising the error."""

    error: PcgError
    retry_after: float | None = None


Outcome = Done | Wait | Failed


@dataclass(frozen=True)
class JetEndpoint:
    """Where jet finds the console, and the CA that it trusts alone."""

    url: str
    ca_pem: str
    template: str = field(default_factory=lambda: jet_manifest_template(pcg.__version__), repr=False)
    """jet's manifest as the console's release gives it, or else this version's own"""


LEAST_PATIENCE_SECONDS = 8.0
"""machines may be simulated faster than real ones; the computer under them is no faster for it"""


@dataclass(frozen=True)
class Patience:
    """`waited`: seconds for which nothing has moved. `speed`: how many times faster than real life machines are."""

    waited: float
    speed: float = 1.0

    def left(self, usual: float) -> float:
        """Seconds until it has taken longer than the usual seconds of real life; 0 from then on."""
        return max(0.0, max(usual / self.speed, LEAST_PATIENCE_SECONDS) - self.waited)


@dataclass
class Situation:
    """All that the steps of one pass may look at and use. Made anew for every pass by the reconciler."""

    gateway_id: str
    gateway_name: str
    jet: JetEndpoint
    keys: GatewayKeys
    clock: Clock
    desired: DesiredState
    configuration: Configuration
    secrets: ClusterSecrets
    certificate: Callable[[], ClientCertificate]
    kubernetes: KubernetesFactory
    etcd: EtcdFactory
    etcd_certificate: Callable[[], ClientCertificate]
    cluster: ClusterMemory
    addresses: AddressClaims
    patience: Patience
    knock: AskAtPort
    look_ahead: LookAhead
    tell: Callable[..., None]
    """commit an event and whatever of the cluster's memory changed: tell(reason, message, severity=…, machine=…)"""
    show: Callable[[], Awaitable[None]]
    """the status is another one now: whoever follows it shall see it before the step goes on"""
    connection: Connection | None = None
    machines: list[ObservedMachine] = field(default_factory=list)
    """ours, of this incarnation, genuine, one a mark"""
    unfinished: list[CloudTask] = field(default_factory=list)
    """tasks of ours that the cloud still worked on just before the bulk read"""
    unwanted: list[ObservedMachine] = field(default_factory=list)
    """ours, of earlier incarnations, or younger twins: to be removed"""
    untold: list[ObservedMachine] = field(default_factory=list)
    """ours, made for a newer desired state than the one known here: not touched until the console has told it"""

    @property
    def cloud(self) -> Connection:
        if self.connection is None:
            raise AssertionError("the step connect comes before")
        return self.connection

    @property
    def by_ordinal(self) -> dict[int, ObservedMachine]:
        """The machines of this incarnation."""
        return {machine.made_as[1]: machine for machine in self.machines if machine.made_as is not None}

    def name_of(self, slot: Slot) -> str:
        """The machine's name, which is its node's too."""
        return machine_name(self.gateway_id, self.gateway_name, self.cluster.incarnation, slot.ordinal)

    @property
    def remembered(self) -> Remembered | None:
        """Of the machines that are to be there; None when none is wanted, since then what nobody remembers counts."""
        if self.desired.mode != "run":
            return None
        there = [slot for slot in self.cluster.slots if slot.phase in _MADE]
        return Remembered(
            self.configuration.placement,
            frozenset(instance_uuid(self.gateway_id, self.cluster.incarnation, slot.ordinal) for slot in there),
        )

    def tell_once(self, key: str, reason: str, message: str, **more: Any) -> None:
        """An event of which there is one an incarnation."""
        if key not in self.cluster.told:
            self.cluster.told.append(key)
            self.tell(reason, message, **more)

    @property
    def api_address(self) -> str | None:
        """HOST:PORT of the cluster's API server, None as long as no machine has an address."""
        shared = self.configuration.network.control_plane_address
        if shared:
            return f"{shared}:6443"
        first = next((machine.address for machine in self.machines if machine.address), None)
        return f"{first}:6443" if first else None
