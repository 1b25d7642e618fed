"""Another size for a gateway on vSphere: one machine after the other, with the marks and tasks of the real driver."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from pcg.cli.client import ConsoleClient, open_console
from pcg.cli.demo_faults import Lab
from pcg.cli.demo_stack import Stack
from pcg.cli.gateway_changes import configure_gateway

from .following import LIMIT, reached, told

pytestmark = pytest.mark.vsphere

SPEED = 20.0


async def machines_of(lab: Lab) -> dict[str, str]:
    """What each machine of ours was made from, by id."""
    return {machine["id"]: machine["marks"]["pcg.made-from"] for machine in await lab.machines() if machine["marks"]}


async def replaced(lab: Lab, wanted: str, nodes: int) -> int:
    """Once every machine was made from that; the most that were there at a time."""
    most = 0
    async with asyncio.timeout(LIMIT):
        while True:
            made_from = (await machines_of(lab)).values()
            most = max(most, len(made_from))
            if len(made_from) == nodes and all(wanted in mark for mark in made_from):
                return most
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("nodes", [3, pytest.param(1, marks=pytest.mark.soak)])
async def test_another_size_comes_with_one_spare_and_the_console_counts_seats(tmp_path: Path, nodes: int) -> None:
    stack = Stack(cloud="vsphere", speed=SPEED, folder=tmp_path / "stack")
    try:
        await asyncio.gather(stack.start_console(), stack.start_data_center())
        lab = Lab(stack.data_center)
        async with open_console(await stack.login()) as console:
            created = await console.call("POST", "/gateways", {"name": "rolling", "cloud": "vsphere"})
            path = f"/gateways/{created['gateway']['id']}"
            await stack.start_installer(created["pairing_code"])
            gateway = await reached(console, path, "pending")
            await configured(console, gateway, stack, "small", nodes)
            gateway = await reached(console, path, "running")
            first = (await machines_of(lab)).values()
            assert len(first) == nodes
            assert all(" 4,4,60 " in mark for mark in first)

            await configured(console, gateway, stack, "medium", nodes)
            await told(console, path, "MachineReplacing")
            # One more stands now than is wanted: to save the same again is no change of the count.
            await configured(console, gateway, stack, "medium", nodes)
            assert await replaced(lab, " 8,8,100 ", nodes) == nodes + 1
            await told(console, path, "MachineReplaced", times=nodes)
            await told(console, path, "NodeDraining", times=nodes)
            await reached(console, path, "running")
            reasons = [event["reason"] for event in await console.items(f"{path}/events", limit=500)]
            assert "MachineDeletedOutside" not in reasons and "MachineReconfiguredOutside" not in reasons
            findings = await console.items(f"{path}/findings")
            assert [finding for finding in findings if finding["scenario"] == "machine-drifted"] == []
    finally:
        await stack.close()


async def configured(console: ConsoleClient, gateway: dict[str, Any], stack: Stack, size: str, nodes: int) -> None:
    document = stack.configuration(nodes)
    document["nodes"]["size"] = size
    document["network"]["controlPlaneAddress"] = stack.data_center["control_plane_address"]
    await configure_gateway(console, gateway, document, stack.cloud_password)
