"""A running vCenter simulator for each test (it starts in a fraction of a second), and ways to speak to it."""

from __future__ import annotations

import asyncio
import json
import ssl
import urllib.request
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from pyVim.task import WaitForTask
from pyVmomi import SoapStubAdapter, vim

from pcg.clouds.vsphere import images, leases, roles
from pcg.clouds.vsphere.simulator.builder import build
from pcg.clouds.vsphere.simulator.launcher import ADMINISTRATOR, Account, RunningVcenter, vcenter_simulator
from pcg.errors import SetupMissing

from .image_server import ImageServer, image_server

QUICK = {
    "CloneVM_Task": 0.5,
    "PowerOnVM_Task": 0.2,
    "PowerOffVM_Task": 0.2,
    "ReconfigVM_Task": 0.2,
    "Destroy_Task": 0.2,
}
SERVICE = Account("svc-pcg@vsphere.local", "a password of its own", privileges=roles.least())

CLONER = Account(
    "cloner@vsphere.local", "one more password", privileges=[one for one in roles.least() if one != "VApp.Import"]
)
"""for a gateway that never imports: its templates are made by a person"""


@pytest.fixture(scope="session")
def program() -> Path:
    try:
        return build()
    except SetupMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture
async def vcenter(program: Path, tmp_path: Path) -> AsyncIterator[RunningVcenter]:
    async with vcenter_simulator(
        tmp_path / "vcenter", program=program, accounts=[ADMINISTRATOR, SERVICE, CLONER], delays=QUICK
    ) as running:
        yield running
        while OPENED:
            OPENED.pop().drop()


@pytest.fixture
def control(vcenter: RunningVcenter) -> Callable[..., Any]:
    """`await control("/path", {...})`: GET without, POST with a body."""

    def call(path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(vcenter.control + path, data=data), timeout=60) as answer:
            return json.load(answer)

    async def speak(path: str, body: Any = None) -> Any:
        return await asyncio.to_thread(call, path, body)

    return speak


@pytest.fixture
def quick_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "LOOK_EVERY", 0.1)
    monkeypatch.setattr(leases, "PROGRESS_EVERY", 0.1)


@pytest.fixture
async def server() -> AsyncIterator[ImageServer]:
    async with image_server() as running:
        yield running


OPENED: list[Raw] = []


class Raw:
    """A plain pyVmomi session, as an administrator's script would use it; every method blocks."""

    def __init__(self, vcenter: RunningVcenter, account: Account = ADMINISTRATOR, password: str | None = None) -> None:
        host, _, port = vcenter.address.rpartition(":")
        trust = ssl.create_default_context(cafile=str(vcenter.certificate))
        self.stub = SoapStubAdapter(host=host, port=int(port), version="vim.version.version11", sslContext=trust)
        OPENED.append(self)
        self.service = vim.ServiceInstance("ServiceInstance", self.stub)
        self.content = self.service.RetrieveContent()
        self.content.sessionManager.Login(account.name, password or account.password, None)
        self.datacenter = self.content.rootFolder.childEntity[0]
        self.cluster = self.datacenter.hostFolder.childEntity[0]
        self.template = self.folder("spectro-templates").childEntity[0]

    def drop(self) -> None:
        """Close the sockets without a word, as a client does that is killed."""
        self.stub.DropConnections()

    def folder(self, name: str) -> Any:
        return next(child for child in self.datacenter.vmFolder.childEntity if child.name == name)

    def machine(self, name: str, folder: str = "pcg") -> Any:
        return next((child for child in self.folder(folder).childEntity if child.name == name), None)

    def clone(self, name: str, source: Any = None, folder: str = "pcg", config: Any = None) -> Any:
        where = vim.vm.RelocateSpec(pool=self.cluster.resourcePool, datastore=self.datacenter.datastore[0])
        spec = vim.vm.CloneSpec(location=where, config=config)
        return (source or self.template).CloneVM_Task(folder=self.folder(folder), name=name, spec=spec)

    def finish(self, task: Any) -> Any:
        WaitForTask(task, si=self.service)
        return task.info.result
