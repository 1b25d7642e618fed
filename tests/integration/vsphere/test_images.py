"""The node image imported into the simulated vCenter: streamed, verified, made the template once, and nothing left."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from pyVmomi import vim

from pcg.clouds.base import Connection, TaskState, TemplateProgress
from pcg.clouds.vsphere import images, leases, leftovers
from pcg.clouds.vsphere.images import importing_name
from pcg.clouds.vsphere.simulator.launcher import ADMINISTRATOR, Account, RunningVcenter, vcenter_simulator
from pcg.errors import GiveUp, PcgError, PermissionMissing, TryAgain
from pcg.model.configuration import Configuration

from .conftest import OPENED, QUICK, SERVICE, Raw
from .image_server import DISK, ImageServer, image_server, small_ova
from .test_driver import GATEWAY, connect, made, spec_of

pytestmark = pytest.mark.vsphere

Control = Callable[..., Any]
FOLDER = "images/nodes"
NAME = "node-1.30"
IMPORTER = Account(
    "importer@vsphere.local",
    "one more password",
    privileges=[
        *(SERVICE.privileges or ()),
        "VApp.Import",
        "VirtualMachine.Config.Rename",
        "VirtualMachine.Inventory.Create",
        "VirtualMachine.Provisioning.MarkAsTemplate",
    ],
)


@pytest.fixture
async def vcenter(program: Path, tmp_path: Path) -> AsyncIterator[RunningVcenter]:
    accounts = [ADMINISTRATOR, SERVICE, IMPORTER]
    async with vcenter_simulator(tmp_path / "vcenter", program=program, accounts=accounts, delays=QUICK) as running:
        yield running
        while OPENED:
            OPENED.pop().drop()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "LOOK_EVERY", 0.1)
    monkeypatch.setattr(leases, "PROGRESS_EVERY", 0.1)


@pytest.fixture
async def server() -> AsyncIterator[ImageServer]:
    async with image_server() as running:
        yield running


def wanted(vcenter: RunningVcenter, image: str, sha256: str | None, folder: str = FOLDER) -> Configuration:
    return Configuration.model_validate(
        {
            "cloud": "vsphere",
            "vcenter": {"address": vcenter.address, "username": IMPORTER.name},
            "placement": [{"datacenter": "dc-1", "cluster": "c-1", "datastore": "ds-1", "network": "VM Network"}],
            "template": {"image": image, "sha256": sha256, "folder": folder},
        }
    )


async def outcome(connection: Connection, configuration: Configuration, within: float = 30) -> TemplateProgress:
    """The first answer that is no waiting."""
    async with asyncio.timeout(within):
        while True:
            progress = await connection.ensure_template(configuration)
            if progress.template is not None or (progress.task and progress.task.state is TaskState.FAILED):
                return progress
            await asyncio.sleep(0.02)


async def under_way(connection: Connection, configuration: Configuration) -> TemplateProgress:
    """The first answer that tells how many bytes have come: the lease is ready by then."""
    async with asyncio.timeout(10):
        while "bytes" not in (seen := await connection.ensure_template(configuration)).doing:
            await asyncio.sleep(0.02)
    return seen


async def failure(connection: Connection, configuration: Configuration) -> PcgError:
    progress = await outcome(connection, configuration)
    assert progress.task is not None
    assert isinstance(progress.task.error, PcgError)
    return progress.task.error


def lying_there(vcenter: RunningVcenter, folder: str = FOLDER) -> dict[str, bool]:
    """What lies in the folder: whether each is a template, by name. An absent folder is an empty one."""
    raw = Raw(vcenter)
    found = raw.content.searchIndex.FindByInventoryPath(f"dc-1/vm/{folder}")
    return {} if found is None else {child.name: child.config.template for child in found.childEntity}


async def test_an_image_by_url_becomes_the_template_and_is_cloned(
    vcenter: RunningVcenter, control: Control, server: ImageServer
) -> None:
    configuration = wanted(vcenter, server.url, server.sha256)
    async with connect(vcenter, IMPORTER) as connection:
        server.hold = 1_000_000
        began = time.monotonic()
        first = await connection.ensure_template(configuration)
        assert time.monotonic() - began < 5
        assert first.template is None
        assert first.task is not None
        assert first.task.state is TaskState.RUNNING
        await asyncio.wait_for(server.held.wait(), 10)
        seen = await under_way(connection, configuration)
        assert seen.task is not None
        assert (seen.task.progress or 0) < 90
        assert f" of {len(server.content):,} bytes" in seen.doing
        assert seen.look_again
        assert lying_there(vcenter) == {importing_name(configuration): False}
        server.go_on.set()
        progress = await outcome(connection, configuration)
        assert progress.template is not None
        assert lying_there(vcenter) == {NAME: True}
        (told,) = (await control("/imports"))["imports"]
        assert told["uploaded"] == len(DISK)
        assert told["ended"] == "done"
        assert server.served == len(server.content)

        machine = await made(connection, await spec_of(connection, configuration))
        assert machine.hardware == (4, 4)
        assert machine.foreign_disks == []
        assert machine.belongs_to(GATEWAY)
        assert [found.name for found in await connection.list_machines(GATEWAY)] == [machine.name]
    raw = Raw(vcenter)
    template = raw.content.searchIndex.FindByInventoryPath(f"dc-1/vm/{FOLDER}/{NAME}")
    settings = {option.key: option.value for option in template.config.extraConfig}
    assert settings[leftovers.MARK_SHA256] == server.sha256
    assert settings[leftovers.MARK_IMAGE] == server.url
    assert server.url in template.config.annotation


async def test_an_image_in_a_file_and_without_a_sum(vcenter: RunningVcenter, tmp_path: Path) -> None:
    file = tmp_path / f"{NAME}.ova"
    file.write_bytes(small_ova())
    async with connect(vcenter, IMPORTER) as connection:
        progress = await outcome(connection, wanted(vcenter, file.as_uri(), None))
        assert progress.template is not None
    assert lying_there(vcenter) == {NAME: True}


async def test_a_wrong_checksum_leaves_nothing(vcenter: RunningVcenter, control: Control, server: ImageServer) -> None:
    right = "0" * 64
    async with connect(vcenter, IMPORTER) as connection:
        error = await failure(connection, wanted(vcenter, server.url, right))
    assert isinstance(error, GiveUp)
    assert error.reason == "image-checksum-wrong"
    assert f"expected: {right}" in error.evidence
    assert f"found:    {server.sha256}" in error.evidence
    assert lying_there(vcenter) == {}
    assert [one["ended"] for one in (await control("/imports"))["imports"]] == ["aborted"]


async def test_a_sum_of_the_manifest_is_verified_too(vcenter: RunningVcenter) -> None:
    async with image_server(small_ova(manifest_of=b"another disk")) as server, connect(vcenter, IMPORTER) as connection:
        error = await failure(connection, wanted(vcenter, server.url, server.sha256))
    assert error.reason == "image-checksum-wrong"
    assert "disk1.vmdk" in error.what
    assert error.fields["found"] == hashlib.sha256(DISK).hexdigest()
    assert lying_there(vcenter) == {}


@pytest.mark.parametrize("fault", ["breakAfter", "leaseAfter"])
async def test_interrupted_at_every_tenth_it_recovers_to_one_template(
    vcenter: RunningVcenter, control: Control, server: ImageServer, fault: str
) -> None:
    async with connect(vcenter, IMPORTER) as connection:
        for tenth in range(1, 11):
            folder = f"images-{tenth}"
            configuration = wanted(vcenter, server.url, server.sha256, folder)
            await control("/imports", {fault: len(DISK) * tenth // 10})
            error = await failure(connection, configuration)
            assert isinstance(error, TryAgain)
            assert error.reason == "image-transfer-interrupted"
            assert error.fields["attempt"] == "1"
            assert "after " in error.what
            assert lying_there(vcenter, folder) == {}
            again = await connection.ensure_template(configuration)
            assert again.attempt == 2
            assert again.interrupted_at
            progress = await outcome(connection, configuration)
            assert progress.template is not None
            assert lying_there(vcenter, folder) == {NAME: True}


async def test_a_broken_download_goes_on_where_it_stood(
    vcenter: RunningVcenter, control: Control, server: ImageServer
) -> None:
    size = len(server.content)
    server.breaks = [size * tenth // 10 for tenth in range(1, 10)]
    async with connect(vcenter, IMPORTER) as connection:
        progress = await outcome(connection, wanted(vcenter, server.url, server.sha256))
        assert progress.template is not None
    assert len(server.requests) == 10
    assert server.requests == sorted(set(server.requests))
    assert server.served < size * 1.1  # not one byte again, but for what was lost with a connection
    (told,) = (await control("/imports"))["imports"]
    assert told["uploaded"] == len(DISK)


async def test_an_image_that_changed_meanwhile_is_fetched_anew(vcenter: RunningVcenter, server: ImageServer) -> None:
    server.hold = 500_000
    server.breaks = [1_000_000]
    configuration = wanted(vcenter, server.url, None)
    async with connect(vcenter, IMPORTER) as connection:
        await connection.ensure_template(configuration)
        await asyncio.wait_for(server.held.wait(), 10)
        server.tag = '"two"'
        server.go_on.set()
        error = await failure(connection, configuration)
        assert error.reason == "image-transfer-interrupted"
        assert int(error.fields["bytes"]) > 0
        assert lying_there(vcenter) == {}
        assert (await outcome(connection, configuration)).template is not None
    assert server.requests == [0, 0, 0]


async def test_two_gateways_at_once_end_with_one_template(
    vcenter: RunningVcenter, control: Control, server: ImageServer
) -> None:
    configuration = wanted(vcenter, server.url, server.sha256)
    async with connect(vcenter, IMPORTER) as one, connect(vcenter, IMPORTER) as other:
        found = await asyncio.gather(outcome(one, configuration), outcome(other, configuration))
    assert found[0].template is not None
    assert found[0].template == found[1].template
    assert lying_there(vcenter) == {NAME: True}
    assert [one["ended"] for one in (await control("/imports"))["imports"]] == ["done"]


async def test_two_with_different_sums_known_end_with_one_template(
    vcenter: RunningVcenter, server: ImageServer
) -> None:
    """They do not see each other's import; the one that is renamed last finds the name taken."""
    known, unknown = wanted(vcenter, server.url, server.sha256), wanted(vcenter, server.url, None)
    server.hold = 1_000_000
    async with connect(vcenter, IMPORTER) as one, connect(vcenter, IMPORTER) as other:
        await one.ensure_template(known)
        await other.ensure_template(unknown)
        async with asyncio.timeout(10):
            while len(lying_there(vcenter)) < 2:
                await asyncio.sleep(0.05)
        server.go_on.set()
        # Nobody asks the first one meanwhile: both come to the rename.
        runs = [connection._imports._run.task for connection in (one, other)]
        await asyncio.wait_for(asyncio.gather(*runs), 20)
        found = await asyncio.gather(outcome(one, known), outcome(other, unknown))
    assert found[0].template == found[1].template is not None
    assert lying_there(vcenter) == {NAME: True}


