"""A machine joins the cluster whose token, CA and address it was given: it waits for that one and takes no other."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pcg.clock import LoopClock
from pcg.nodes.cloud_config import KUBEADM_FILE
from pcg.nodes.pki import cluster_secrets

from .lab import SECRETS, SHARED, Lab, drop_file, file_of, given, node_machine, replace_in_file, running_lab

pytestmark = pytest.mark.looptime

OTHER = cluster_secrets(b"s" * 32, "gateway-2", 1)
FIRST = "127.64.0.10"
CLUSTER_INFO = "/api/v1/namespaces/kube-public/configmaps/cluster-info"


async def first_node(lab: Lab) -> None:
    lab.hypervisor.put(node_machine(1, 3))
    await lab.nodes_are_ready()


async def nodes_after(lab: Lab, seconds: float) -> list[str]:
    await asyncio.sleep(seconds)
    return await lab.ready_nodes()


async def test_a_machine_waits_for_the_first_node_and_then_joins(tmp_path: Path) -> None:
    async with running_lab(tmp_path, LoopClock()) as lab:
        lab.hypervisor.put(node_machine(2, 3))
        await asyncio.sleep(200)
        assert "[discovery] Failed to request cluster-info, will try again" in lab.output("node-2")
        assert "Connection refused" in lab.output("node-2")
        assert lab.output("node-2").count("[discovery]") == 1  # told once, asked often
        lab.hypervisor.put(node_machine(1, 3))
        address = lab.hypervisor.addresses["vm-2"] or ""
        assert await lab.nodes_are_ready(2, address) < 200 + 39 + 1 + 12 + 2
        stages = {stage: finished - started for _, stage, started, finished in lab.hypervisor.stages}
        assert stages["kubeadm join"] == pytest.approx(12)  # the wait was the other's time


async def test_a_machine_gives_up_after_its_configurations_patience(tmp_path: Path) -> None:
    async with running_lab(tmp_path, LoopClock()) as lab:
        machine = given(node_machine(2, 3), replace_in_file(KUBEADM_FILE, "15m0s", "1m30s"))
        lab.hypervisor.put(machine)
        await asyncio.sleep(14 + 89)
        assert "couldn't validate the identity" not in lab.output("node-2")
        await asyncio.sleep(4)
        assert "couldn't validate the identity of the API Server" in lab.output("node-2")
        assert "Failed to run module scripts-user" in lab.output("node-2")


async def test_a_wrong_token_is_never_accepted(tmp_path: Path) -> None:
    async with running_lab(tmp_path, LoopClock()) as lab:
        await first_node(lab)
        machine = given(node_machine(2, 3), replace_in_file(KUBEADM_FILE, "15m0s", "1m0s"))
        change = replace_in_file(KUBEADM_FILE, SECRETS.bootstrap_token(1), OTHER.bootstrap_token(1))
        lab.hypervisor.put(given(machine, change))
        assert await nodes_after(lab, 100) == ["node-1"]
        assert "HTTP 401: the bootstrap token is not accepted" in lab.output("node-2")
        assert "couldn't validate the identity of the API Server" in lab.output("node-2")


async def test_a_token_is_good_for_an_hour_and_no_longer(tmp_path: Path) -> None:
    async with running_lab(tmp_path, LoopClock()) as lab:
        await first_node(lab)
        await asyncio.sleep(3500)
        lab.hypervisor.put(node_machine(2, 3))
        await lab.nodes_are_ready(2)
        await asyncio.sleep(100)
        lab.hypervisor.put(node_machine(3, 3))
        assert await nodes_after(lab, 300) == ["node-1", "node-2"]
        assert "the bootstrap token is not accepted" in lab.output("node-3")


async def test_a_cluster_with_another_ca_than_the_pinned_one_is_refused_at_once(tmp_path: Path) -> None:
    async with running_lab(tmp_path, LoopClock()) as lab:
        await first_node(lab)
        lab.hypervisor.put(given(node_machine(2, 3), replace_in_file(KUBEADM_FILE, SECRETS.ca_hash, OTHER.ca_hash)))
        assert await nodes_after(lab, 60) == ["node-1"]
        assert f'none of the public keys "{SECRETS.ca_hash}" are pinned' in lab.output("node-2")


async def test_without_pinned_hashes_joining_is_refused_as_unsafe(tmp_path: Path) -> None:
    async with running_lab(tmp_path, LoopClock()) as lab:
        await first_node(lab)
        change = replace_in_file(KUBEADM_FILE, f"    caCertHashes:\n    - {SECRETS.ca_hash}\n", "")
        lab.hypervisor.put(given(node_machine(2, 3), change))
        assert await nodes_after(lab, 60) == ["node-1"]
        assert "using token-based discovery without caCertHashes can be unsafe" in lab.output("node-2")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (f"apiServerEndpoint: {SHARED}:6443", "apiServerEndpoint: ''", "APIServerEndpoint is not set"),
        ("kind: JoinConfiguration", "kind: ResetConfiguration", "no JoinConfiguration kind was found"),
        (f"token: {SECRETS.bootstrap_token(1)}", "token: x", "the bootstrap token is not of the form"),
        ("timeout: 15m0s", "timeout: 15", 'time: invalid duration "15"'),
        ("bootstrapToken:", "bootstrapToken: []\n  other:", "APIServerEndpoint is not set"),
    ],
)
async def test_a_join_configuration_with_a_hole_is_refused(tmp_path: Path, old: str, new: str, words: str) -> None:
    async with running_lab(tmp_path, LoopClock()) as lab:
        lab.hypervisor.put(given(node_machine(2, 3), replace_in_file(KUBEADM_FILE, old, new)))
        await asyncio.sleep(60)
        assert words in lab.output("node-2")


async def test_a_control_plane_node_needs_the_clusters_own_ca_key(tmp_path: Path) -> None:
    def other_ca(document: dict[str, Any]) -> None:
        file_of(document, "/etc/kubernetes/pki/ca.crt").update(content=OTHER.ca_certificate)
        file_of(document, "/etc/kubernetes/pki/ca.key").update(content=OTHER.ca_key)

    async with running_lab(tmp_path, LoopClock()) as lab:
        await first_node(lab)
        lab.hypervisor.put(given(node_machine(2, 3), other_ca))
        without_key = given(node_machine(3, 3), lambda document: drop_file(document, "/etc/kubernetes/pki/ca.key"))
        lab.hypervisor.put(without_key)
        assert await nodes_after(lab, 60) == ["node-1"]
        assert "the CA certificate in /etc/kubernetes/pki is not the cluster's" in lab.output("node-2")
        assert "failure loading key for CA" in lab.output("node-3")


async def test_without_cluster_info_it_waits_until_that_is_back(tmp_path: Path) -> None:
    async with running_lab(tmp_path, LoopClock()) as lab:
        await first_node(lab)
        kept = (await lab.get(CLUSTER_INFO)).json()
        assert (await lab.send("DELETE", CLUSTER_INFO)).is_success
        lab.hypervisor.put(node_machine(2, 3))
        assert await nodes_after(lab, 100) == ["node-1"]
        assert "will try again" in lab.output("node-2")
        assert "HTTP 404" in lab.output("node-2")
        await lab.send("POST", CLUSTER_INFO.rpartition("/")[0], kept)
        await lab.nodes_are_ready(2)


@pytest.mark.parametrize("kubeconfig", ["", "a: [", "clusters: []", "clusters: [{cluster: {}}]", "7"])
async def test_cluster_info_that_says_nothing_is_asked_for_again(tmp_path: Path, kubeconfig: str) -> None:
    async with running_lab(tmp_path, LoopClock()) as lab:
        await first_node(lab)
        await lab.send("PATCH", CLUSTER_INFO, {"data": {"kubeconfig": kubeconfig}})
        lab.hypervisor.put(node_machine(2, 3))
        assert await nodes_after(lab, 60) == ["node-1"]
        assert "the cluster-info ConfigMap cannot be read" in lab.output("node-2")


@pytest.mark.parametrize("seconds", [5, 9, 12, 16, 24])
async def test_a_power_cut_while_joining_only_delays_it(tmp_path: Path, seconds: float) -> None:
    async with running_lab(tmp_path, LoopClock()) as lab:
        await first_node(lab)
        lab.hypervisor.put(node_machine(2, 3))
        await asyncio.sleep(seconds)
        lab.hypervisor.power("vm-2", on=False)
        await asyncio.sleep(10)
        assert (await lab.get("/readyz")).status_code == 200  # what was not a member yet is not missed
        lab.hypervisor.power("vm-2", on=True)
        await lab.nodes_are_ready(2)


@pytest.mark.parametrize("seconds", [5, 12, 20, 30, 37.9])
async def test_a_power_cut_while_initialising_only_delays_it(tmp_path: Path, seconds: float) -> None:
    async with running_lab(tmp_path, LoopClock()) as lab:
        lab.hypervisor.put(node_machine(1))
        await asyncio.sleep(seconds)
        lab.hypervisor.put(replace(lab.hypervisor.made["vm-1"], boot=2))
        assert await lab.nodes_are_ready() < seconds + 42
        await lab.until(lab.pods)


async def test_a_worker_serves_no_api_and_is_not_missed(tmp_path: Path) -> None:
    def worker(document: dict[str, Any]) -> None:
        replace_in_file(KUBEADM_FILE, "controlPlane:\n  localAPIEndpoint:\n    bindPort: 6443\n", "")(document)
        drop_file(document, "/etc/kubernetes/manifests/kube-vip.yaml")

    async with running_lab(tmp_path, LoopClock()) as lab:
        await first_node(lab)
        lab.hypervisor.put(given(node_machine(2, 3), worker))
        await lab.nodes_are_ready(2)
        assert await lab.answers("/readyz", lab.hypervisor.addresses["vm-2"] or "") is None
        node = (await lab.get("/api/v1/nodes/node-2")).json()
        assert "node-role.kubernetes.io/control-plane" not in node["metadata"]["labels"]
        assert "This node has joined the cluster as a worker node" in lab.output("node-2")
        lab.hypervisor.power("vm-2", on=False)
        await asyncio.sleep(5)
        assert (await lab.get("/readyz")).status_code == 200
