"""Room and time in preflight against the simulator: what is missing, where, how much is needed and how much is free."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyVmomi import vim

from pcg.clouds.base import Check
from pcg.clouds.vsphere.simulator.launcher import ADMINISTRATOR, RunningVcenter, vcenter_simulator
from pcg.errors import PcgError, ResourcesMissing
from pcg.model.configuration import Configuration

from .conftest import QUICK, SERVICE, Raw
from .test_driver import GATEWAY, configuration_of, connect, made, spec_of

pytestmark = pytest.mark.vsphere

Control = Callable[..., Any]


def configuration(vcenter: RunningVcenter, *, placements: int = 1, **changes: Any) -> Configuration:
    """Three nodes of 8 CPUs, 8 GiB and 100 GiB."""
    document = configuration_of(vcenter).model_dump(by_alias=True, mode="json")
    document["nodes"] = {"count": 3, "size": "medium"}
    document["network"]["controlPlaneAddress"] = "10.0.0.9"
    document["placement"] *= placements
    return Configuration.model_validate(document | changes)


async def checks_of(vcenter: RunningVcenter, wanted: Configuration, **account: Any) -> dict[str, Check]:
    async with connect(vcenter, **account) as connection:
        return {check.name: check for check in await connection.check(wanted)}


def missing(check: Check) -> tuple[str, str, str, str, str]:
    assert check.ok is False
    assert isinstance(check.problem, ResourcesMissing)
    fields = check.problem.fields
    return check.problem.reason, fields["resource"], fields["where"], fields["needed"], fields["free"]


async def test_with_room_and_right_clocks_all_is_clear(vcenter: RunningVcenter) -> None:
    checks = await checks_of(vcenter, configuration(vcenter))
    assert {name: check.ok for name, check in checks.items()} == dict.fromkeys(checks, True)
    assert {"hosts", "cpu", "memory", "pool", "datastore", "licence", "time"} <= checks.keys()
    assert checks["datastore"].what.endswith("GiB are free on ds-1")


async def test_a_datastore_with_too_little_space(vcenter: RunningVcenter, control: Control) -> None:
    await control("/datastores/ds-1", {"freeGiB": 299})
    checks = await checks_of(vcenter, configuration(vcenter))
    assert missing(checks["datastore"]) == (
        "datastore-space-missing", "datastore-space", "ds-1", "300 GiB", "299 GiB",
    )  # fmt: skip
    await control("/datastores/ds-1", {"freeGiB": 300})
    assert (await checks_of(vcenter, configuration(vcenter)))["datastore"].ok is True


async def test_failure_domains_that_share_an_object_share_its_room(vcenter: RunningVcenter, control: Control) -> None:
    await control("/datastores/ds-1", {"freeGiB": 250})
    checks = await checks_of(vcenter, configuration(vcenter, placements=2))
    assert missing(checks["datastore 1"])[3:] == ("300 GiB", "250 GiB")
    assert "datastore 2" not in checks


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"maintenance": "inMaintenance"}, "datastore-in-maintenance"),
        ({"accessible": False}, "datastore-inaccessible"),
        ({"mounted": False}, "datastore-inaccessible"),
    ],
)
async def test_a_datastore_that_cannot_be_used(
    vcenter: RunningVcenter, control: Control, change: dict[str, Any], reason: str
) -> None:
    await control("/datastores/ds-1", change)
    assert missing((await checks_of(vcenter, configuration(vcenter)))["datastore"])[0] == reason


async def test_memory_is_that_of_hosts_that_can_run_machines(vcenter: RunningVcenter, control: Control) -> None:
    await control("/hosts/esx-1", {"maintenance": True})
    checks = await checks_of(vcenter, configuration(vcenter))
    assert checks["hosts"].ok is True
    assert checks["hosts"].what == "1 of 2 hosts are usable; esx-1 is in maintenance mode"
    await control("/hosts/esx-2", {"memoryGiB": 20})
    memory = (await checks_of(vcenter, configuration(vcenter)))["memory"]
    assert missing(memory) == ("memory-missing", "memory", "the hosts of c-1", "24 GiB", "18 GiB")
    assert isinstance(memory.problem, ResourcesMissing)
    assert memory.problem.evidence[-1] == "esx-1 is in maintenance mode"
    await control("/hosts/esx-2", {"connected": False})
    assert missing((await checks_of(vcenter, configuration(vcenter)))["hosts"])[0] == "hosts-missing"


async def test_a_node_fits_on_one_host_or_not_at_all(vcenter: RunningVcenter, control: Control) -> None:
    for host in ("esx-1", "esx-2"):
        await control(f"/hosts/{host}", {"memoryGiB": 15})  # 13 free: one node each, though 26 are free in all
    assert missing((await checks_of(vcenter, configuration(vcenter)))["memory"])[3:] == ("24 GiB", "27 GiB")
    await control("/hosts/esx-1", {"memoryGiB": 18})
    assert (await checks_of(vcenter, configuration(vcenter)))["memory"].ok is True


async def test_more_cpus_than_any_host_has(vcenter: RunningVcenter, control: Control) -> None:
    for host in ("esx-1", "esx-2"):
        await control(f"/hosts/{host}", {"cpuThreads": 7})
    checks = await checks_of(vcenter, configuration(vcenter))
    assert missing(checks["cpu"]) == ("cpu-missing", "cpu", "the largest host of c-1", "8 CPUs", "7 CPUs")


async def test_the_limits_of_a_pool_and_of_those_above_it(vcenter: RunningVcenter) -> None:
    def build() -> None:
        raw = Raw(vcenter)
        above = raw.cluster.resourcePool.CreateResourcePool("limited", pool_spec(memory=16 * 1024, cpu=50_000))
        above.CreateResourcePool("within", pool_spec(memory=-1, cpu=9_000))

    await asyncio.to_thread(build)
    wanted = configuration(vcenter)
    document = wanted.model_dump(by_alias=True, mode="json")
    document["placement"][0]["resourcePool"] = "within"
    checks = await checks_of(vcenter, Configuration.model_validate(document))
    assert missing(checks["pool's memory"])[:4] == ("memory-missing", "memory", "the resource pool limited", "24 GiB")
    assert missing(checks["pool's cpu"])[:4] == ("cpu-missing", "cpu", "the resource pool within", "12000 MHz")


def pool_spec(*, memory: int, cpu: int) -> Any:
    def allocation(limit: int) -> Any:
        shares = vim.SharesInfo(level="normal", shares=4000)
        return vim.ResourceAllocationInfo(reservation=0, expandableReservation=True, limit=limit, shares=shares)

    return vim.ResourceConfigSpec(cpuAllocation=allocation(cpu), memoryAllocation=allocation(memory))


async def test_machines_of_ours_need_no_room_again(vcenter: RunningVcenter, control: Control) -> None:
    wanted = configuration(vcenter)
    async with connect(vcenter) as connection:
        await made(connection, await spec_of(connection, wanted))
        await control("/datastores/ds-1", {"freeGiB": 200})
        await connection.list_machines(GATEWAY)
        checks = {check.name: check for check in await connection.check(wanted)}
        assert checks["datastore"].ok is True
        await connection.list_machines("another00")
        checks = {check.name: check for check in await connection.check(wanted)}
        assert missing(checks["datastore"])[3:] == ("300 GiB", "200 GiB")


async def test_a_clock_that_is_wrong_is_found_by_whoever_may_ask(vcenter: RunningVcenter, control: Control) -> None:
    await control("/hosts/esx-2", {"clockOffset": -3600})
    checks = await checks_of(vcenter, configuration(vcenter), account=ADMINISTRATOR)
    assert checks["time of esx-2"].ok is False
    problem = checks["time of esx-2"].problem
    assert isinstance(problem, PcgError)
    assert problem.reason == "host-clock-wrong"
    assert abs(float(problem.fields["offset"]) + 3600) < 5
    assert "time" not in checks and "time of esx-1" not in checks
    # The service account lacks Host.Config.DateTime; NTP that runs is what it can see.
    assert (await checks_of(vcenter, configuration(vcenter)))["time"].what == "time on 2 hosts: NTP runs"


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"ntpServers": []}, "Host esx-1 has no time server; its clock is right now."),
        ({"ntpRunning": False}, "Host esx-1 does not run its time service; its clock is right now."),
    ],
)
async def test_a_clock_that_nothing_keeps_right_cannot_be_told(
    vcenter: RunningVcenter, control: Control, change: dict[str, Any], what: str
) -> None:
    await control("/hosts/esx-1", change)
    checks = await checks_of(vcenter, configuration(vcenter), account=ADMINISTRATOR)
    assert (checks["time of esx-1"].ok, checks["time of esx-1"].what) == (None, what)


async def test_a_licence_that_has_run_out(vcenter: RunningVcenter, control: Control) -> None:
    await control("/licence", {"expires": "2999-01-01T00:00:00Z"})
    assert (await checks_of(vcenter, configuration(vcenter)))["licence"].ok is True
    await control("/licence", {"expires": "2020-01-02T00:00:00Z"})
    licence = (await checks_of(vcenter, configuration(vcenter)))["licence"]
    assert (licence.ok, licence.what) == (False, "The vCenter's licence expired on 2020-01-02.")


async def test_hosts_are_tried_only_while_an_image_must_be_imported(vcenter: RunningVcenter, control: Control) -> None:
    for number, host in enumerate(("esx-1", "esx-2"), 1):
        await control(f"/hosts/{host}", {"name": f"no-host-{number}.invalid"})
    assert not any(name.startswith("port 443") for name in await checks_of(vcenter, configuration(vcenter)))
    image = {"folder": "spectro-templates", "image": "https://images.example.com/ubuntu-2204-k8s-1.31.ova"}
    checks = await checks_of(vcenter, configuration(vcenter, template=image))
    problem = checks["port 443 of no-host-2.invalid"].problem
    assert isinstance(problem, PcgError)
    assert (problem.reason, problem.fields["said"]) == ("host-port-unreachable", "its name is not known")


async def test_the_round_trips_do_not_grow_with_the_inventory(program: Path, tmp_path: Path) -> None:
    counted = []
    for strangers in (10, 1000):
        state = tmp_path / str(strangers)
        async with vcenter_simulator(
            state, program=program, accounts=[ADMINISTRATOR, SERVICE], delays=QUICK, strangers=strangers
        ) as vcenter:
            counted.append(await round_trips(vcenter))
    few, many = counted
    assert few == many
    # Two hosts: each clock is one call.
    assert few["QueryDateTime"] == 2
    assert sum(few.values()) <= 32


async def round_trips(vcenter: RunningVcenter) -> dict[str, int]:
    def control(path: str, body: bytes | None = None) -> Any:
        with urllib.request.urlopen(vcenter.control + path, data=body, timeout=30) as answer:
            return json.load(answer)

    async with connect(vcenter) as connection:
        await asyncio.to_thread(control, "/counters/reset", b"{}")
        checks = await connection.check(configuration(vcenter))
        assert all(check.ok for check in checks)
        return dict(await asyncio.to_thread(control, "/counters"))
