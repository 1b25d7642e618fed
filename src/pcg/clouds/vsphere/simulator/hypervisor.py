"""The simulator's machines for the machine runner: `pcg.clouds.guest.hypervisor.Hypervisor` over the control API.

Used by the demo and by tests that run the whole path on vSphere. It is given the DHCP servers of the networks, because
VMware's simulator has networks without any service on them.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any

import httpx

from pcg.clouds.guest.hypervisor import GuestMachine, Lease
from pcg.clouds.lab.dhcp import DhcpServer
from pcg.errors import Unreachable

GUEST_DATA = "guestinfo.userdata"
GUEST_METADATA = "guestinfo.metadata"


@dataclass
class VsphereHypervisor:
    """`servers` by the network's name; on a network without one nobody answers."""

    control: str
    servers: dict[str, DhcpServer]
    _networks: dict[str, tuple[str, str]] = field(default_factory=dict)
    """network and MAC by machine"""
    _revision: int = -1

    async def machines(self) -> list[GuestMachine]:
        answer = await self._call("GET", "/machines")
        self._revision = answer["revision"]
        found = [_guest_machine(seen) for seen in answer["machines"]]
        self._networks = {machine.id: (machine.network, machine.mac) for machine in found}
        present = {machine.mac for machine in found}
        for server in self.servers.values():
            server.release(server.leases.keys() - present)
        return found

    async def wait_for_change(self, timeout: float) -> None:
        await self._call("GET", f"/machines?after={self._revision}&timeout={timeout}", patience=timeout)

    async def dhcp_discover(self, machine_id: str) -> Lease | None:
        network, mac = self._networks.get(machine_id, ("", ""))
        server = self.servers.get(network)
        return None if server is None or not mac else server.discover(mac)

    async def report_guest(
        self, machine_id: str, *, address: str | None, host_name: str, tools_running: bool, dhcp: bool | None = None
    ) -> None:
        """A machine that was switched off or removed meanwhile reports nothing any more; nor does open-vm-tools tell
        on Linux whether a card asks for a lease."""
        report = {"address": address or "", "hostname": host_name, "toolsRunning": tools_running}
        await self._call("POST", f"/machines/{machine_id}/guest", report, forgiven=(404, 409))

    async def record(self, machine_id: str, stage: str, started: float, finished: float) -> None:
        done = {"stage": stage, "started": started, "finished": finished}
        await self._call("POST", f"/machines/{machine_id}/stages", done, forgiven=(404,))

    async def _call(
        self, method: str, path: str, body: Any = None, *, patience: float = 0.0, forgiven: tuple[int, ...] = ()
    ) -> Any:
        try:
            # Straight to loopback: a proxy of this machine's environment has no business here. Plain HTTP: there is no
            # certificate to verify, and no need to read the system's CAs for every call.
            async with httpx.AsyncClient(trust_env=False, verify=False, timeout=patience + 30) as client:  # noqa: S501
                answer = await client.request(method, self.control + path, json=body)
            if answer.status_code in forgiven:
                return {}
            answer.raise_for_status()
            return answer.json()
        except httpx.HTTPError as error:
            raise Unreachable(
                "The vCenter simulator's control API does not answer.",
                reason="simulator-gone",
                evidence=[f"{method} {path}: {error}"],
                fields={"hop": "http", "target": self.control},
            ) from error


def _guest_machine(seen: dict[str, Any]) -> GuestMachine:
    settings = seen["extraConfig"]
    return GuestMachine(
        id=seen["moid"],
        name=seen["name"],
        instance=seen["instanceUuid"],
        powered_on=seen["powerState"] == "poweredOn",
        boot=seen["boot"],
        user_data=_guest_data(settings, GUEST_DATA),
        meta_data=_guest_data(settings, GUEST_METADATA),
        mac=next(iter(seen["macs"]), ""),
        network=next(iter(seen["networks"]), ""),
    )


def _guest_data(settings: dict[str, str], key: str) -> str | None:
    """As cloud-init's VMware data source reads it: plain, or base64 where the encoding says so."""
    value = settings.get(key)
    if value is None or settings.get(f"{key}.encoding", "") not in ("base64", "b64"):
        return value
    return base64.b64decode(value).decode(errors="replace")
