"""What the machine runner needs of a hypervisor. The simulated data center and the vendor simulator both offer it.

The runner acts only on what a machine was given: power state, guest info, network. It never learns of faults.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class GuestMachine:
    """One machine as its own firmware sees it."""

    id: str
    name: str
    instance: str
    powered_on: bool
    boot: int
    """rises with every power-on; a new value means: boot again from the start"""
    user_data: str | None = field(repr=False, default=None)
    """cloud-init user data as text, already decoded; None: nothing was delivered"""
    meta_data: str | None = field(repr=False, default=None)
    mac: str = ""
    network: str = ""


@dataclass(frozen=True)
class Lease:
    """A DHCP server's answer. `address` None: the server answered that it has no free lease."""

    address: str | None
    prefix: int = 24
    gateway: str = ""
    name_servers: tuple[str, ...] = ()
    server: str = ""


class Hypervisor(Protocol):
    async def machines(self) -> list[GuestMachine]:
        """Every machine that is not a template."""
        ...

    async def wait_for_change(self, timeout: float) -> None:
        """Return when something changed since the last `machines`, or after `timeout` seconds."""
        ...

    async def dhcp_discover(self, machine_id: str) -> Lease | None:
        """Ask on the machine's network for a lease; None when nobody answers. Asking again renews the same lease."""
        ...

    async def report_guest(
        self, machine_id: str, *, address: str | None, host_name: str, tools_running: bool, dhcp: bool | None = None
    ) -> None:
        """What the guest agent tells the hypervisor. `dhcp`: whether the card asks for a lease; None: not known yet."""
        ...

    async def record(self, machine_id: str, stage: str, started: float, finished: float) -> None:
        """Write one guest stage (boot, cloud-init, kubeadm, jet …) into the cloud's own task log; times in seconds of
        the clock's monotonic time. The benchmark takes the critical path from that log."""
        ...
