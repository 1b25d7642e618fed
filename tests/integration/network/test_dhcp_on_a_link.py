"""The probes `adapter` and `dhcp` on a true link: a pair of virtual cards in a network namespace of this test's own."""

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
ip link set lo up
ip link add card0 type veth peer name veth-server
ip link add card1 type veth peer name veth-away
ip link set card0 up
ip link set veth-server up
ip link set card1 up
ip link add card2 type veth peer name veth-third
ip link set card2 up
ip link set veth-third up
ip addr add 10.77.0.1/24 dev card2
exec "$PYTHON" -c "$PROGRAM" "$1"
"""

PROGRAM = """
import asyncio, dataclasses, json, socket, sys
from pcg.diagnosis.probes.dhcp import adapter_answer, probe_dhcp
from pcg.network.dhcp_discover import bootp, datagram
from pcg.network.interfaces import adapters

SERVER = bytes([10, 77, 0, 2])

async def serve(kind):
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800)) as link:
        link.setblocking(False)
        link.bind(("veth-server", 0x0800))
        while True:
            packet = await loop.sock_recv(link, 2048)
            asked = packet[28:]
            options = [(53, bytes([kind])), (54, SERVER)]
            body = bootp(2, asked[28:34], asked[4:8], bytes([10, 77, 0, 50]), options)
            answer = datagram(SERVER, 67, bytes([255] * 4), 68, body)
            link.sendto(answer, ("veth-server", 0x0800, 0, 0, bytes([255] * 6)))

async def look():
    server = asyncio.create_task(serve({"offer": 2, "refuse": 6}[sys.argv[1]])) if sys.argv[1] != "silent" else None
    for answer in map(adapter_answer, adapters()):
        print(json.dumps(answer.as_json()))
    print(json.dumps((await probe_dhcp("card0", wait=0.3)).as_json()))

asyncio.run(look())
"""


def _can_make_namespaces() -> bool:
    if os.geteuid() != 0 or not all(shutil.which(tool) for tool in ("unshare", "setpriv", "ip")):
        return False
    command = ["unshare", "--net", "ip", "link", "add", "a0", "type", "veth", "peer", "name", "b0"]
    return subprocess.run(command, capture_output=True, timeout=20, check=False).returncode == 0


def _on_the_link(script: str, server: str) -> list[dict[str, str]]:
    ended = subprocess.run(
        ["unshare", "--net", "sh", "-c", script, "sh", server],
        env={**os.environ, "PYTHONPATH": str(SOURCE), "PYTHON": sys.executable, "PROGRAM": PROGRAM},
        capture_output=True,
        text=True,
        timeout=45,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return [json.loads(line) for line in ended.stdout.splitlines()]


pytestmark = pytest.mark.skipif(
    not _can_make_namespaces(), reason="network namespaces need root, unshare, setpriv and ip"
)


@pytest.mark.parametrize(
    "server,kind,words",
    [
        ("offer", "", "10.77.0.2 offers 10.77.0.50"),
        ("refuse", "dhcp-refused", "10.77.0.2"),
        ("silent", "dhcp-no-answer", ""),
    ],
)
def test_who_answers_a_discover(server: str, kind: str, words: str) -> None:
    *cards, dhcp = _on_the_link(LINK, server)
    assert {card["target"]: card["kind"] or card["detail"] for card in cards} == {
        "card0": "no-address",
        "card1": "no-carrier",
        "card2": "has 10.77.0.1",
    }
    assert dhcp["kind"] == kind
    assert words in dhcp["detail"]


def test_without_the_right_to_raw_packets_it_says_so() -> None:
    dhcp = _on_the_link(LINK.replace("exec", "exec setpriv --reuid 65534 --clear-groups"), "silent")[-1]
    assert dhcp["answer"] == "unknown"
    assert "CAP_NET_RAW" in dhcp["needs"]
