"""The machine runner's view of the simulator."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from typing import Any

import pytest
from pyVmomi import vim

from pcg.clouds.guest.hypervisor import Hypervisor
from pcg.clouds.lab.dhcp import DhcpScope, DhcpServer
from pcg.clouds.vsphere.simulator.hypervisor import VsphereHypervisor
from pcg.clouds.vsphere.simulator.launcher import RunningVcenter

from .conftest import Raw

pytestmark = pytest.mark.vsphere


async def test_the_runner_sees_boots_and_what_a_machine_was_given(
    vcenter: RunningVcenter, control: Callable[..., Any]
) -> None:
    scope = DhcpScope("127.64.5.10", "127.64.5.10", gateway="127.64.5.1")
    runner = VsphereHypervisor(vcenter.control, {"VM Network": DhcpServer(scope)})
    offered: Hypervisor = runner
    raw = await asyncio.to_thread(Raw, vcenter)
    settings = {
        "guestinfo.userdata": base64.b64encode(b"#cloud-config\n").decode(),
        "guestinfo.userdata.encoding": "base64",
        "guestinfo.metadata": "instance-id: plain",
    }
    config = vim.vm.ConfigSpec(extraConfig=[vim.option.OptionValue(key=k, value=v) for k, v in settings.items()])
    await offered.machines()
    waiting = asyncio.create_task(offered.wait_for_change(20))
    made = await asyncio.to_thread(lambda: raw.finish(raw.clone("n1", config=config)))
    await asyncio.wait_for(waiting, 5)

    async def seen() -> Any:
        return next(machine for machine in await offered.machines() if machine.name == "n1")

    machine = await seen()
    assert (machine.user_data, machine.meta_data) == ("#cloud-config\n", "instance-id: plain")
    assert (machine.powered_on, machine.boot, machine.network) == (False, 0, "VM Network")
    for boot in (1, 2):
        await asyncio.to_thread(lambda: raw.finish(made.PowerOnVM_Task()))
        machine = await seen()
        assert (machine.powered_on, machine.boot) == (True, boot)
        lease = await offered.dhcp_discover(machine.id)
        assert lease is not None
        assert lease.address == "127.64.5.10"
        await offered.report_guest(machine.id, address=lease.address, host_name="n1", tools_running=True)
        assert await asyncio.to_thread(lambda: made.guest.ipAddress) == lease.address
        await asyncio.to_thread(lambda: raw.finish(made.PowerOffVM_Task()))
    other = next(machine for machine in await offered.machines() if machine.name.startswith("stranger"))
    refused = await offered.dhcp_discover(other.id)
    assert refused is not None
    assert refused.address is None
    await offered.report_guest(machine.id, address="127.64.5.10", host_name="n1", tools_running=True)  # it is off
    await offered.record(machine.id, "boot", 1.0, 2.5)
    (stage,) = (await control("/tasks"))["stages"]
    assert stage == {"machine": "n1", "stage": "boot", "started": 1.0, "finished": 2.5}