def leave_behind(vcenter: RunningVcenter, name: str, begun: float | None) -> None:
    raw = Raw(vcenter)
    settings = [] if begun is None else [vim.option.OptionValue(key=leftovers.MARK_BEGUN, value=str(int(begun)))]
    raw.finish(raw.clone(name, folder="spectro-templates", config=vim.vm.ConfigSpec(extraConfig=settings)))


async def test_a_stale_import_is_removed_by_whoever_comes_next(vcenter: RunningVcenter, server: ImageServer) -> None:
    configuration = wanted(vcenter, server.url, server.sha256, "spectro-templates")
    leave_behind(vcenter, importing_name(configuration), time.time() - 3600)
    leave_behind(vcenter, "other-0123456789ab.importing", time.time() - 3600)
    leave_behind(vcenter, "persons.importing", None)
    async with connect(vcenter, IMPORTER) as connection:
        assert (await outcome(connection, configuration)).template is not None
    left = lying_there(vcenter, "spectro-templates")
    assert left == {"ubuntu-2204-k8s-1.30": True, NAME: True, "persons.importing": False}


async def test_a_young_import_without_a_task_is_waited_for(
    vcenter: RunningVcenter, server: ImageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leftovers, "STALE_SECONDS", 3.0)
    configuration = wanted(vcenter, server.url, server.sha256, "spectro-templates")
    leave_behind(vcenter, importing_name(configuration), time.time() + 1)
    async with connect(vcenter, IMPORTER) as connection:
        await connection.ensure_template(configuration)
        async with asyncio.timeout(3):
            while "another" not in (progress := await connection.ensure_template(configuration)).doing:
                await asyncio.sleep(0.02)
        assert progress.template is None
        assert server.requests == []
        assert (await outcome(connection, configuration)).template is not None


