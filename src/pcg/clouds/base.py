"""The contract between the gateway's steps and a private cloud. Read by whoever adds a cloud; proved by tests/contract.

Rules for every cloud:
- Errors are those of `pcg.errors`, made at the cloud's edge, the vendor's own chained: Unreachable, Busy,
  PermissionMissing, CredentialsRejected, ResourcesMissing, NotFound, Conflict, TryAgain.
- Nothing blocks the event loop; every call ends by itself within its own deadline.
- Calls that start long work return at once with a task id; `task` looks at it. A gateway that forgot the id finds the
  task again through `list_machines`, whose answer includes machines still being made, and through `unfinished`.
- Marks are set in the creating call. "Not found" on delete is success.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol, runtime_checkable

from pcg.model.configuration import Configuration, CustomSize, Placement
from pcg.model.made_from import MadeFrom, parse_made_from
from pcg.model.naming import (
    MARK_ADDRESS,
    MARK_GATEWAY,
    MARK_INSTANCE,
    MARK_MACHINE,
    MARK_MADE_FROM,
    parse_machine_mark,
)


class PowerState(StrEnum):
    ON = "on"
    OFF = "off"
    SUSPENDED = "suspended"


class TaskState(StrEnum):
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True)
class MachineSpec:
    """What a machine shall be. `user_data` and `meta_data` are cloud-init documents (YAML text)."""

    name: str
    marks: dict[str, str]
    """the marks of `model.naming`; `pcg.instance` becomes the machine's own instance id"""
    placement: Placement
    template: str
    """the id that `ensure_template` answered"""
    hardware: CustomSize
    user_data: str = field(repr=False)
    meta_data: str = field(repr=False)


@dataclass(frozen=True)
class ObservedMachine:
    """One machine that carries our gateway's mark, as the cloud reports it now."""

    id: str
    """the cloud's own id (vSphere: the managed object id)"""
    name: str
    instance: str
    """the cloud's own instance id (vSphere: instanceUuid)"""
    marks: dict[str, str]
    power: PowerState
    address: str | None
    hardware: tuple[int, int] | None
    """CPUs and GiB of memory"""
    created: float | None = None
    """seconds since the epoch; the younger of two with one mark is removed"""
    cluster_tools: bool | None = None
    """whether the guest agent reports; None where the cloud does not tell"""
    host_name: str = ""
    """as the guest agent tells it; empty as long as it does not"""
    dhcp: bool | None = None
    """whether the machine's card asks for a lease, where the guest agent tells that (on Linux most do not)"""
    connected: bool | None = None
    """whether its network card is connected; None where the cloud does not tell"""
    foreign_disks: Sequence[str] = ()
    holds_user_data: bool = False
    """whether whoever may read its settings can still read what it was made from (`MachineSpec.user_data`)"""

    @property
    def genuine(self) -> bool:
        """False for a person's clone or restore of our machine (DESIGN principle 3): never touched."""
        return bool(self.instance) and self.instance == self.marks.get(MARK_INSTANCE)

    @property
    def made_as(self) -> tuple[int, int] | None:
        """Incarnation and ordinal by its mark; None without a mark of ours."""
        return parse_machine_mark(self.marks.get(MARK_MACHINE, ""))

    @property
    def made_from(self) -> MadeFrom | None:
        """By its mark; None of machines that an older version made."""
        return parse_made_from(self.marks.get(MARK_MADE_FROM, ""))

    def belongs_to(self, gateway_id: str) -> bool:
        return self.marks.get(MARK_GATEWAY) == gateway_id and MARK_MACHINE in self.marks


@dataclass(frozen=True)
class Remembered:
    """What a gateway remembers of its machines. A cloud that would have to search for them looks there first."""

    placements: Sequence[Placement]
    instances: frozenset[str]
    """instance ids; while all of them are found, no more is looked for at once"""


@dataclass(frozen=True)
class CloudTask:
    """A vendor task. `machine_name` is the name of the machine that it makes, starts or removes."""

    id: str
    state: TaskState
    kind: str
    """create, start, delete, import, reconfigure, or the vendor's own word for others"""
    machine_name: str = ""
    progress: int | None = None
    """percent"""
    error: Exception | None = None
    """a PcgError when failed"""


class ChangeKind(StrEnum):
    """What somebody may do to a machine of ours in the cloud's own client."""

    REMOVED = "removed"
    POWERED_OFF = "powered-off"
    RECONFIGURED = "reconfigured"
    """CPU or memory"""
    COPIED = "copied"
    """asked of the copy, not of what was copied"""


@dataclass(frozen=True)
class MachineChange:
    """One entry of the cloud's own event log."""

    event: str
    """the vendor's name of the event, for example VmRemovedEvent"""
    at: datetime
    """by the cloud's own clock"""
    user: str
    """as the cloud spells the account; empty when it names none, as when a guest shuts itself down"""
    text: str = ""
    """the vendor's own words"""
    by_own_account: bool = False
    """the account is the gateway's: somebody else uses it too"""


@dataclass(frozen=True)
class Check:
    """One preflight check. `ok` None means: cannot tell, and `problem` says what is missing."""

    name: str
    ok: bool | None
    what: str
    problem: Exception | None = None


def nodes_in(configuration: Configuration, index: int) -> int:
    """Of the placement with this index: nodes are spread over the placements in turn."""
    return len(range(index, configuration.nodes.count, len(configuration.placement)))


