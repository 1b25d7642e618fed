"""From power-on to a running jet, in simulated time, with the documents that the gateway writes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pcg.clock import LoopClock

from .lab import SHARED, condition, node_machine, running_lab

pytestmark = pytest.mark.looptime


async def test_one_machine_becomes_a_cluster_with_a_running_jet(tmp_path: Path) -> None:
    async with running_lab(tmp_path, LoopClock()) as lab:
        lab.hypervisor.put(node_machine(1))
        await lab.until(lambda: lab.answers("/readyz"))
        assert 38 <= lab.clock.monotonic() <= 40  # firmware 8, local 2, dhcp 1, modules 4, kubeadm 24
        assert lab.hypervisor.addresses == {"vm-1": "127.64.0.10"}
        assert (await lab.get("/readyz?verbose")).text.splitlines()[-1] == "readyz check passed"
        await lab.until(lab.ready_nodes)
        await lab.until(lab.pods)
        await lab.give_token()
        (pod,) = await lab.until(lambda: ready_pods(lab))
        assert pod["status"]["hostIP"] == "127.64.0.10"
        names = [stage for _, stage, _, _ in lab.hypervisor.stages]
        assert names == ["boot", "cloud-init local", "network", "cloud-init", "kubeadm init", "container jet"]
        log = next((tmp_path / "machines/node-1/var/log/containers").glob("jet-*_pcg-system_jet-*.log"))
        assert "stdout F jet: " in log.read_text()


async def ready_pods(lab, address="127.64.0.10"):  # type: ignore[no-untyped-def]
    return [pod for pod in await lab.pods(address) if condition(pod, "Ready") == "True"]


async def test_three_machines_become_one_cluster_behind_the_control_plane_address(tmp_path: Path) -> None:
    async with running_lab(tmp_path, LoopClock()) as lab:
        for number in (1, 2, 3):
            lab.hypervisor.put(node_machine(number, 3))

        async def three() -> bool:
            return len(await lab.ready_nodes(SHARED)) == 3

        await lab.until(three)
        assert lab.clock.monotonic() < 56  # 39 for the first, then 12 to join, at most one second between
        await asyncio.sleep(0)