async def test_a_strangers_machine_of_the_imports_name_is_left_alone(
    vcenter: RunningVcenter, server: ImageServer
) -> None:
    configuration = wanted(vcenter, server.url, server.sha256, "spectro-templates")
    leave_behind(vcenter, importing_name(configuration), None)
    async with connect(vcenter, IMPORTER) as connection:
        error = await failure(connection, configuration)
    assert error.reason == "name-taken"
    assert importing_name(configuration) in lying_there(vcenter, "spectro-templates")


async def test_a_whole_import_that_was_not_renamed_is_adopted(vcenter: RunningVcenter, server: ImageServer) -> None:
    configuration = wanted(vcenter, server.url, server.sha256, "spectro-templates")
    leave_behind(vcenter, importing_name(configuration), time.time())
    raw = Raw(vcenter)
    raw.machine(importing_name(configuration), "spectro-templates").MarkAsTemplate()
    async with connect(vcenter, IMPORTER) as connection:
        assert (await outcome(connection, configuration)).template is not None
    assert server.requests == []
    assert lying_there(vcenter, "spectro-templates") == {"ubuntu-2204-k8s-1.30": True, NAME: True}


async def test_closing_the_connection_leaves_nothing(
    vcenter: RunningVcenter, control: Control, server: ImageServer
) -> None:
    server.hold = 1_000_000
    async with connect(vcenter, IMPORTER) as connection:
        await under_way(connection, wanted(vcenter, server.url, server.sha256))
        assert len(lying_there(vcenter)) == 1
    assert lying_there(vcenter) == {}
    (told,) = (await control("/imports"))["imports"]
    assert told["ended"] in ("aborted", "the client went away")


