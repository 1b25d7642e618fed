"""Duplicates on a true link: two network namespaces, joined by a pair of virtual cards, that this test makes itself."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[3] / "src"

LINK = """
set -e
mkfifo "$FOLDER/made"
ip link add here type veth peer name there
unshare -n sh -c 'echo yes; exec sleep 60' > "$FOLDER/made" 2> /dev/null &
neighbour=$!
trap 'kill $neighbour' EXIT
read yes < "$FOLDER/made"
ip link set there netns $neighbour
ip addr add 10.77.0.1/24 dev here
ip link set here up
nsenter --target $neighbour --net sh -c '
  ip link set there address 02:00:00:00:77:02
  ip addr add 10.77.0.2/24 dev there
  ip link set there up'
"$PYTHON" -c "$PROGRAM" "$1"
"""

PROGRAM = """
import asyncio, dataclasses, json, sys
from pcg.network import arp_probe
from pcg.network.address_in_use import address_in_use
async def look():
    for address in ("10.77.0.2", "10.77.0.3", "10.88.0.1"):
        print(json.dumps(dataclasses.asdict(await address_in_use(address))))
if sys.argv[1] == "without raw packets":
    arp_probe.socket = type("NoPackets", (), {})()
asyncio.run(look())
"""


def _can_make_namespaces() -> bool:
    tools = all(shutil.which(tool) for tool in ("unshare", "nsenter", "ip"))
    if not tools or os.geteuid() != 0:
        return False
    made = subprocess.run(
        ["unshare", "-n", "ip", "link", "add", "a0", "type", "veth", "peer", "name", "b0"],
        capture_output=True,
        timeout=20,
        check=False,
    )
    return made.returncode == 0


@pytest.mark.skipif(not _can_make_namespaces(), reason="network namespaces need root, unshare, nsenter and ip")
@pytest.mark.parametrize("way", ["with raw packets", "without raw packets"])
def test_a_neighbour_is_found_a_free_address_is_free_and_another_link_cannot_be_told(tmp_path: Path, way: str) -> None:
    ended = subprocess.run(
        ["unshare", "-n", "sh", "-c", LINK, "sh", way],
        env={**os.environ, "PYTHONPATH": str(SOURCE), "PYTHON": sys.executable, "PROGRAM": PROGRAM}
        | {"FOLDER": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=45,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    neighbour, nobody, elsewhere = (json.loads(line) for line in ended.stdout.splitlines())
    assert (neighbour["presence"], neighbour["mac"]) == ("in-use", "02:00:00:00:77:02")
    assert nobody["presence"] == "free"
    assert ("ARP probes" in nobody["evidence"]) is (way == "with raw packets")
    assert elsewhere["presence"] == "cannot-tell"
    assert "not on the same link" in elsewhere["evidence"]
