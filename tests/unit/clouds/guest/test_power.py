"""Power-off, delete, reboot, and a runner that is killed: what stops at once, what is gone, and what comes back."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pcg.clock import LoopClock
from pcg.errors import TryAgain

from .lab import SHARED, BareHypervisor, Lab, cloud_config, condition, node_machine, running_lab

pytestmark = pytest.mark.looptime


async def running_jet(lab: Lab, address: str = "127.64.0.10") -> dict[str, Any]:
    """Gives the token and waits for jet's pod to be ready."""
    await lab.until(lambda: lab.pods(address))
    await lab.give_token(address)
    return await ready_jet(lab, address)


async def ready_jet(lab: Lab, address: str = "127.64.0.10") -> dict[str, Any]:
    async def ready() -> Any:
        return [pod for pod in await lab.pods(address) if condition(pod, "Ready") == "True"]

    return (await lab.until(ready))[0]


async def test_power_off_stops_api_and_containers_at_once(tmp_path: Path) -> None:
    async with running_lab(tmp_path, LoopClock()) as lab:
        lab.hypervisor.put(node_machine(1))
        await running_jet(lab)
        lab.hypervisor.power("vm-1", on=False)
        await asyncio.sleep(0.01)
        assert await lab.answers("/readyz") is None
        assert [task for task in asyncio.all_tasks() if "obedient_jet" in str(task.get_coro())] == []
        kept = [path for path in (tmp_path / "machines/node-1").rglob("*") if path.is_file()]
        size = sum(path.stat().st_size for path in kept)
        await asyncio.sleep(600)
        assert sum(path.stat().st_size for path in kept) == size  # nothing is written any more


@pytest.mark.parametrize("seconds", [1, 9, 10.5, 13, 20, 60])
async def test_power_off_at_any_moment_ends_the_guest(tmp_path: Path, seconds: float) -> None:
    async with running_lab(tmp_path, LoopClock()) as lab:
        lab.hypervisor.put(node_machine(1))
        await asyncio.sleep(seconds)
        lab.hypervisor.power("vm-1", on=False)
        await asyncio.sleep(0.01)
        stages = len(lab.hypervisor.stages)
        await asyncio.sleep(100)
        assert len(lab.hypervisor.stages) == stages
        assert await lab.answers("/readyz") is None


async def test_a_machine_that_is_off_never_boots(tmp_path: Path) -> None:
    async with running_lab(tmp_path, LoopClock()) as lab:
        lab.hypervisor.put(node_machine(1, powered_on=False))
        await asyncio.sleep(100)
        assert lab.hypervisor.stages == []
        assert not (tmp_path / "machines").exists()


@pytest.mark.parametrize("powered_on", [True, False])
async def test_deleting_a_machine_removes_its_disk(tmp_path: Path, powered_on: bool) -> None:
    async with running_lab(tmp_path, LoopClock()) as lab:
        lab.hypervisor.put(node_machine(1))
        await lab.nodes_are_ready()
        if not powered_on:
            lab.hypervisor.power("vm-1", on=False)
            await asyncio.sleep(1)
        lab.hypervisor.delete("vm-1")
        await asyncio.sleep(0.01)
        assert list((tmp_path / "machines").iterdir()) == []
        assert await lab.answers("/readyz") is None


async def test_a_reboot_keeps_the_node_its_objects_and_its_pod(tmp_path: Path) -> None:
    async with running_lab(tmp_path, LoopClock()) as lab:
        lab.hypervisor.put(node_machine(1))
        pod = await running_jet(lab)
        node = (await lab.get("/api/v1/nodes/node-1")).json()
        lab.hypervisor.power("vm-1", on=True)
        began = lab.clock.monotonic()
        await asyncio.sleep(1)
        assert await lab.answers("/readyz") is None
        await lab.until(lambda: lab.answers("/readyz"))
        assert lab.clock.monotonic() - began < 18  # kernel 8, local 2, dhcp 1, control plane 6
        restarts = pod["status"]["containerStatuses"][0]["restartCount"]

        async def started_again() -> bool:
            (again,) = await lab.pods()
            assert again["metadata"]["uid"] == pod["metadata"]["uid"]
            return again["status"]["containerStatuses"][0]["restartCount"] == restarts + 1

        await lab.until(started_again, within=5)
        await ready_jet(lab)
        assert (await lab.get("/api/v1/nodes/node-1")).json()["metadata"]["uid"] == node["metadata"]["uid"]
        assert [stage for _, stage, _, _ in lab.hypervisor.stages].count("kubeadm init") == 1


async def test_a_reboot_to_another_address_is_told_by_the_node(tmp_path: Path) -> None:
    async with running_lab(tmp_path, LoopClock()) as lab:
        lab.hypervisor.put(node_machine(1))
        await lab.nodes_are_ready()
        lab.hypervisor.leases.clear()
        lab.hypervisor.power("vm-1", on=True)
        await lab.until(lambda: lab.answers("/readyz", "127.64.0.11"))
        await lab.nodes_are_ready(address="127.64.0.11")

        async def told() -> bool:
            node = (await lab.get("/api/v1/nodes/node-1", "127.64.0.11")).json()
            return node["status"]["addresses"][0]["address"] == "127.64.0.11"

        await lab.until(told, within=5)


