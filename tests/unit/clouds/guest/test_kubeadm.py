"""`kubeadm init` and `kubeadm join` act on the files they were given: what is wrong there is told in its words."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pcg.clock import LoopClock
from pcg.nodes.cloud_config import KUBEADM_FILE
from pcg.nodes.pki import cluster_secrets

from .lab import SECRETS, SHARED, Lab, drop_file, file_of, given, node_machine, replace_in_file, running_lab

pytestmark = pytest.mark.looptime

CA, CA_KEY = "/etc/kubernetes/pki/ca.crt", "/etc/kubernetes/pki/ca.key"
JET = "/etc/kubernetes/addons/jet.yaml"
OTHER = cluster_secrets(b"s" * 32, "gateway-2", 1)


def drop(path: str) -> Callable[[dict[str, Any]], None]:
    return lambda document: drop_file(document, path)


def content(path: str, text: str) -> Callable[[dict[str, Any]], None]:
    return lambda document: file_of(document, path).update(content=text)


INIT_FAULTS = [
    (drop(KUBEADM_FILE), f'unable to read config from "{KUBEADM_FILE}": open {KUBEADM_FILE}: no such file'),
    (content(KUBEADM_FILE, "a: ["), "error converting YAML to JSON: yaml: "),
    (content(KUBEADM_FILE, "a: 1"), "invalid configuration: kind and apiVersion is mandatory information"),
    (content(KUBEADM_FILE, ""), "no InitConfiguration or ClusterConfiguration kind was found"),
    (replace_in_file(KUBEADM_FILE, "v1beta3", "v1beta1"), 'uses an old or unknown API spec: "kubeadm.k8s.io/v1beta1"'),
    (replace_in_file(KUBEADM_FILE, "ttl: 3600s", "ttl: soon"), 'time: invalid duration "soon"'),
    (replace_in_file(KUBEADM_FILE, SECRETS.bootstrap_token(1), "short.x"), "the bootstrap token is not of the form"),
    (replace_in_file(KUBEADM_FILE, "name: node-1", "name: Node_1"), 'nodeRegistration.name: Invalid value: "Node_1"'),
    (replace_in_file(KUBEADM_FILE, "taints: []", "taints: 7"), "json: cannot unmarshal int into Go struct field"),
    (replace_in_file(KUBEADM_FILE, "taints: []", "taints: [x]"), "json: cannot unmarshal str into Go struct field"),
    (drop(CA), f"failure loading certificate for CA: couldn't load the file {CA}"),
    (drop(CA_KEY), f"failure loading key for CA: couldn't load the file {CA_KEY}"),
    (content(CA_KEY, OTHER.ca_key), "the private key does not belong to the certificate"),
    (content(CA_KEY, "no key"), f"couldn't load the private key file {CA_KEY}"),
]


@pytest.mark.parametrize(("change", "words"), INIT_FAULTS)
async def test_init_on_wrong_files_fails_and_makes_no_node(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], words: str
) -> None:
    async with running_lab(tmp_path, LoopClock()) as lab:
        lab.hypervisor.put(given(node_machine(1), change))
        await asyncio.sleep(300)
        assert "error execution phase preflight: " in lab.output()
        assert words in lab.output()
        assert "Failed to run module scripts-user" in lab.output()  # kubectl found no cluster either
        assert await lab.answers("/readyz") is None


async def test_without_the_jet_manifest_there_is_a_cluster_and_no_jet(tmp_path: Path) -> None:
    async with running_lab(tmp_path, LoopClock()) as lab:
        lab.hypervisor.put(given(node_machine(1), drop(JET)))
        await lab.nodes_are_ready()
        await asyncio.sleep(300)
        assert await lab.pods() == []
        assert f'error: the path "{JET}" does not exist' in lab.output()
        assert "Failed to run module scripts-user" in lab.output()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", f"error: error parsing {JET}: error converting YAML to JSON"),
        ("", "error: no objects passed to apply"),
        ("- 1\n", "invalid object to validate"),
        ("apiVersion: v1\nkind: Gadget\nmetadata: {name: x}\n", 'no matches for kind "Gadget" in version "v1"'),
        ("apiVersion: v1\nkind: Secret\nmetadata: {name: x, namespace: none}\n", 'namespaces "none" not found'),
        ("apiVersion: v1\nkind: Namespace\nmetadata: {name: Not_Valid}\n", "Error from server (Invalid)"),
        ("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\n", "spec: Required value"),
    ],
)
async def test_a_broken_jet_manifest_is_kubectls_complaint(tmp_path: Path, text: str, words: str) -> None:
    async with running_lab(tmp_path, LoopClock()) as lab:
        lab.hypervisor.put(given(node_machine(1), content(JET, text)))
        await lab.nodes_are_ready()
        assert words in lab.output()
        assert await lab.pods() == []


async def test_init_does_not_touch_what_is_a_node_already(tmp_path: Path) -> None:
    def twice(document: dict[str, Any]) -> None:
        document["runcmd"] += [command for command in document["runcmd"] if command[:2] == ["kubeadm", "init"]]

    async with running_lab(tmp_path, LoopClock()) as lab:
        lab.hypervisor.put(given(node_machine(1), twice))
        await lab.nodes_are_ready()
        refused = "[ERROR FileAvailable--etc-kubernetes-kubelet.conf]: /etc/kubernetes/kubelet.conf already exists"
        assert lab.output().count(refused) == 1
        assert "deployment.apps/jet created" in lab.output()
        assert (await lab.get("/readyz")).text == "ok"


async def test_init_behind_an_address_that_nobody_announces_times_out(tmp_path: Path) -> None:
    async with running_lab(tmp_path, LoopClock()) as lab:
        lab.hypervisor.put(given(node_machine(1, 3), drop("/etc/kubernetes/manifests/kube-vip.yaml")))
        await asyncio.sleep(400)
        assert f"dial tcp {SHARED}:6443: no route to host" in lab.output()
        assert "couldn't initialize a Kubernetes cluster: timed out waiting for the condition" in lab.output()
        assert await lab.answers("/readyz") is None


async def test_unknown_verbs_and_a_missing_config_are_refused(tmp_path: Path) -> None:
    async with running_lab(tmp_path, LoopClock()) as lab:
        commands = [["kubeadm", "reset"], ["kubeadm", "init"], ["kubectl", "get", "nodes"], ["kubectl"], ["kubeadm"]]
        lab.hypervisor.put(given(node_machine(1), lambda document: document.update(runcmd=commands)))
        await asyncio.sleep(60)
        assert 'unknown command "reset" for "kubeadm"' in lab.output()
        assert "a --config file is needed here" in lab.output()
        assert "error: unknown command 'get nodes'; only apply -f FILE is known here" in lab.output()


async def test_the_admins_kubeconfig_on_the_disk_opens_the_cluster(tmp_path: Path) -> None:
    async with running_lab(tmp_path, LoopClock()) as lab:
        lab.hypervisor.put(node_machine(1))
        await lab.nodes_are_ready()
        document = yaml.safe_load(lab.log("/etc/kubernetes/admin.conf"))
        assert document["clusters"][0]["cluster"]["server"] == "https://127.64.0.10:6443"
        assert document["current-context"] == document["contexts"][0]["name"]
        assert set(document["users"][0]["user"]) == {"client-certificate-data", "client-key-data"}


async def test_the_version_and_the_name_come_from_the_configuration(tmp_path: Path) -> None:
    def change(document: dict[str, Any]) -> None:
        entry = file_of(document, KUBEADM_FILE)
        init, cluster = yaml.safe_load_all(entry["content"])
        init["nodeRegistration"]["name"] = "chosen"
        cluster["kubernetesVersion"] = "v1.29.4"
        entry["content"] = yaml.safe_dump_all([init, cluster])

    async with running_lab(tmp_path, LoopClock()) as lab:
        lab.hypervisor.put(given(node_machine(1), change))
        await lab.nodes_are_ready()
        assert await lab.ready_nodes() == ["chosen"]
        assert (await lab.get("/version")).json()["gitVersion"] == "v1.29.4"
        assert "Using Kubernetes version: v1.29.4" in lab.output()


async def test_without_an_own_list_of_taints_jet_finds_no_place(tmp_path: Path) -> None:
    async with running_lab(tmp_path, LoopClock()) as lab:
        lab.hypervisor.put(given(node_machine(1), replace_in_file(KUBEADM_FILE, "  taints: []\n", "")))
        await lab.nodes_are_ready()
        (event,) = await lab.until(lambda: scheduling_failures(lab))
        assert "untolerated taint {node-role.kubernetes.io/control-plane: }" in event["message"]
        assert (await lab.pods())[0]["status"]["phase"] == "Pending"


async def scheduling_failures(lab: Lab) -> list[dict[str, Any]]:
    found = await lab.events("FailedScheduling")
    return [event for event in found if "untolerated" in event["message"]]
