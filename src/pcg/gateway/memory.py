"""What the reconciler remembers across restarts, typed, over the gateway's store.

All of it may be lost or older than the world: each part is checked against what the cloud reports. Used by the
reconciler and the steps.
"""

from __future__ import annotations

from typing import Literal, TypeVar

from pydantic import BaseModel, Field

from pcg.gateway.address_pool import AddressBook
from pcg.gateway.store import GatewayStore
from pcg.model.desired import DesiredState
from pcg.model.drift import Drift
from pcg.model.naming import machine_mark
from pcg.model.records import StepReport
from pcg.model.states import StepName

_Model = TypeVar("_Model", bound=BaseModel)


class Slot(BaseModel):
    """One wanted machine of the present incarnation. `kind`: whether it starts the cluster or joins it."""

    ordinal: int
    kind: Literal["init", "join"]
    address: str | None = None
    """its claim in a static pool"""
    phase: Literal["wanted", "creating", "made", "started", "up", "lost"] = "wanted"
    """how far it was seen to come; each change is told in an event"""
    address_lost: bool = False
    """it was up and has no address now, which was told in an event: it may have started again"""
    task: str | None = None
    """the vendor's task in flight"""
    machine: str = ""
    """the cloud's own id of its machine, as last seen: of one that is gone its event log knows that"""
    replaces: int | None = None
    """ordinal of the slot whose machine leaves once this one has joined (`steps.replacements`)"""


class ClusterMemory(BaseModel):
    """Of one incarnation."""

    incarnation: int = 0
    next_ordinal: int = 1
    slots: list[Slot] = Field(default_factory=list)
    template: str = ""
    """the cloud's id of the node image"""
    formed: bool = False
    """the API server has answered once: nodes made from now on join"""
    dismissed: list[int] = Field(default_factory=list)
    """ordinals of machines that have left the cluster, replaced or too many: the cleaner removes them"""
    clearing: dict[str, str] = Field(default_factory=dict)
    """the vendor's task that takes out its user data, by machine"""
    fixed: dict[str, str] = Field(default_factory=dict)
    """what its first machine was made with and can never change (`model.cluster_changes.fixed_parts`)"""
    settled: str = ""
    """the machines (as a fingerprint) for which everything was found done"""
    drifts: list[Drift] = Field(default_factory=list)
    """what others did to our machines and is not mended yet"""
    told: list[str] = Field(default_factory=list)
    """one-time events, by key"""

    def mark_of(self, slot: Slot) -> str:
        """The mark `pcg.machine` of the slot's machine."""
        return machine_mark(self.incarnation, slot.ordinal)

    @property
    def seats(self) -> list[Slot]:
        """As many as machines are wanted: the spare one is none, as long as that which it replaces is there."""
        return [slot for slot in self.slots if slot.replaces is None]

    @property
    def spare(self) -> Slot | None:
        """The one that is to replace another; there is never more than one."""
        return next((slot for slot in self.slots if slot.replaces is not None), None)

    @property
    def standing(self) -> list[Slot]:
        """The seats whose machine was asked for, whether it is there yet, still, or no more."""
        return [slot for slot in self.seats if slot.phase != "wanted"]

    def slot(self, ordinal: int) -> Slot | None:
        return next((slot for slot in self.slots if slot.ordinal == ordinal), None)


class Memory:
    def __init__(self, store: GatewayStore) -> None:
        self._store = store
        self.desired = self._load("desired", DesiredState)
        self.cluster = self._load("cluster", ClusterMemory) or ClusterMemory()
        self.addresses = self._load("addresses", AddressBook) or AddressBook()
        """outlives incarnations: an address is not free at once when its machine is gone"""
        self.steps: dict[StepName, StepReport] = {}
        self.steps_generation = 0
        saved = self._load("steps", SavedSteps)
        if saved is not None:
            self.steps = {step.name: step for step in saved.steps}
            self.steps_generation = saved.generation

    def save_desired(self, desired: DesiredState) -> None:
        self._store.put("desired", desired.model_dump_json())
        self.desired = desired

    def save_cluster(self) -> None:
        """With the claims of its addresses: both or neither."""
        with self._store.transaction():
            self._store.put("cluster", self.cluster.model_dump_json())
            self._store.put("addresses", self.addresses.model_dump_json())

    def save_steps(self) -> None:
        saved = SavedSteps(generation=self.steps_generation, steps=list(self.steps.values()))
        self._store.put("steps", saved.model_dump_json())

    @property
    def rejected_credentials(self) -> str | None:
        """The version of the credentials that the cloud rejected: not tried again until it changes."""
        return self._store.get("rejected-credentials")

    def reject_credentials(self, version: str) -> None:
        self._store.put("rejected-credentials", version)

    @property
    def ever_connected(self) -> bool:
        """Whether this gateway ever logged in to a cloud; before, nothing of ours can be anywhere."""
        return self._store.get("ever-connected") is not None

    def remember_connected(self) -> None:
        if not self.ever_connected:
            self._store.put("ever-connected", "yes")

    def _load(self, key: str, kind: type[_Model]) -> _Model | None:
        text = self._store.get(key)
        return None if text is None else kind.model_validate_json(text)


class SavedSteps(BaseModel):
    generation: int
    steps: list[StepReport]
