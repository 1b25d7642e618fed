"""What becomes of a machine: cloud-init itself makes a node of our documents, and leaves it alone at later boots."""

from __future__ import annotations

import base64
import json
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

from pcg.model.configuration import Configuration, parse_configuration
from pcg.nodes import control_plane_address, proxy
from pcg.nodes.cloud_config import JET_FILE, KUBEADM_FILE, POD_NETWORK_FOLDER, NodePlan, meta_data, user_data
from pcg.nodes.pki import cluster_secrets

from .node import Boot, boots

pytestmark = pytest.mark.own_root

SECRETS = cluster_secrets(b"s" * 32, "gateway-1", 1)
SHARED = "10.10.20.5"
ADDRESS = "10.10.20.10"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGZha2UtZmFrZS1mYWtlLWZha2UtZmFrZS1mYWtl someone@example.com"
STATIC: dict[str, Any] = {"static": {"range": f"{ADDRESS}-10.10.20.20", "prefix": 24, "gateway": "10.10.20.1"}}
ADDRESSES: dict[str, dict[str, Any]] = {
    "dhcp": {},
    "static": {"addresses": STATIC, "nameServers": ["10.10.20.2"], "ntpServers": ["time.example.com"]},
}
PARTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "all": {
        "proxy": {
            "https": "http://me:a%20b@proxy.example.com:3128",
            "no": [".example.com"],
            "ca": SECRETS.front_proxy_ca_certificate,
        },
        "sshKeys": [KEY],
        "kubernetes": {"version": "1.32", "cni": "cilium", "registry": "registry.example.com/k8s"},
    },
}
PREPARED = ["swapoff -a", "modprobe -a overlay br_netfilter", "sysctl --system", "systemctl enable containerd kubelet"]
PROXIED = ["systemctl daemon-reload", "systemctl restart containerd"]
KUBECTL = "kubectl --kubeconfig /etc/kubernetes/admin.conf"


def configuration(addresses: str, parts: str, nodes: int) -> Configuration:
    document: dict[str, Any] = {
        "cloud": "simulated",
        "vcenter": {"address": "127.0.0.1:1", "username": "someone"},
        "placement": [{"datacenter": "d", "cluster": "c", "datastore": "s", "network": "n"}],
        "template": {"image": "node.ova"},
        "nodes": {"count": nodes},
        "network": ADDRESSES[addresses] | ({"controlPlaneAddress": SHARED} if nodes == 3 else {}),
    }
    return parse_configuration(document | PARTS[parts])[0]


def expected_calls(wanted: Configuration, join: bool) -> list[str]:
    calls = list(PREPARED)
    if wanted.proxy.ca:
        calls += ["update-ca-certificates", *PROXIED]
    if join:
        return [*calls, f"kubeadm join --config {KUBEADM_FILE}"]
    pods = f"{POD_NETWORK_FOLDER}/{wanted.kubernetes.cni}.yaml"
    calls += [
        f"kubeadm init --config {KUBEADM_FILE}",
        f"sed -i s|__POD_CIDR__|192.168.0.0/16|g {pods}",
        f"{KUBECTL} apply -f {pods}",
        f"{KUBECTL} apply -f {JET_FILE}",
    ]
    return [*calls, " ".join(control_plane_address.after_init())] if wanted.network.control_plane_address else calls


def assert_well(boot: Boot) -> None:
    assert "status: done" in boot.status
    result = json.loads(boot.text("/var/lib/cloud/data/result.json"))
    assert result["v1"]["errors"] == []
    assert "DataSourceVMware" in result["v1"]["datasource"]
    for word in ("WARNING", "ERROR", "CRITICAL", "Traceback", "deprecated"):
        assert [line for line in boot.log.splitlines() if word in line] == []


def assert_became(boot: Boot, given: str, wanted: Configuration, *, join: bool, static: bool) -> None:
    """Everything that one boot with user data leaves behind."""
    assert_well(boot)
    runs = [call for call in boot.calls if not call.startswith(("systemctl status ssh", "systemctl restart ssh"))]
    if wanted.network.ntp_servers:
        assert runs.pop(0) == "systemctl reload-or-restart chrony", "and no package was asked for"
        assert "server time.example.com iburst" in boot.text("/etc/chrony/chrony.conf").splitlines()
        assert "pool " not in boot.text("/etc/chrony/chrony.conf")
    assert runs == expected_calls(wanted, join)
    for file in yaml.safe_load(given)["write_files"]:
        assert boot.owner_and_mode(file["path"]) == (0, 0, file["permissions"]), file["path"]
        content = file["content"]
        if file["path"] == control_plane_address.MANIFEST_FILE:
            content = content.replace(control_plane_address.SUPER_ADMIN, control_plane_address.ADMIN)
        assert boot.text(file["path"]) == content
    if not join:
        assert boot.text(f"{POD_NETWORK_FOLDER}/{wanted.kubernetes.cni}.yaml") == "cidr: 192.168.0.0/16\n"
    if wanted.proxy.ca:
        assert boot.path(proxy.CA_FILE).read_text() in boot.text("/etc/ssl/certs/ca-certificates.crt")
    assert_reachable(boot, wanted, static=static)
    for secret in (SECRETS.ca_key, SECRETS.service_account_key, "a%20b@"):
        inner = secret.splitlines()[1] if "\n" in secret else secret
        assert not {path for path in boot.holding(inner) if path.startswith("/var/log/")}
        assert {boot.owner_and_mode(path)[2][2:] for path in boot.holding(inner)} <= {"00"}, "root's alone"


