"""Room in preflight and the inventory to choose from, of every cloud."""

from __future__ import annotations

from contract.conftest import GATEWAY, CloudLab, ended
from pcg.clouds.base import Connection, OfferedKind
from pcg.errors import ResourcesMissing
from pcg.gateway.inventory_answer import inventory_answer

HUGE = {"cpus": 4, "memoryGiB": 1024, "diskGiB": 4096}


async def test_more_memory_and_space_than_there_is(cloud_lab: CloudLab, connection: Connection) -> None:
    wanted = {"nodes": {"count": 3, "size": HUGE}, "network": {"controlPlaneAddress": "127.64.0.9"}}
    found = {check.name: check for check in await connection.check(cloud_lab.configuration(**wanted))}
    for name, resource, needed in (("memory", "memory", "3072 GiB"), ("datastore", "datastore-space", "12288 GiB")):
        problem = found[name].problem
        assert found[name].ok is False
        assert isinstance(problem, ResourcesMissing)
        assert (problem.reason, problem.fields["resource"]) == (f"{resource}-missing", resource)
        assert problem.fields["needed"] == needed
        assert 0 < int(problem.fields["free"].removesuffix(" GiB")) < int(needed.removesuffix(" GiB"))
        assert problem.fields["where"]


async def test_what_is_there_already_needs_no_room_again(cloud_lab: CloudLab, connection: Connection) -> None:
    spec = await cloud_lab.spec(connection)
    await ended(connection, await connection.create_machine(GATEWAY, spec))
    wanted = cloud_lab.configuration(nodes={"count": 1, "size": {**HUGE, "diskGiB": 4096}})
    await connection.list_machines("77777777-0000-4000-8000-000000000002")
    assert _needed(await connection.check(wanted)) == {"memory": "1024 GiB"}
    # It was made, but does not run: its memory is needed still, its disk no more.
    await connection.list_machines(GATEWAY)
    assert _needed(await connection.check(wanted)) == {"memory": "1024 GiB"}
    (machine,) = await connection.list_machines(GATEWAY)
    await ended(connection, await connection.start_machine(machine))
    await connection.list_machines(GATEWAY)
    assert _needed(await connection.check(wanted)) == {}


async def test_a_spare_machine_needs_room_beside_those_that_are_there(
    cloud_lab: CloudLab, connection: Connection
) -> None:
    spec = await cloud_lab.spec(connection)
    await ended(connection, await connection.create_machine(GATEWAY, spec))
    (machine,) = await connection.list_machines(GATEWAY)
    await ended(connection, await connection.start_machine(machine))
    await connection.list_machines(GATEWAY)
    wanted = cloud_lab.configuration(nodes={"count": 1, "size": HUGE})
    assert _needed(await connection.check(wanted)) == {}
    assert _needed(await connection.check(wanted, {0})) == {"memory": "1024 GiB"}
    assert _needed(await connection.check(wanted, {1})) == {}


def _needed(checks: object) -> dict[str, str]:
    assert isinstance(checks, list)
    return {check.name: check.problem.fields["needed"] for check in checks if check.ok is False}


async def test_what_a_configuration_may_name_is_offered(cloud_lab: CloudLab, connection: Connection) -> None:
    await cloud_lab.spec(connection)  # the template is there then
    configuration = cloud_lab.configuration()
    found = await connection.inventory(configuration.template.folder)
    placement = configuration.placement[0]
    named = {
        OfferedKind.DATACENTER: placement.datacenter,
        OfferedKind.CLUSTER: placement.cluster,
        OfferedKind.RESOURCE_POOL: placement.resource_pool,
        OfferedKind.FOLDER: placement.folder,
        OfferedKind.DATASTORE: placement.datastore,
        OfferedKind.NETWORK: placement.network,
        OfferedKind.TEMPLATE: configuration.template.name,
    }
    for kind, name in named.items():
        assert name in {entry.name for entry in found if entry.kind is kind}, kind
    (datastore,) = [entry for entry in found if entry.kind is OfferedKind.DATASTORE]
    assert datastore.free_gib is not None and datastore.capacity_gib is not None
    assert 0 < datastore.free_gib <= datastore.capacity_gib
    # Every name that is offered is one that a placement accepts.
    told = inventory_answer(found, placement.datacenter)
    for folder in told["folders"]:
        offered = {**cloud_lab.stack.data_center["placement"], "folder": folder["path"]}
        checks = await connection.check(cloud_lab.configuration(placement=[offered]))
        assert next(check for check in checks if check.name == "placement").ok is True, folder
