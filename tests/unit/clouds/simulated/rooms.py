"""A data center's core in simulated time, with a request for a machine; no socket, no guests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from pcg.clock import LoopClock
from pcg.clouds.lab.dhcp import DhcpScope
from pcg.clouds.simulated.datacenter import DataCenter
from pcg.clouds.simulated.images import IMAGE_FILE, IMAGE_NAME, Gate, ImageFetcher, ImageTransport, image_sha256
from pcg.clouds.simulated.machines import Machine
from pcg.clouds.simulated.refusals import Refusal
from pcg.clouds.simulated.requests import MachineRequest, TemplateRequest
from pcg.clouds.simulated.state import State
from pcg.model.naming import instance_uuid, machine_mark

ACCOUNT = "svc"
GATEWAY = "gateway-1"
IMAGE = f"http://127.64.0.3/{IMAGE_FILE}"
SCOPE = DhcpScope("127.64.0.10", "127.64.0.12", gateway="127.64.0.1", server="127.64.0.1")
PLACEMENT = {
    "datacenter": "dc-1",
    "cluster": "c-1",
    "resourcePool": "Resources",
    "folder": "pcg",
    "datastore": "ds-1",
    "network": "VM Network",
}
TEMPLATE = f"/dc-1/vm/spectro-templates/{IMAGE_NAME}"


def template_request(**changes: Any) -> TemplateRequest:
    values = {"folder": "spectro-templates", "name": IMAGE_NAME, "url": IMAGE, "sha256": image_sha256()}
    return TemplateRequest(**{**values, **changes})


def machine_request(ordinal: int = 1, **changes: Any) -> MachineRequest:
    instance = instance_uuid(GATEWAY, 1, ordinal)
    marks = {"pcg.gateway": GATEWAY, "pcg.machine": machine_mark(1, ordinal), "pcg.instance": instance}
    values = {"name": f"node-{ordinal}", "marks": marks, "placement": PLACEMENT, "template": TEMPLATE}
    size = {"cpus": 4, "memory": 4, "disk": 60, "user_data": "secret of the user data", "meta_data": "x"}
    return MachineRequest(**{**values, **size, **changes})


@contextmanager
def refused(kind: str) -> Iterator[pytest.ExceptionInfo[Refusal]]:
    """What is within is refused for that reason."""
    with pytest.raises(Refusal) as caught:
        yield caught
    assert caught.value.kind == kind


@asynccontextmanager
async def data_center(folder: Path, *, template: bool = True) -> AsyncIterator[DataCenter]:
    """Runs as long as the block; in the same folder again it is the data center started again."""
    state, gate = State(folder / "datacenter.db"), Gate()
    fetcher = ImageFetcher(ImageTransport(gate))
    center = DataCenter(state, LoopClock(), account=ACCOUNT, scope=SCOPE, fetcher=fetcher, gate=gate)
    if template:
        state.put("template", TEMPLATE, {"url": IMAGE})
    work = asyncio.create_task(center.run())
    await asyncio.sleep(0)
    try:
        yield center
    finally:
        center.news.close()
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        state.close()


async def made(center: DataCenter, ordinal: int = 1, **changes: Any) -> Machine:
    """A machine that was made, after the time that it takes."""
    center.create_machine(machine_request(ordinal, **changes))
    await asyncio.sleep(20.1)
    return next(machine for machine in center.machines if machine.name == f"node-{ordinal}")
