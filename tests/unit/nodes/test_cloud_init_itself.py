"""cloud-init and netplan themselves read every variant of what a machine is given."""

from __future__ import annotations

import subprocess
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

from pcg.model.configuration import Configuration
from pcg.nodes.cloud_config import NodePlan, meta_data, user_data

from .test_cloud_config import SECRETS, configuration

pytestmark = pytest.mark.cloudinit

STATIC = {"static": {"range": "10.10.20.10-10.10.20.20", "prefix": 24, "gateway": "10.10.20.1"}}
SEARCH = {"dhcp": {"searchDomains": ["lab.test"]}}
ADDRESSES = {
    "dhcp": {},
    "dhcp with all": {"addresses": SEARCH, "nameServers": ["10.10.20.2"]},
    "static": {"addresses": STATIC},
    "static with all": {"addresses": STATIC, "nameServers": ["10.10.20.2"], "ntpServers": ["time.example.com"]},
}
PARTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "all": {
        "proxy": {"https": "http://me:a%20b@proxy.test:3128", "no": [".lab.test"], "ca": "PROXY PEM"},
        "sshKeys": ["ssh-ed25519 AAAA me"],
        "kubernetes": {"version": "1.32.9", "cni": "cilium", "registry": "registry.test/k8s"},
    },
}


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def wanted(addresses: str, parts: str, nodes: int) -> Configuration:
    network = ADDRESSES[addresses] | ({"controlPlaneAddress": "10.10.20.5"} if nodes == 3 else {})
    return configuration(nodes={"count": nodes}, network=network, **PARTS[parts])


CHECK_ALL = """
import sys
from cloudinit.cmd.main import main
for file in sys.argv[1:]:
    try:
        main(["cloud-init", "schema", "--config-file", file])
    except SystemExit as ended:
        if ended.code:
            raise
"""
"""the command `cloud-init schema` for one file after the other, which it cannot take, in one process"""


def test_its_schema_finds_nothing_wrong_or_outdated_in_user_data(tmp_path: Path) -> None:
    files = []
    for addresses, parts, nodes, join in product(ADDRESSES, PARTS, (1, 3), (None, "10.10.20.5:6443")):
        files.append(tmp_path / str(len(files)))
        plan = NodePlan("node-1", join, "https://console.test", "CONSOLE PEM\n")
        files[-1].write_text(user_data(plan, wanted(addresses, parts, nodes), SECRETS))
    told = run("/usr/bin/python3", "-c", CHECK_ALL, *map(str, files))
    assert told.count("Valid") == len(files) and "deprecat" not in told.lower()


@pytest.mark.parametrize("addresses", ADDRESSES)
def test_meta_data_becomes_a_netplan_that_netplan_takes(tmp_path: Path, addresses: str) -> None:
    given = wanted(addresses, "plain", 1)
    static = given.network.addresses.static is not None
    document = yaml.safe_load(meta_data("node-1", "i", given, "10.10.20.10" if static else None))
    file = tmp_path / "network.yaml"
    file.write_text(yaml.safe_dump(document["network"]))
    root = tmp_path / "root"
    convert = ("cloud-init", "devel", "net-convert", "--network-data", str(file), "--kind", "yaml")
    run(*convert, "--directory", str(root), "--distro", "ubuntu", "--output-kind", "netplan")
    run("netplan", "generate", "--root-dir", str(root))
    (unit,) = (root / "run/systemd/network").glob("*.network")
    lines = unit.read_text().splitlines()
    assert "Name=e*" in lines
    expected = {"Address=10.10.20.10/24", "Gateway=10.10.20.1"} if static else {"DHCP=ipv4", "ClientIdentifier=mac"}
    assert expected <= set(lines)
    assert ("DNS=10.10.20.2" in lines) == ("all" in addresses)
    assert ("Domains=lab.test" in lines) == (addresses == "dhcp with all")
