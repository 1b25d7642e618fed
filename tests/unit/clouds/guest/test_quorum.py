"""Three control-plane nodes: one may die, two may not; the control-plane address follows the living."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from pcg.clock import LoopClock
from pcg.clouds.guest.api_servers import InProcessTransport
from pcg.clouds.guest.certificates import Peer
from pcg.clouds.guest.cluster import ETCD_FILE, Cluster
from pcg.clouds.guest.disk import MachineDisk
from pcg.errors import TryAgain, Unreachable
from pcg.gateway.etcd_api import EtcdApi
from pcg.nodes.pki import etcd_client_certificate

from .lab import ADMINISTRATOR, SECRETS, SHARED, Lab, condition, drop_file, given, node_machine, running_lab

pytestmark = pytest.mark.looptime


async def three_nodes(lab: Lab) -> None:
    for number in (1, 2, 3):
        lab.hypervisor.put(node_machine(number, 3))
    await lab.nodes_are_ready(3, SHARED)


def holder(lab: Lab) -> str:
    """The machine that announced the control-plane address last."""
    told = {}
    for number in (1, 2, 3):
        for line in lab.log("syslog", f"node-{number}").splitlines():
            if "is assuming leadership of the cluster" in line:
                told[line] = f"vm-{number}"
    return told[max(told)]


def address(lab: Lab, machine: str) -> str:
    return lab.hypervisor.addresses[machine] or ""


@asynccontextmanager
async def open_member(lab: Lab, machine: str, certificate: str = "") -> AsyncIterator[EtcdApi]:
    """etcd on that machine, as the gateway asks it."""
    certificate = certificate or etcd_client_certificate(SECRETS, datetime(2026, 1, 1, tzinfo=UTC)).certificate
    servers = lab.runner.api_servers
    transport = InProcessTransport(servers, ca=SECRETS.etcd_ca_certificate, certificate=certificate)
    async with httpx.AsyncClient(transport=transport, base_url=f"https://{address(lab, machine)}:2379") as client:
        yield EtcdApi(client)


async def test_the_first_node_holds_the_control_plane_address(tmp_path: Path) -> None:
    async with running_lab(tmp_path, LoopClock()) as lab:
        await three_nodes(lab)
        assert holder(lab) == "vm-1"
        assert f"Node [node-1] is assuming leadership of the cluster, VIP [{SHARED}]" in lab.log("syslog")


async def test_the_control_plane_address_moves_when_its_holder_dies(tmp_path: Path) -> None:
    async with running_lab(tmp_path, LoopClock()) as lab:
        await three_nodes(lab)
        lab.hypervisor.power("vm-1", on=False)
        died = lab.clock.monotonic()
        await asyncio.sleep(1)
        assert await lab.answers("/readyz", SHARED) is None  # the lease has not run out yet
        await lab.until(lambda: lab.answers("/readyz", SHARED))
        assert 5 <= lab.clock.monotonic() - died < 6
        assert holder(lab) != "vm-1"


async def test_a_holder_that_comes_back_does_not_take_the_address_back(tmp_path: Path) -> None:
    async with running_lab(tmp_path, LoopClock()) as lab:
        await three_nodes(lab)
        lab.hypervisor.power("vm-1", on=False)
        await asyncio.sleep(10)
        second = holder(lab)
        lab.hypervisor.power("vm-1", on=True)
        await asyncio.sleep(60)
        assert holder(lab) == second
        assert (await lab.get("/readyz", SHARED)).text == "ok"


async def test_without_a_majority_the_api_is_not_ready_and_refuses(tmp_path: Path) -> None:
    async with running_lab(tmp_path, LoopClock()) as lab:
        await three_nodes(lab)
        lab.hypervisor.power("vm-1", on=False)
        await asyncio.sleep(1)
        last = address(lab, "vm-3")
        assert (await lab.get("/readyz", last)).status_code == 200
        lab.hypervisor.power("vm-2", on=False)
        await asyncio.sleep(1)
        answer = await lab.get("/readyz", last)
        assert answer.status_code == 500
        assert "[-]etcd failed: reason withheld" in answer.text
        assert answer.text.splitlines()[-1] == "readyz check failed"
        for refused in (
            await lab.get("/api/v1/nodes", last),
            await lab.send("POST", "/api/v1/namespaces", {"metadata": {"name": "x"}}, last),
        ):
            assert refused.status_code == 500
            assert refused.json()["message"] == "etcdserver: no leader"


async def test_half_of_the_members_is_no_majority(tmp_path: Path) -> None:
    async with running_lab(tmp_path, LoopClock()) as lab:
        for number in (1, 2):
            lab.hypervisor.put(node_machine(number, 3))
        await lab.nodes_are_ready(2, SHARED)
        lab.hypervisor.power("vm-2", on=False)
        await asyncio.sleep(1)
        assert (await lab.get("/readyz", address(lab, "vm-1"))).status_code == 500


async def test_a_majority_that_is_back_serves_everything_again(tmp_path: Path) -> None:
    async with running_lab(tmp_path, LoopClock()) as lab:
        await three_nodes(lab)
        await lab.send("POST", "/api/v1/namespaces", {"metadata": {"name": "kept"}}, SHARED)
        lab.hypervisor.power("vm-1", on=False)
        lab.hypervisor.power("vm-2", on=False)
        await asyncio.sleep(100)
        lab.hypervisor.power("vm-2", on=True)
        await lab.until(lambda: lab.answers("/readyz", SHARED), within=30)
        assert (await lab.get("/api/v1/namespaces/kept", SHARED)).status_code == 200
        await lab.until(lambda: ready(lab, {"node-2", "node-3"}))


async def ready(lab: Lab, names: set[str]) -> bool:
    return set(await lab.ready_nodes(SHARED)) == names


async def test_a_dead_node_is_unknown_after_the_grace_and_ready_when_back(tmp_path: Path) -> None:
    async with running_lab(tmp_path, LoopClock()) as lab:
        await three_nodes(lab)
        lab.hypervisor.power("vm-2", on=False)
        await asyncio.sleep(39)
        assert await ready(lab, {"node-1", "node-2", "node-3"})
        await asyncio.sleep(2)
        node = (await lab.get("/api/v1/nodes/node-2", SHARED)).json()
        assert condition(node, "Ready") == "Unknown"
        assert node["status"]["conditions"][0]["message"] == "Kubelet stopped posting node status."
        (event,) = await lab.events("NodeNotReady", "default")
        assert event["involvedObject"]["name"] == "node-2"
        lab.hypervisor.power("vm-2", on=True)
        await lab.nodes_are_ready(3, SHARED, within=30)


async def test_a_member_that_slept_learns_what_it_missed(tmp_path: Path) -> None:
    async with running_lab(tmp_path, LoopClock()) as lab:
        await three_nodes(lab)
        lab.hypervisor.power("vm-3", on=False)
        await asyncio.sleep(1)
        await lab.send("POST", "/api/v1/namespaces", {"metadata": {"name": "missed"}}, SHARED)
        assert "missed" not in lab.log(ETCD_FILE, "node-3")
        lab.hypervisor.power("vm-3", on=True)
        await lab.nodes_are_ready(3, SHARED)
        await lab.until(lambda: "missed" in lab.log(ETCD_FILE, "node-3"), within=60)


async def test_an_older_members_disk_does_not_undo_what_a_majority_answered(tmp_path: Path) -> None:
    """All go off, the one that missed something boots first, then another: nothing that was answered is lost."""
    async with running_lab(tmp_path, LoopClock()) as lab:
        await three_nodes(lab)
        lab.hypervisor.power("vm-3", on=False)
        await asyncio.sleep(1)
        await lab.send("POST", "/api/v1/namespaces", {"metadata": {"name": "answered"}}, SHARED)
        lab.hypervisor.power("vm-1", on=False)
        lab.hypervisor.power("vm-2", on=False)
        await asyncio.sleep(1)
        lab.hypervisor.power("vm-3", on=True)
        await asyncio.sleep(30)
        assert (await lab.get("/readyz", address(lab, "vm-3"))).status_code == 500
        lab.hypervisor.power("vm-2", on=True)
        await lab.until(lambda: lab.answers("/readyz", SHARED))
        assert (await lab.get("/api/v1/namespaces/answered", SHARED)).status_code == 200


async def test_every_living_members_disk_holds_the_same(tmp_path: Path) -> None:
    async with running_lab(tmp_path, LoopClock()) as lab:
        await three_nodes(lab)
        first, second, third = (json.loads(lab.log(ETCD_FILE, f"node-{number}")) for number in (1, 2, 3))
        assert first == second == third
        assert first["members"] == ["node-1", "node-2", "node-3"]


async def test_a_deleted_nodes_member_can_be_removed_and_replaced(tmp_path: Path) -> None:
    async with running_lab(tmp_path, LoopClock()) as lab:
        await three_nodes(lab)
        lab.hypervisor.delete("vm-2")
        await asyncio.sleep(1)
        await lab.send("DELETE", "/api/v1/nodes/node-2", address=SHARED)
        async with open_member(lab, "vm-1") as etcd:
            members = await etcd.members()
            assert sorted(members) == ["node-1", "node-2", "node-3"]
            await etcd.remove(members["node-2"])
            await etcd.remove(members["node-2"])  # gone is gone
            assert sorted(await etcd.members()) == ["node-1", "node-3"]
        assert json.loads(lab.log(ETCD_FILE))["members"] == ["node-1", "node-3"]
        lab.hypervisor.put(node_machine(4, 3))
        await lab.until(lambda: ready(lab, {"node-1", "node-3", "node-4"}))
        lab.hypervisor.power("vm-1", on=False)
        await asyncio.sleep(1)
        assert (await lab.get("/readyz", address(lab, "vm-3"))).status_code == 200


async def test_a_member_that_was_announced_and_never_began_is_known_by_its_peer_url(tmp_path: Path) -> None:
    cluster = Cluster("c", LoopClock(), 1.0)
    disk = MachineDisk(tmp_path)
    cluster.found("node-1", disk, "1.30.14")
    for number in (2, 3):
        cluster.announce(f"https://127.64.0.1{number}:2380")
    cluster.add_member("node-2", MachineDisk(tmp_path / "2"), "https://127.64.0.12:2380")
    assert json.loads(disk.read(ETCD_FILE) or "")["announced"] == ["https://127.64.0.13:2380"]

    async def identified(scope: Any, receive: Any, send: Any) -> None:
        await cluster.etcd({**scope, "state": {"peer": Peer("gateway", ())}}, receive, send)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(identified), base_url="https://e:2379") as client:
        etcd = EtcdApi(client)
        assert sorted(await etcd.members()) == sorted(await etcd.voters()) == ["node-1", "node-2"]
        ((host, member),) = (await etcd.never_started()).items()
        assert host == "127.64.0.13"
        await etcd.remove(member)
        assert await etcd.never_started() == {}
        assert sorted(await etcd.members()) == ["node-1", "node-2"]
    assert cluster.available


async def test_etcd_hears_who_its_own_ca_vouches_for_and_removes_nobody_without_a_majority(tmp_path: Path) -> None:
    async with running_lab(tmp_path, LoopClock()) as lab:
        await three_nodes(lab)
        with pytest.raises(Unreachable):
            async with open_member(lab, "vm-1", ADMINISTRATOR) as etcd:
                await etcd.members()
        async with open_member(lab, "vm-1") as etcd:
            members = await etcd.members()
            lab.hypervisor.power("vm-2", on=False)
            await asyncio.sleep(1)
            with pytest.raises(TryAgain) as caught:
                await etcd.remove(members["node-3"])
            assert "not enough started members" in str(caught.value.evidence)
            lab.hypervisor.power("vm-3", on=False)
            await asyncio.sleep(1)
            with pytest.raises(TryAgain) as caught:
                await etcd.members()
            assert "no leader" in str(caught.value.evidence)


@pytest.mark.parametrize("path", ["sa.pub", "front-proxy-ca.key", "etcd/ca.crt"])
async def test_a_control_plane_node_without_a_shared_file_does_not_join(tmp_path: Path, path: str) -> None:
    async with running_lab(tmp_path, LoopClock()) as lab:
        lab.hypervisor.put(node_machine(1, 3))
        await lab.nodes_are_ready(1, SHARED)
        file = f"/etc/kubernetes/pki/{path}"
        lab.hypervisor.put(given(node_machine(2, 3), lambda document: drop_file(document, file)))
        told = f"couldn't load the file {file}: open {file}: no such file or directory"
        await lab.until(lambda: told in lab.output("node-2"))
        assert await lab.ready_nodes(SHARED) == ["node-1"]


async def test_jet_moves_to_a_living_node_after_the_eviction_time(tmp_path: Path) -> None:
    async with running_lab(tmp_path, LoopClock()) as lab:
        await three_nodes(lab)
        (pod,) = await lab.until(lambda: lab.pods(SHARED))
        await lab.until(lambda: bound(lab))
        name = (await lab.pods(SHARED))[0]["spec"]["nodeName"]
        lab.hypervisor.power(name.replace("node", "vm"), on=False)
        await asyncio.sleep(330)
        assert [entry["metadata"]["uid"] for entry in await lab.pods(SHARED)] == [pod["metadata"]["uid"]]
        await asyncio.sleep(20)
        (replacement,) = await lab.pods(SHARED)
        assert replacement["metadata"]["uid"] != pod["metadata"]["uid"]
        assert replacement["spec"]["nodeName"] != name


async def bound(lab: Lab) -> bool:
    return all(pod["spec"].get("nodeName") for pod in await lab.pods(SHARED))
