"""Every cloud as the contract suite sees it: a data center in a process of its own, its lab, and the driver.

A new cloud is one line in CLOUDS.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pcg.cli.demo_faults import Lab
from pcg.cli.demo_stack import Stack
from pcg.clouds.base import CloudTask, Connection, Login, MachineSpec, TaskState, marks_of
from pcg.clouds.table import cloud_of
from pcg.model.configuration import CloudKind, Configuration, CustomSize, parse_configuration
from pcg.model.made_from import made_from
from pcg.model.naming import instance_uuid, machine_mark, machine_name

CLOUDS = [
    pytest.param(CloudKind.SIMULATED, id="simulated"),
    pytest.param(CloudKind.VSPHERE, id="vsphere", marks=pytest.mark.vsphere),
]
SPEED = 40.0
"""a clone takes half a second: long enough to be seen unfinished"""
GATEWAY = "5f3c1a2b-0000-4000-8000-000000000001"
OTHER = "77777777-0000-4000-8000-000000000002"


@dataclass
class CloudLab:
    kind: CloudKind
    stack: Stack
    lab: Lab

    def configuration(self, **changes: Any) -> Configuration:
        return parse_configuration(self.stack.configuration(1) | changes)[0]

    def login(self, **changes: Any) -> Login:
        vcenter = self.configuration().vcenter
        values = {
            "address": vcenter.address,
            "username": vcenter.username,
            "password": self.stack.cloud_password,
            "thumbprint": vcenter.trust.thumbprint,
        }
        return Login(**(values | changes))

    def connect(self, **changes: Any) -> AbstractAsyncContextManager[Connection]:
        return cloud_of(self.kind).connect(self.login(**changes))

    async def spec(self, connection: Connection, ordinal: int = 1, gateway_id: str = GATEWAY) -> MachineSpec:
        """What a gateway would ask for; the template is there afterwards."""
        configuration = self.configuration()
        while (template := (await connection.ensure_template(configuration)).template) is None:
            await asyncio.sleep(0.05)
        instance = instance_uuid(gateway_id, 1, ordinal)
        made = made_from(configuration, 1)
        return MachineSpec(
            name=machine_name(gateway_id, "contract", 1, ordinal),
            marks=marks_of(gateway_id, machine_mark(1, ordinal), instance, f"10.10.20.{10 + ordinal}", made),
            placement=configuration.placement[0],
            template=template,
            hardware=CustomSize(cpus=4, memory_gi_b=4, disk_gi_b=60),
            user_data="#cloud-config\nhostname: contract\n",
            meta_data=f"instance-id: {instance}\nlocal-hostname: contract\n",
        )


@pytest.fixture(params=CLOUDS)
async def cloud_lab(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[CloudLab]:
    stack = Stack(cloud=request.param, speed=SPEED, folder=tmp_path / "stack")
    try:
        await stack.start_data_center()
        yield CloudLab(request.param, stack, Lab(stack.data_center))
    finally:
        await stack.close()


@pytest.fixture
async def connection(cloud_lab: CloudLab) -> AsyncIterator[Connection]:
    async with cloud_lab.connect() as connection:
        yield connection


async def ended(connection: Connection, task: CloudTask, within: float = 20.0) -> CloudTask:
    """The task once it is over."""
    async with asyncio.timeout(within):
        while task.state is TaskState.RUNNING:
            await asyncio.sleep(0.02)
            task = await connection.task(task.id) or task
    return task