class OfferedKind(StrEnum):
    DATACENTER = "datacenter"
    CLUSTER = "cluster"
    RESOURCE_POOL = "resource-pool"
    FOLDER = "folder"
    DATASTORE = "datastore"
    NETWORK = "network"
    TEMPLATE = "template"


@dataclass(frozen=True)
class Offered:
    """One thing that a configuration may name."""

    kind: OfferedKind
    name: str
    path: str
    """what to write instead where the name alone stands for several"""
    datacenter: str = ""
    cluster: str = ""
    """of a resource pool"""
    free_gib: int | None = None
    """of a datastore"""
    capacity_gib: int | None = None


Inventory = Sequence[Offered]
"""everything of a cloud that the account may see and a configuration may name; machines are never in it"""


@dataclass(frozen=True)
class TemplateProgress:
    """Either `template` (its id: done) or `task` (the import under way)."""

    template: str | None
    task: CloudTask | None = None
    fetched: bool = False
    """whether the image had to be fetched"""
    doing: str = ""
    """what the import does just now, for a person, for example `412 of 1,536 MiB`"""
    attempt: int = 1
    interrupted_at: str = ""
    """how far the last interrupted attempt came, for example `300 MiB`"""
    look_again: float | None = None
    """seconds until it is worth asking again, where the cloud tells no change of it"""


class Connection(Protocol):
    """An open, authenticated session with one cloud, made by a `Cloud` and used by the steps."""

    async def check(self, configuration: Configuration, spares: Collection[int] = ()) -> list[Check]:
        """Preflight: everything that can be known before anything is made. Machines of ours that the last
        `list_machines` of this connection showed are there already and need no room again. `spares`: indexes of the
        placements in which one machine more is to be made beside them, one at a time, to take another's place."""
        ...

    async def inventory(self, template_folder: str) -> Inventory:
        """What there is to choose from, and the templates in that folder; a constant number of round trips."""
        ...

    async def ensure_template(self, configuration: Configuration) -> TemplateProgress:
        """Find the template, or start its import; safe to call again and again, and by two gateways at once."""
        ...

    async def list_machines(self, gateway_id: str, remembered: Remembered | None = None) -> list[ObservedMachine]:
        """Every machine with our gateway's mark, copies included, in one bulk read. With `remembered`, a cloud that
        would have to search for them may, for some minutes, leave out those that lie elsewhere and are not in it."""
        ...

    async def unfinished(self, gateway_id: str) -> list[CloudTask]:
        """Tasks of ours that the cloud still works on (creating, starting, removing machines)."""
        ...

    async def create_machine(self, gateway_id: str, spec: MachineSpec) -> CloudTask:
        """Start making a machine, powered off. Conflict when the name is taken. Never call it while `unfinished`
        lists a creation of that name."""
        ...

    async def start_machine(self, machine: ObservedMachine) -> CloudTask:
        """Power on, after mending hardware that differs from the wanted. Success when it runs already."""
        ...

    async def clear_user_data(self, machine: ObservedMachine) -> CloudTask:
        """Take the user data out of the machine's settings; meta data stays, cloud-init needs it at each boot. Success
        when none is there any more, or the machine is gone. Refuses (GiveUp) a machine that is not genuine."""
        ...

    async def delete_machine(self, machine: ObservedMachine) -> CloudTask:
        """Power off, detach disks that we did not make, destroy. Refuses (GiveUp) a machine that is not genuine."""
        ...

    async def task(self, task_id: str) -> CloudTask | None:
        """The task as it is now, or None when the cloud no longer knows it."""
        ...

    async def wait_for_change(self, gateway_id: str, timeout: float) -> bool:
        """Return True as soon as anything about our machines or tasks changed since the last `list_machines` of this
        connection, False after `timeout` seconds. Costs no bulk read where the vendor pushes."""
        ...


@runtime_checkable
class TellsWhoChanged(Protocol):
    """What a connection has beyond `Connection` when its cloud keeps a log of who did what."""

    async def who_changed(self, kind: ChangeKind, machine_id: str, name: str) -> MachineChange | None:
        """The newest such change of the last days; None when the log tells of none. The gateway's own mending is no
        such change. `machine_id` may be empty where it was never seen and the machine is gone: then the name decides.
        Raises a PcgError, for example for want of a privilege: then nobody can tell."""
        ...


@dataclass(frozen=True)
class Login:
    """Opened credentials, for exactly one cloud address."""

    address: str
    username: str
    password: str = field(repr=False)
    thumbprint: str | None = None
    ca: str | None = None


class Cloud(Protocol):
    """One kind of private cloud."""

    def connect(self, login: Login) -> AbstractAsyncContextManager[Connection]:
        """Name, connect, TLS and login, told apart in the errors; logs out on leaving."""
        ...


def marks_of(
    gateway_id: str, machine: str, instance: str, address: str | None = None, made_from: MadeFrom | None = None
) -> dict[str, str]:
    """`address`: its claim in a static pool."""
    marks = {MARK_GATEWAY: gateway_id, MARK_MACHINE: machine, MARK_INSTANCE: instance}
    if address is not None:
        marks[MARK_ADDRESS] = address
    if made_from is not None:
        marks[MARK_MADE_FROM] = made_from.mark
    return marks
