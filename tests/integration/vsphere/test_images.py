"""The node image imported into the simulated vCenter: made the template once, whoever else does the same."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyVmomi import vim

from pcg.clouds.base import TaskState
from pcg.clouds.vsphere import images, leftovers
from pcg.clouds.vsphere.images import importing_name
from pcg.clouds.vsphere.simulator.launcher import RunningVcenter
from pcg.errors import PermissionMissing

from .conftest import SERVICE, Raw
from .image_server import DISK, ImageServer, small_ova
from .importing import FOLDER, NAME, failure, lying_there, outcome, under_way, wanted
from .test_driver import GATEWAY, connect, made, spec_of

pytestmark = [pytest.mark.vsphere, pytest.mark.usefixtures("quick_imports")]

Control = Callable[..., Any]


async def test_an_image_by_url_becomes_the_template_and_is_cloned(
    vcenter: RunningVcenter, control: Control, server: ImageServer
) -> None:
    configuration = wanted(vcenter, server.url, server.sha256)
    async with connect(vcenter, SERVICE) as connection:
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
        assert lying_there(vcenter) == {configuration.template.name: True}
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
    template = raw.content.searchIndex.FindByInventoryPath(f"dc-1/vm/{FOLDER}/{configuration.template.name}")
    settings = {option.key: option.value for option in template.config.extraConfig}
    assert settings[leftovers.MARK_SHA256] == server.sha256
    assert settings[leftovers.MARK_IMAGE] == server.url
    assert server.url in template.config.annotation


async def test_an_image_in_a_file_and_without_a_sum(vcenter: RunningVcenter, tmp_path: Path) -> None:
    file = tmp_path / f"{NAME}.ova"
    file.write_bytes(small_ova())
    configuration = wanted(vcenter, file.as_uri(), None)
    async with connect(vcenter, SERVICE) as connection:
        progress = await outcome(connection, configuration)
        assert progress.template is not None
    assert lying_there(vcenter) == {configuration.template.name: True}


async def test_two_gateways_at_once_end_with_one_template(
    vcenter: RunningVcenter, control: Control, server: ImageServer
) -> None:
    configuration = wanted(vcenter, server.url, server.sha256)
    async with connect(vcenter, SERVICE) as one, connect(vcenter, SERVICE) as other:
        found = await asyncio.gather(outcome(one, configuration), outcome(other, configuration))
    assert found[0].template is not None
    assert found[0].template == found[1].template
    assert lying_there(vcenter) == {configuration.template.name: True}
    assert [one["ended"] for one in (await control("/imports"))["imports"]] == ["done"]


async def test_another_sum_under_the_same_url_is_another_template_beside_the_first(
    vcenter: RunningVcenter, server: ImageServer
) -> None:
    before = wanted(vcenter, server.url, server.sha256)
    async with connect(vcenter, SERVICE) as connection:
        first = await outcome(connection, before)
        server.content = small_ova(DISK[::-1])
        after = wanted(vcenter, server.url, server.sha256)
        second = await outcome(connection, after)
        assert None is not first.template != second.template is not None
        assert (await outcome(connection, before)).template == first.template
    assert lying_there(vcenter) == {before.template.name: True, after.template.name: True}
    assert before.template.name != after.template.name


def leave_behind(vcenter: RunningVcenter, name: str, begun: float | None) -> None:
    raw = Raw(vcenter)
    settings = [] if begun is None else [vim.option.OptionValue(key=leftovers.MARK_BEGUN, value=str(int(begun)))]
    raw.finish(raw.clone(name, folder="spectro-templates", config=vim.vm.ConfigSpec(extraConfig=settings)))


async def test_a_stale_import_is_removed_by_whoever_comes_next(vcenter: RunningVcenter, server: ImageServer) -> None:
    configuration = wanted(vcenter, server.url, server.sha256, "spectro-templates")
    leave_behind(vcenter, importing_name(configuration), time.time() - 3600)
    leave_behind(vcenter, "other-0123456789ab.importing", time.time() - 3600)
    leave_behind(vcenter, "persons.importing", None)
    async with connect(vcenter, SERVICE) as connection:
        assert (await outcome(connection, configuration)).template is not None
    left = lying_there(vcenter, "spectro-templates")
    assert left == {"ubuntu-2204-k8s-1.30": True, configuration.template.name: True, "persons.importing": False}


async def test_a_young_import_without_a_task_is_waited_for(
    vcenter: RunningVcenter, server: ImageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leftovers, "STALE_SECONDS", 3.0)
    configuration = wanted(vcenter, server.url, server.sha256, "spectro-templates")
    leave_behind(vcenter, importing_name(configuration), time.time() + 1)
    async with connect(vcenter, SERVICE) as connection:
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
    async with connect(vcenter, SERVICE) as connection:
        error = await failure(connection, configuration)
    assert error.reason == "name-taken"
    assert importing_name(configuration) in lying_there(vcenter, "spectro-templates")


async def test_a_whole_import_that_was_not_renamed_is_adopted(vcenter: RunningVcenter, server: ImageServer) -> None:
    configuration = wanted(vcenter, server.url, server.sha256, "spectro-templates")
    leave_behind(vcenter, importing_name(configuration), time.time())
    raw = Raw(vcenter)
    raw.machine(importing_name(configuration), "spectro-templates").MarkAsTemplate()
    async with connect(vcenter, SERVICE) as connection:
        assert (await outcome(connection, configuration)).template is not None
    assert server.requests == []
    assert lying_there(vcenter, "spectro-templates") == {
        "ubuntu-2204-k8s-1.30": True,
        configuration.template.name: True,
    }


async def test_closing_the_connection_leaves_nothing(
    vcenter: RunningVcenter, control: Control, server: ImageServer
) -> None:
    server.hold = 1_000_000
    async with connect(vcenter, SERVICE) as connection:
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
    async with connect(vcenter, SERVICE) as connection:
        await connection.ensure_template(configuration)
        await asyncio.sleep(0.04 * moment)
    left = lying_there(vcenter)
    assert left in ({}, {configuration.template.name: True})


async def test_preflight_does_not_ask_for_a_template_that_will_be_imported(
    vcenter: RunningVcenter, server: ImageServer
) -> None:
    async with connect(vcenter, SERVICE) as connection:
        checks = await connection.check(wanted(vcenter, server.url, server.sha256))
    assert [(check.ok, check.what) for check in checks if check.name == "template"] == [
        (True, f"it will be imported from {server.url}")
    ]


@pytest.mark.parametrize("how", ["refused", "forbidden", "silent"])
async def test_preflight_tells_an_image_that_cannot_be_fetched(
    vcenter: RunningVcenter, server: ImageServer, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "FIRST_BYTES_WITHIN", 0.5)
    url = "http://127.0.0.1:9/node-1.30.ova" if how == "refused" else server.url
    server.status = 403 if how == "forbidden" else 200
    server.hold = 0 if how == "silent" else None
    async with connect(vcenter, SERVICE) as connection:
        checks = await connection.check(wanted(vcenter, url, server.sha256))
    (image,) = [check for check in checks if check.name == "image"]
    problem: Any = image.problem
    assert (image.ok, problem.reason, problem.fields["url"]) == (False, "image-source-unreachable", url)
    assert {"forbidden": "HTTP 403", "silent": "nothing came within 0.5 s"}.get(how, "ConnectionRefusedError") in str(
        problem.evidence
    )
    assert lying_there(vcenter) == {}


async def test_a_folder_that_may_not_be_made_is_named_with_the_privilege(
    vcenter: RunningVcenter, server: ImageServer
) -> None:
    raw = Raw(vcenter)
    roles = raw.content.authorizationManager
    allowed = [privilege for privilege in SERVICE.privileges or () if privilege != "Folder.Create"]
    role = roles.AddAuthorizationRole("no folders", allowed)
    permission = vim.AuthorizationManager.Permission(principal=SERVICE.name, group=False, roleId=role, propagate=True)
    roles.SetEntityPermissions(raw.datacenter.vmFolder, [permission])
    async with connect(vcenter, SERVICE) as connection:
        error = await failure(connection, wanted(vcenter, server.url, server.sha256))
    assert isinstance(error, PermissionMissing)
    assert error.fields["privilege"] == "Folder.Create"
    assert error.fields["object"] == "/dc-1/vm"
    assert server.requests == []