@pytest.mark.parametrize("moment", range(6))
async def test_cancelled_at_any_moment_nothing_is_left(
    vcenter: RunningVcenter, server: ImageServer, moment: int
) -> None:
    configuration = wanted(vcenter, server.url, server.sha256)
    async with connect(vcenter, IMPORTER) as connection:
        await connection.ensure_template(configuration)
        await asyncio.sleep(0.04 * moment)
    left = lying_there(vcenter)
    assert left in ({}, {NAME: True})


async def test_a_lease_outlasts_its_limit_while_the_download_stands_still(
    vcenter: RunningVcenter, control: Control, server: ImageServer
) -> None:
    await control("/imports", {"leaseTimeout": 0.6})
    server.hold = 1_000_000
    async with connect(vcenter, IMPORTER) as connection:
        configuration = wanted(vcenter, server.url, server.sha256)
        await connection.ensure_template(configuration)
        await asyncio.wait_for(server.held.wait(), 10)
        await asyncio.sleep(1.5)
        server.go_on.set()
        assert (await outcome(connection, configuration)).template is not None


async def test_a_closed_host_is_named_with_its_hop(
    vcenter: RunningVcenter, control: Control, server: ImageServer
) -> None:
    await control("/imports", {"host": "127.0.0.1:9"})
    async with connect(vcenter, IMPORTER) as connection:
        error = await failure(connection, wanted(vcenter, server.url, server.sha256))
    assert error.reason == "upload-host-unreachable"
    assert (error.fields["hop"], error.fields["host"], error.fields["port"]) == ("connect", "127.0.0.1", "9")
    assert "url" not in error.fields
    assert lying_there(vcenter) == {}


async def test_a_host_that_answers_busy_is_tried_again(
    vcenter: RunningVcenter, control: Control, server: ImageServer
) -> None:
    await control("/imports", {"refuseAfter": 1_000_000})
    configuration = wanted(vcenter, server.url, server.sha256)
    async with connect(vcenter, IMPORTER) as connection:
        error = await failure(connection, configuration)
        assert error.reason == "image-transfer-interrupted"
        assert lying_there(vcenter) == {}
        assert (await outcome(connection, configuration)).template is not None


async def test_a_source_that_is_not_there_is_named(vcenter: RunningVcenter, server: ImageServer) -> None:
    server.status = 404
    async with connect(vcenter, IMPORTER) as connection:
        error = await failure(connection, wanted(vcenter, server.url + "?token=secret", server.sha256))
        assert error.reason == "image-source-unreachable"
        assert error.fields["url"] == server.url
        assert "answer: HTTP 404" in error.evidence
        assert "secret" not in repr((error.what, error.evidence, error.remedy, error.fields))
        error = await failure(connection, wanted(vcenter, "file:///nowhere/node.ova", None))
        assert error.reason == "image-source-unreachable"


async def test_what_is_no_ova_is_refused_before_anything_is_made(vcenter: RunningVcenter) -> None:
    async with image_server(b"<html>log in first</html>" * 100) as server, connect(vcenter, IMPORTER) as connection:
        error = await failure(connection, wanted(vcenter, server.url, None))
    assert error.reason == "image-malformed"
    assert lying_there(vcenter) == {}


async def test_a_missing_privilege_is_named_with_its_object(vcenter: RunningVcenter, server: ImageServer) -> None:
    async with connect(vcenter, SERVICE) as connection:
        error = await failure(connection, wanted(vcenter, server.url, server.sha256))
    assert isinstance(error, PermissionMissing)
    assert error.fields["privilege"] == "VApp.Import"
    assert error.fields["object"] == "/dc-1/host/c-1/Resources"


async def test_preflight_does_not_ask_for_a_template_that_will_be_imported(
    vcenter: RunningVcenter, server: ImageServer
) -> None:
    async with connect(vcenter, IMPORTER) as connection:
        checks = await connection.check(wanted(vcenter, server.url, server.sha256))
    assert [(check.ok, check.what) for check in checks if check.name == "template"] == [
        (True, f"it will be imported from {server.url}")
    ]
