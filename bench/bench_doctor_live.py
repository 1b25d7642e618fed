"""How long `pcg doctor` takes on a machine that reaches nobody: every packet is dropped. One JSON line.

The machine is a network namespace with one card whose link has nobody at its other end; its installer is registered and
at work on three nodes, so that every probe has somebody to ask. `ratio` is the time by the limit of 15 s. It
needs Linux's unshare and ip.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from pcg.console.certificates import open_certificates
from pcg.gateway.address_pool import AddressBook
from pcg.gateway.identity import Registration, StateDirectory
from pcg.gateway.installation import Installation
from pcg.gateway.memory import ClusterMemory, Memory, Slot
from pcg.gateway.store import GatewayStore
from pcg.model.configuration import parse_configuration
from pcg.model.desired import DesiredState

LIMIT_SECONDS = 15.0

# The neighbour is told in advance, so that what is sent to it is sent, and lost, and not refused for want of an answer.
MACHINE = """
set -e
ip link set lo up
ip link add card0 type veth peer name veth-nobody
ip link set veth-nobody up
ip addr add 10.77.0.1/24 dev card0
ip link set card0 up
for neighbour in 10.77.0.254 10.77.0.9; do
  ip neigh add $neighbour lladdr 02:00:00:00:77:fe dev card0 nud permanent
done
ip route add default via 10.77.0.254
exec "$@"
"""

CONFIGURATION = {
    "cloud": "vsphere",
    "vcenter": {"address": "192.0.2.10", "username": "svc-pcg@vsphere.local"},
    "placement": [{"datacenter": "dc", "cluster": "c", "datastore": "ds", "network": "n"}],
    "template": {"image": "https://198.51.100.8/node.ova"},
    "nodes": {"count": 3},
    "network": {
        "addresses": {"static": {"range": "10.77.0.20-10.77.0.29", "prefix": 24, "gateway": "10.77.0.254"}},
        "nameServers": ["192.0.2.53"],
        "ntpServers": ["ntp.example.com", "192.0.2.123"],
        "controlPlaneAddress": "10.77.0.9",
    },
}


def installed(folder: Path) -> list[str]:
    """A state folder as an installer leaves it, and the command that looks at it."""
    state = StateDirectory(folder / "state")
    with state.locked():
        keys = state.keys()
    certificates = open_certificates(folder / "console", ["console.example.com"], datetime.now(UTC))
    endpoint, servers = "https://203.0.113.7", "192.0.2.53,192.0.2.54,192.0.2.55"
    state.begin(Installation(endpoint=endpoint, ca_pin=certificates.pin, name_servers=servers))
    names = {"gateway_id": "11111111-1111-4111-8111-111111111111", "gateway_name": "g", "console_id": "c"}
    rest = {"identity_key": "k", "signing_key": keys.public_signing, "pairing_key": "p"}
    state.register(Registration(**names, **rest, ca=certificates.ca_pem))
    with closing(GatewayStore(state.database)) as store:
        memory = Memory(store)
        configuration, _ = parse_configuration(CONFIGURATION)
        memory.save_desired(DesiredState(generation=1, incarnation=1, mode="run", configuration=configuration))
        slot = Slot(ordinal=1, kind="init", address="10.77.0.20", phase="up")
        memory.cluster, memory.addresses = ClusterMemory(incarnation=1, slots=[slot], formed=True), AddressBook()
        memory.save_cluster()
    logs = folder / "logs"
    logs.mkdir()
    (logs / "cloud-init-output.log").write_text("registered already as g\n")
    command = [sys.executable, "-m", "pcg.cli.main", "doctor", "--state", str(state.path), "--logs", str(logs)]
    return [*command, "--esxi-host", "192.0.2.31", "--esxi-host", "192.0.2.32", "--output", "json"]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        command = installed(Path(folder))
        began = time.perf_counter()
        ended = subprocess.run(
            [
                "unshare",
                "--net",
                *([] if os.geteuid() == 0 else ["--map-root-user"]),
                "sh",
                "-c",
                MACHINE,
                "sh",
                *command,
            ],
            env={name: value for name, value in os.environ.items() if not name.startswith("PCG_")},
            capture_output=True,
            text=True,
            timeout=4 * LIMIT_SECONDS,
            check=False,
        )
        seconds = time.perf_counter() - began
    if not ended.stdout:
        sys.exit(ended.stderr)
    told = json.loads(ended.stdout)
    result = {
        "bench": "doctor-live",
        "seconds": round(seconds, 1),
        "ratio": round(seconds / LIMIT_SECONDS, 2),
        "exit": ended.returncode,
        "probes": len(told["probes"]),
        "asked_about": sorted({probe["about"] for probe in told["probes"]}),
        "unfinished": sum(probe["probe"] == "the rest" for probe in told["probes"]),
        "findings": [f"{finding['scenario']}/{finding['cause']}" for finding in told["findings"]],
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
