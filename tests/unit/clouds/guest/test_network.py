"""A machine's address: from its meta data, or by DHCP for as long as it takes; syslog tells which."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import yaml

from pcg.clock import LoopClock
from pcg.clouds.guest.hypervisor import Lease
from pcg.errors import TryAgain

from .lab import BareHypervisor, node_machine, running_lab

pytestmark = pytest.mark.looptime

ONE_LEASE = ["127.64.0.10"]


def with_network(**interface: object) -> str:
    network = {"version": 2, "ethernets": {"id0": interface}}
    return yaml.safe_dump({"instance-id": "i", "local-hostname": "node-1", "network": network})


async def test_a_static_address_is_taken_without_asking_anybody(tmp_path: Path) -> None:
    hypervisor = BareHypervisor(dhcp_answers=False)
    async with running_lab(tmp_path, LoopClock(), hypervisor=hypervisor) as lab:
        meta_data = with_network(addresses=["127.64.0.44/20"], routes=[{"to": "default", "via": "127.64.0.1"}])
        hypervisor.put(node_machine(1, meta_data=meta_data))
        await lab.nodes_are_ready(address="127.64.0.44")
        assert hypervisor.addresses == {"vm-1": "127.64.0.44"}
        assert "ens192: Configuring with static address 127.64.0.44/20" in lab.log("syslog")
        assert "DHCPDISCOVER" not in lab.log("syslog")
        assert "Route IPv4: 0.0.0.0 via 127.64.0.1 dev ens192" in lab.output()
        assert "255.255.240.0" in lab.output()


async def test_a_lease_is_told_in_dhclients_four_lines(tmp_path: Path) -> None:
    async with running_lab(tmp_path, LoopClock()) as lab:
        lab.hypervisor.put(node_machine(1))
        await asyncio.sleep(20)
        told = [line.split("]: ")[1] for line in lab.log("syslog").splitlines() if "dhclient" in line]
        assert told == [
            "DHCPDISCOVER on ens192 to 255.255.255.255 port 67 interval 3",
            "DHCPOFFER of 127.64.0.10 from 127.64.0.1",
            "DHCPREQUEST for 127.64.0.10 on ens192 to 255.255.255.255 port 67",
            "DHCPACK of 127.64.0.10 from 127.64.0.1",
            "bound to 127.64.0.10 -- renewal in 21600 seconds.",
        ]


async def test_without_an_answer_it_asks_again_with_longer_pauses_and_says_so(tmp_path: Path) -> None:
    hypervisor = BareHypervisor(dhcp_answers=False)
    async with running_lab(tmp_path, LoopClock(), hypervisor=hypervisor) as lab:
        hypervisor.put(node_machine(1))
        await asyncio.sleep(200)
        asked = [line.split("interval ")[1] for line in lab.log("syslog").splitlines() if "DHCPDISCOVER" in line]
        assert asked[:5] == ["3", "6", "12", "15", "15"]
        assert "No DHCPOFFERS received." in lab.log("syslog")
        assert lab.log("syslog").count("Timeout occurred while waiting for network connectivity.") == 1
        assert "Failed to start Wait for Network to be Configured." in lab.log("syslog")
        assert hypervisor.addresses == {"vm-1": None}


async def test_a_machine_becomes_a_node_once_its_dhcp_server_is_back(tmp_path: Path) -> None:
    hypervisor = BareHypervisor(dhcp_answers=False)
    async with running_lab(tmp_path, LoopClock(), hypervisor=hypervisor) as lab:
        hypervisor.put(node_machine(1))
        await asyncio.sleep(100)
        hypervisor.dhcp_answers = True
        assert await lab.nodes_are_ready() < 100 + 15 + 31


async def test_the_next_machine_gets_the_lease_that_a_deleted_one_gave_back(tmp_path: Path) -> None:
    hypervisor = BareHypervisor(free=list(ONE_LEASE))
    async with running_lab(tmp_path, LoopClock(), hypervisor=hypervisor) as lab:
        hypervisor.put(node_machine(1))
        await lab.nodes_are_ready()
        hypervisor.put(node_machine(2))
        await asyncio.sleep(60)
        assert hypervisor.addresses["vm-2"] is None
        hypervisor.delete("vm-1")
        hypervisor.free.append(hypervisor.leases.pop("vm-1"))
        await lab.until(lambda: hypervisor.addresses["vm-2"] == "127.64.0.10", within=17)


async def test_two_machines_get_two_addresses(tmp_path: Path) -> None:
    async with running_lab(tmp_path, LoopClock()) as lab:
        lab.hypervisor.put(node_machine(1))
        lab.hypervisor.put(node_machine(1, id="vm-2", name="other"))
        await asyncio.sleep(60)
        assert set(lab.hypervisor.addresses.values()) == {"127.64.0.10", "127.64.0.11"}
        assert await lab.answers("/readyz", "127.64.0.11")  # a cluster of its own


async def test_a_network_without_address_never_comes_up(tmp_path: Path) -> None:
    async with running_lab(tmp_path, LoopClock()) as lab:
        lab.hypervisor.put(node_machine(1, meta_data=with_network(dhcp4=False)))
        await asyncio.sleep(400)
        assert "ens192: Link has no address to configure" in lab.log("syslog")
        assert "Timeout occurred while waiting for network connectivity." in lab.log("syslog")
        assert "running 'init-local'" in lab.output()
        assert "running 'init'" not in lab.output()
        assert lab.hypervisor.addresses == {"vm-1": None}


class Flaky(BareHypervisor):
    """Away on every other call."""

    def __init__(self) -> None:
        super().__init__()
        self._calls = 0

    def _maybe(self) -> None:
        self._calls += 1
        if self._calls % 2:
            raise TryAgain("the data center is away", reason="unreachable")

    async def dhcp_discover(self, machine_id: str) -> Lease | None:
        self._maybe()
        return await super().dhcp_discover(machine_id)

    async def report_guest(
        self, machine_id: str, *, address: str | None, host_name: str, tools_running: bool, dhcp: bool | None = None
    ) -> None:
        self._maybe()
        await super().report_guest(machine_id, address=address, host_name=host_name, tools_running=tools_running)


async def test_a_hypervisor_that_is_away_now_and_then_delays_a_machine_and_no_more(tmp_path: Path) -> None:
    async with running_lab(tmp_path, LoopClock(), hypervisor=Flaky()) as lab:
        lab.hypervisor.put(node_machine(1))
        assert 40 < await lab.nodes_are_ready() < 48
