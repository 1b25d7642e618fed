"""Which machine a running clone makes, by the first event of its chain; the events are pyVmomi's own, no vCenter."""

from __future__ import annotations

from typing import Any

import pytest
from pyVmomi import vim

from pcg.clouds.vsphere.tasks import machine_made_by

SOURCE = vim.event.VmEventArgument(name="node-1.30", vm=vim.VirtualMachine("vm-1", None))
MADE = vim.event.VmEventArgument(name="pcg-a%2fb", vm=vim.VirtualMachine("vm-2", None))


@pytest.mark.parametrize(
    "event,name",
    [
        (vim.event.VmBeingClonedEvent(vm=SOURCE, destName="pcg-a%2fb"), "pcg-a/b"),
        (vim.event.VmBeingDeployedEvent(vm=MADE, srcTemplate=SOURCE), "pcg-a/b"),
        (vim.event.VmBeingDeployedEvent(srcTemplate=SOURCE), ""),
    ],
    ids=["cloned", "deployed", "deployed, not named yet"],
)
def test_the_name_is_that_of_what_is_made_and_never_of_its_source(event: Any, name: str) -> None:
    assert machine_made_by(event) == name
