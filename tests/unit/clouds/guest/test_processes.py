"""Containers as real processes: heard, probed, started again, and never left behind."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pcg.clock import SystemClock
from pcg.clouds.guest.containers import ContainerSpec, HttpProbe, ProcessContainers, UnknownImage, image_name

from .lab import BareHypervisor, Lab, deployment, given, node_machine, running_lab

TICKING = ("/bin/sh", "-c", 'echo "pid $$ on $HOST_IP"; sleep 0.2; exit 5')
STAYING = ("/bin/sh", "-c", 'echo "pid $$"; exec sleep 600')
SPEED = 400.0


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    """A ready node at 400 times our speed, which runs processes."""
    containers = ProcessContainers({"tick": TICKING, "stay": STAYING})
    async with running_lab(
        tmp_path, SystemClock(), hypervisor=BareHypervisor(), speed=SPEED, containers=containers
    ) as made:
        made.hypervisor.put(given(node_machine(1), lambda document: document["runcmd"].pop()))
        await made.nodes_are_ready()
        await made.send("POST", "/api/v1/namespaces", {"metadata": {"name": "pcg-system"}})
        yield made


def lines(lab: Lab) -> list[str]:
    logs = sorted((lab.state / "machines/node-1/var/log/containers").iterdir(), key=lambda path: path.stat().st_mtime)
    return [line.split(" F ")[1] for log in logs for line in log.read_text().splitlines()]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_process_that_ends_is_started_again_with_its_environment(lab: Lab) -> None:
    wanted = deployment("a", "tick:1")
    source = {"fieldRef": {"fieldPath": "status.hostIP"}}
    wanted["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "HOST_IP", "valueFrom": source}]
    await lab.deploy(wanted)
    pod = await lab.until(lambda: lab.running("a", restarts=1), within=10)
    assert pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 5
    said = await lab.until(lambda: lines(lab)[1:], within=10)
    assert all(line.endswith(" on 127.64.0.10") for line in said)


@pytest.mark.parametrize("end", ["delete the deployment", "power off", "delete the machine"])
async def test_no_process_outlives_its_pod(lab: Lab, end: str) -> None:
    await lab.deploy(deployment("a", "stay:1"))
    (said,) = await lab.until(lambda: (lab.state / "machines/node-1/var/log/containers").exists() and lines(lab), 10)
    pid = int(said.split()[1])
    assert alive(pid)
    if end == "delete the deployment":
        await lab.send("DELETE", "/apis/apps/v1/namespaces/pcg-system/deployments/a")
    elif end == "power off":
        lab.hypervisor.power("vm-1", on=False)
    else:
        lab.hypervisor.delete("vm-1")
    await lab.until(lambda: not alive(pid), within=5)


async def test_a_process_killed_by_a_signal_has_the_shells_exit_code() -> None:
    containers = ProcessContainers({"stay": STAYING})
    running = await containers.start(ContainerSpec("c", "stay:1", {}), lambda stream, line: None)
    await running.kill()
    assert await running.wait() == 128 + 9


async def test_both_streams_are_heard_by_their_names() -> None:
    heard: list[tuple[str, str]] = []
    containers = ProcessContainers({"talk": ("/bin/sh", "-c", "echo one; echo two >&2")})
    running = await containers.start(ContainerSpec("c", "talk", {}), lambda *line: heard.append(line))
    assert await running.wait() == 0
    assert sorted(heard) == [("stderr", "two"), ("stdout", "one")]


async def test_an_image_without_a_command_is_unknown() -> None:
    with pytest.raises(UnknownImage):
        await ProcessContainers().start(ContainerSpec("c", "pcg/other:1", {}), lambda stream, line: None)


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("pcg/jet:1.0", "pcg/jet"),
        ("pcg/jet", "pcg/jet"),
        ("registry:5000/pcg/jet", "registry:5000/pcg/jet"),
        ("registry:5000/pcg/jet:1@sha256:ab", "registry:5000/pcg/jet"),
    ],
)
def test_an_images_name_is_without_tag_and_digest(image: str, name: str) -> None:
    assert image_name(image) == name


async def test_a_readiness_probe_asks_the_process_itself(unused_tcp_port: int) -> None:
    code = (
        "import http.server, sys\n"
        "class Handler(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        self.send_response(200); self.end_headers()\n"
        "http.server.HTTPServer(('127.64.9.1', int(sys.argv[1])), Handler).serve_forever()\n"
    )
    containers = ProcessContainers({"web": (sys.executable, "-c", code, str(unused_tcp_port))})
    probe = HttpProbe(f"http://127.64.9.1:{unused_tcp_port}/readyz", 0.02, 0.02)
    running = await containers.start(ContainerSpec("c", "web", {}, probe), lambda stream, line: None)
    changes = running.readiness()
    try:
        async with asyncio.timeout(10):
            assert await anext(changes) is True
            await running.kill()
            assert await anext(changes) is False
    finally:
        await running.kill()
        await changes.aclose()  # type: ignore[attr-defined]
