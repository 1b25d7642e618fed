"""The vendor's simulator as a whole data center: its machines live, its network leases addresses, a lab can act on it.

Started by `pcg simulate --cloud vsphere`; prints one JSON line when it is ready. A restart is a new data center: the
simulator keeps its inventory in memory only.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import shutil
import sys
from pathlib import Path

from pcg.clock import SystemClock
from pcg.clouds.guest.containers import ProcessContainers
from pcg.clouds.guest.runner import MachineRunner
from pcg.clouds.lab.addresses import claim_block
from pcg.clouds.lab.control import control_application
from pcg.clouds.lab.dhcp import DhcpServer
from pcg.clouds.lab.edge.process import EdgeSettings, running_edge
from pcg.clouds.lab.serving import serving, split_listen, until_stopped
from pcg.clouds.vsphere import privileges
from pcg.clouds.vsphere.simulator.hypervisor import VsphereHypervisor
from pcg.clouds.vsphere.simulator.laboratory import VsphereLaboratory
from pcg.clouds.vsphere.simulator.launcher import Account, vcenter_simulator

TEMPLATE = "ubuntu-2204-k8s-1.30"
NETWORK = "VM Network"
DURATIONS = {
    "CloneVM_Task": 20.0,
    "PowerOnVM_Task": 3.0,
    "PowerOffVM_Task": 1.0,
    "ReconfigVM_Task": 2.0,
    "Destroy_Task": 4.0,
}
"""seconds by task method, before they are divided by the speed: round values of ordinary vCenters"""
PLACEMENT = {
    "datacenter": "dc-1",
    "cluster": "c-1",
    "resourcePool": "Resources",
    "folder": "pcg",
    "datastore": "ds-1",
    "network": NETWORK,
}


async def serve(
    *, listen: str, state: Path, speed: float, username: str, password: str, edge: EdgeSettings | None = None
) -> None:
    """Until SIGTERM. Raises SetupMissing without Go, or when its addresses cannot be had, InvalidInput for an edge's
    settings.
    """
    host, port = split_listen(listen)
    claim = claim_block(state)
    # The inventory is new, so no machine of a former life exists any more.
    await asyncio.to_thread(shutil.rmtree, state / "machines", True)
    administrator = Account("administrator@vsphere.local", secrets.token_urlsafe(16))
    service = Account(username, password, privileges=privileges.least())
    delays = {method: seconds / speed for method, seconds in DURATIONS.items()}
    key = secrets.token_urlsafe(24)
    try:
        async with vcenter_simulator(
            state / "vcenter",
            host=host,
            port=port,
            accounts=[administrator, service],
            template=TEMPLATE,
            delays=delays,
        ) as vcenter:
            hypervisor = VsphereHypervisor(vcenter.control, {NETWORK: DhcpServer(claim.block.scope)})
            laboratory = VsphereLaboratory(vcenter, administrator)
            runner = MachineRunner(
                hypervisor, clock=SystemClock(), speed=speed, state=state, containers=ProcessContainers()
            )
            async with (
                running_edge(edge, state, claim.block) as outside,
                serving(control_application(laboratory, key, outside), "127.0.0.1", 0) as control,
                asyncio.TaskGroup() as group,
            ):
                running = group.create_task(runner.run())
                ready = {
                    "ready": f"https://{vcenter.address}",
                    "thumbprint": vcenter.thumbprint,
                    "control": control,
                    "control_key": key,
                    "control_plane_address": claim.block.control_plane_address,
                    "image": TEMPLATE,
                    "placement": PLACEMENT,
                    **({"edge": outside.addresses()} if outside else {}),
                }
                sys.stdout.write(json.dumps(ready) + "\n")
                sys.stdout.flush()
                await until_stopped()
                running.cancel()
            await laboratory.close()
    finally:
        claim.close()