def assert_reachable(boot: Boot, wanted: Configuration, *, static: bool) -> None:
    """Its name, its addresses, and who may come in."""
    assert boot.hostname == boot.text("/etc/hostname").strip() == "node-1"
    hosts = [line.split() for line in boot.text("/etc/hosts").splitlines() if line]
    assert hosts == [["127.0.0.1", "localhost"], ["127.0.1.1", "node-1", "node-1"]]
    ethernet = yaml.safe_load(boot.text("/etc/netplan/50-cloud-init.yaml"))["network"]["ethernets"]
    unit = boot.text("/run/systemd/network/10-netplan-id0.network").splitlines()
    assert list(ethernet) == ["id0"] and "Name=e*" in unit
    if static:
        assert {f"Address={ADDRESS}/24", "Gateway=10.10.20.1", "DNS=10.10.20.2"} <= set(unit)
    else:
        assert {"DHCP=ipv4", "ClientIdentifier=mac"} <= set(unit)
    # DataSourceVMware tells the hypervisor, from where the step `addresses` can see it
    assert boot.guest_info("guestinfo.local-ipv4") == (ADDRESS if static else "10.10.20.77")
    assert "PasswordAuthentication no" in boot.text("/etc/ssh/sshd_config")
    (home,) = boot.path("/home").iterdir()
    keys = f"/home/{home.name}/.ssh/authorized_keys"
    assert boot.text(keys).split() == [word for key in wanted.ssh_keys for word in key.split()]
    assert boot.owner_and_mode(keys) == (home.stat().st_uid, home.stat().st_gid, "0600")


def documents(addresses: str, parts: str, nodes: int, join: str | None) -> tuple[Configuration, str, str]:
    wanted = configuration(addresses, parts, nodes)
    plan = NodePlan("node-1", join, "https://console.example.com", "CONSOLE PEM\n")
    address = ADDRESS if addresses == "static" else None
    return wanted, user_data(plan, wanted, SECRETS), meta_data("node-1", "i-1", wanted, address)


def test_the_first_node_is_made_once_and_forgets_its_user_data(tmp_path: Path) -> None:
    """The third boot is the first whose start finds no trace of user data that was cleared before the second."""
    wanted, given, identity = documents("static", "all", 3, None)
    first, *later, last = boots(tmp_path, given, identity, times=3)
    assert_became(first, given, wanted, join=False, static=True)
    for boot in (*later, last):
        assert_well(boot)
        assert boot.calls == [], "nothing runs again"
        assert_reachable(boot, wanted, static=True)
        for path in first.path("/etc").rglob("*"):
            if path.is_file() and not path.is_symlink():
                name = f"/{path.relative_to(first.folder / 'written')}"
                assert boot.path(name).read_bytes() == path.read_bytes(), name
                assert boot.owner_and_mode(name) == first.owner_and_mode(name), name
    token = SECRETS.bootstrap_token(1)
    assert KUBEADM_FILE in first.holding(token)
    assert last.holding(token) == set()
    remaining = last.holding(SECRETS.ca_key.splitlines()[1])
    assert remaining == {"/etc/kubernetes/pki/ca.key"}


def test_a_node_joins(tmp_path: Path) -> None:
    wanted, given, identity = documents("dhcp", "plain", 1, f"{SHARED}:6443")
    (boot,) = boots(tmp_path, given, identity)
    assert_became(boot, given, wanted, join=True, static=False)
    assert base64.b64decode(boot.guest_info("guestinfo.metadata")).decode() == identity


@pytest.mark.soak
@pytest.mark.parametrize(
    ("addresses", "parts", "nodes", "join"), [*product(ADDRESSES, PARTS, (1, 3), (None, f"{SHARED}:6443"))]
)
def test_every_variant(tmp_path: Path, addresses: str, parts: str, nodes: int, join: str | None) -> None:
    wanted, given, identity = documents(addresses, parts, nodes, join)
    first, second = boots(tmp_path, given, identity, times=2)
    assert_became(first, given, wanted, join=join is not None, static=addresses == "static")
    assert_well(second)
    assert second.calls == []
    assert_reachable(second, wanted, static=addresses == "static")