@pytest.mark.parametrize("nodes", [1, 3])
async def test_a_runner_started_again_on_the_same_state_brings_the_cluster_back(tmp_path: Path, nodes: int) -> None:
    address = SHARED if nodes == 3 else "127.64.0.10"
    hypervisor = BareHypervisor()
    async with running_lab(tmp_path, LoopClock(), hypervisor=hypervisor) as lab:
        for number in range(1, nodes + 1):
            hypervisor.put(node_machine(number, nodes))
        await lab.nodes_are_ready(nodes, address)
        pod = await running_jet(lab, address)
        await lab.send("POST", "/api/v1/namespaces/default/configmaps", {"metadata": {"name": "mine"}}, address)
    async with running_lab(tmp_path, LoopClock(), hypervisor=hypervisor) as lab:
        assert await lab.answers("/readyz", address) is None
        await lab.nodes_are_ready(nodes, address)
        assert (await ready_jet(lab, address))["metadata"]["uid"] == pod["metadata"]["uid"]
        assert (await lab.get("/api/v1/namespaces/default/configmaps/mine", address)).status_code == 200
        assert sorted(await lab.ready_nodes(address)) == [f"node-{number}" for number in range(1, nodes + 1)]


async def test_machines_deleted_while_no_runner_ran_lose_their_disks(tmp_path: Path) -> None:
    hypervisor = BareHypervisor()
    async with running_lab(tmp_path, LoopClock(), hypervisor=hypervisor) as lab:
        hypervisor.put(node_machine(1))
        await lab.nodes_are_ready()
    hypervisor.delete("vm-1")
    hypervisor.put(node_machine(1, id="vm-7"))  # the same name again
    async with running_lab(tmp_path, LoopClock(), hypervisor=hypervisor) as lab:
        await lab.until(lambda: hypervisor.addresses.get("vm-7"))
        (disk,) = (tmp_path / "machines").iterdir()
        assert json.loads((disk / "machine.json").read_text())["id"] == "vm-7"
        assert "already ran" not in lab.log("cloud-init.log")


async def test_two_machines_of_one_name_have_two_disks(tmp_path: Path) -> None:
    async with running_lab(tmp_path, LoopClock()) as lab:
        for machine_id, text in (("vm-1", "one"), ("vm/2", "two")):
            user_data = cloud_config({"write_files": [{"path": "/opt/who", "content": text}]})
            lab.hypervisor.put(node_machine(1, id=machine_id, user_data=user_data))
        await asyncio.sleep(60)
        assert (lab.log("/opt/who"), lab.log("/opt/who", "node-1-vm_2")) == ("one", "two")
        lab.hypervisor.delete("vm-1")
        await asyncio.sleep(1)
        assert [disk.name for disk in (tmp_path / "machines").iterdir()] == ["node-1-vm_2"]


@pytest.mark.parametrize("name", ["../../outside", ".hidden", "", "a b/c", "ü"])
async def test_an_odd_machine_name_stays_inside_the_state(tmp_path: Path, name: str) -> None:
    async with running_lab(tmp_path / "deep/state", LoopClock()) as lab:
        lab.hypervisor.put(node_machine(1, name=name))
        await lab.nodes_are_ready()
        assert [entry.name for entry in tmp_path.iterdir()] == ["deep"]
        assert [entry.name for entry in (tmp_path / "deep").iterdir()] == ["state"]
        assert len(list((tmp_path / "deep/state/machines").iterdir())) == 1


async def test_a_machine_boots_with_what_it_was_given_last(tmp_path: Path) -> None:
    async with running_lab(tmp_path, LoopClock()) as lab:
        lab.hypervisor.put(node_machine(1, user_data=None, meta_data=None))
        await asyncio.sleep(60)
        lab.hypervisor.put(replace(node_machine(1), boot=2))
        await lab.nodes_are_ready()


async def test_speed_divides_every_time(tmp_path: Path) -> None:
    async with running_lab(tmp_path, LoopClock(), speed=10.0) as lab:
        lab.hypervisor.put(node_machine(1))
        assert 3.8 <= await lab.nodes_are_ready() <= 4.3
        uptimes = [
            line.split("Up ")[1].split()[0] for line in lab.output().splitlines() if line.startswith("Cloud-init")
        ]
        assert (uptimes[0], uptimes[-1]) == ("8.00", "39.00")  # the guest counts its own seconds


class Away(BareHypervisor):
    """Cannot be asked for the first minute."""

    async def machines(self) -> list[Any]:
        if asyncio.get_running_loop().time() < 60:
            raise TryAgain("the data center is away", reason="unreachable")
        return await super().machines()


async def test_a_data_center_that_is_away_is_asked_again(tmp_path: Path) -> None:
    async with running_lab(tmp_path, LoopClock(), hypervisor=Away()) as lab:
        lab.hypervisor.put(node_machine(1))
        assert 60 + 38 < await lab.nodes_are_ready() < 60 + 42


async def test_a_stopped_runner_leaves_no_task_behind(tmp_path: Path) -> None:
    before = asyncio.all_tasks()
    async with running_lab(tmp_path, LoopClock()) as lab:
        for number in (1, 2, 3):
            lab.hypervisor.put(node_machine(number, 3))
        await lab.nodes_are_ready(3, SHARED)
        await running_jet(lab, SHARED)
    assert asyncio.all_tasks() == before
