"""The data center's core: names and instances once, capacity, whose machine is removed, and what stays of it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pcg.clouds.simulated.datacenter import shown
from pcg.clouds.simulated.images import image_sha256
from pcg.clouds.simulated.machine_life import STRANGERS
from pcg.clouds.simulated.permissions import DELETE, IMPORT
from unit.clouds.simulated.rooms import (
    GATEWAY,
    PLACEMENT,
    TEMPLATE,
    data_center,
    machine_request,
    made,
    refused,
    template_request,
)

pytestmark = pytest.mark.looptime


async def test_a_machine_has_its_marks_when_it_appears_and_is_off(tmp_path: Path) -> None:
    async with data_center(tmp_path) as center:
        task = center.create_machine(machine_request())
        assert (task["state"], task["kind"], task["object"]) == ("running", "create", "node-1")
        assert center.list_machines(GATEWAY)["machines"] == []
        await asyncio.sleep(20.1)
        (machine,) = center.list_machines(GATEWAY)["machines"]
        assert machine["marks"] == machine_request().marks
        assert machine["instance"] == machine_request().marks["pcg.instance"]
        assert (machine["power"], machine["address"]) == ("off", None)
        assert center.task(task["id"])["state"] == "done"


async def test_a_bulk_read_shows_one_gateways_machines_only(tmp_path: Path) -> None:
    async with data_center(tmp_path) as center:
        await made(center)
        assert len(center.list_machines(GATEWAY)["machines"]) == 1
        assert center.list_machines("another")["machines"] == []
        assert len(list(center.machines)) == 1 + len(STRANGERS)


async def test_all_of_it_outlives_the_process(tmp_path: Path) -> None:
    async with data_center(tmp_path) as center:
        await made(center)
        center.create_machine(machine_request(2))
        before = [shown(machine) for machine in center.machines]
        revision = center.news.revision(GATEWAY)
    await asyncio.sleep(5)
    async with data_center(tmp_path) as again:
        assert [shown(machine) for machine in again.machines] == before
        assert again.news.revision(GATEWAY) != revision
        await asyncio.sleep(15.1)
        assert len(again.list_machines(GATEWAY)["machines"]) == 2


async def test_a_name_is_given_once_in_a_folder(tmp_path: Path) -> None:
    async with data_center(tmp_path) as center:
        await made(center)
        with refused("name-taken"):
            center.create_machine(machine_request(2, name="node-1"))


async def test_an_instance_is_given_once_whatever_the_name(tmp_path: Path) -> None:
    async with data_center(tmp_path) as center:
        await made(center)
        with refused("instance-exists"):
            center.create_machine(machine_request(1, name="another"))


async def test_a_name_that_is_being_given_is_taken(tmp_path: Path) -> None:
    async with data_center(tmp_path) as center:
        center.create_machine(machine_request())
        with refused("name-taken"):
            center.create_machine(machine_request(2, name="node-1"))


async def test_a_name_that_somebody_takes_meanwhile_fails_the_task(tmp_path: Path) -> None:
    async with data_center(tmp_path) as center:
        task = center.create_machine(machine_request(1, name="pcg-node"))
        stranger = center.life.add_stranger("pcg-node")
        await asyncio.sleep(20.1)
        failed = center.task(task["id"])
        assert (failed["state"], failed["error"]["error"]) == ("failed", "name-taken")
        assert center.machines.find(stranger.id) == stranger


async def test_without_its_template_no_machine_is_made(tmp_path: Path) -> None:
    async with data_center(tmp_path, template=False) as center:
        with refused("not-found"):
            center.create_machine(machine_request())


async def test_a_datastore_has_an_end(tmp_path: Path) -> None:
    async with data_center(tmp_path) as center:
        await made(center, 1, disk=4096)
        await made(center, 2, disk=4000)
        with refused("not-enough") as caught:
            center.create_machine(machine_request(3, disk=100))
        assert (caught.value.fields["resource"], caught.value.fields["free"]) == ("datastore-space", "36 GiB")


async def test_memory_of_the_hosts_has_an_end_and_the_start_fails(tmp_path: Path) -> None:
    async with data_center(tmp_path) as center:
        ids = [(await made(center, number, memory=200)).id for number in (1, 2, 3, 4)]
        for machine_id in ids[:3]:
            center.start_machine(machine_id)
        await asyncio.sleep(3.1)
        assert len({center.machines.get(machine_id).host for machine_id in ids[:3]}) == 3
        task = center.start_machine(ids[3])
        await asyncio.sleep(3.1)
        assert task is not None
        failed = center.task(task["id"])
        assert (failed["state"], failed["error"]["error"]) == ("failed", "not-enough")
        assert not center.machines.get(ids[3]).powered_on


async def test_starting_twice_is_starting_once(tmp_path: Path) -> None:
    async with data_center(tmp_path) as center:
        machine = await made(center)
        first, second = center.start_machine(machine.id), center.start_machine(machine.id)
        assert first == second
        await asyncio.sleep(3.1)
        assert center.start_machine(machine.id) is None
        assert center.machines.get(machine.id).boot == 1


async def test_removing_twice_is_removing_once(tmp_path: Path) -> None:
    async with data_center(tmp_path) as center:
        machine = await made(center)
        first = center.delete_machine(machine.id, machine.instance)
        assert center.delete_machine(machine.id, machine.instance) == first
        await asyncio.sleep(5.1)
        with refused("gone"):
            center.delete_machine(machine.id, machine.instance)


async def test_only_the_very_machine_that_is_meant_is_removed(tmp_path: Path) -> None:
    async with data_center(tmp_path) as center:
        machine = await made(center)
        copy, stranger = center.life.copy(machine.id), center.life.add_stranger("web")
        for victim, instance in ((machine, "another"), (copy, machine.instance), (copy, copy.instance)):
            with refused("wrong-instance"):
                center.delete_machine(victim.id, instance)
        with refused("wrong-instance"):
            center.delete_machine(stranger.id, stranger.instance)
        await asyncio.sleep(60)
        assert {machine.id, copy.id, stranger.id} <= {item.id for item in center.machines}


async def test_somebodys_disk_stays_in_the_datastore_when_its_machine_is_destroyed(tmp_path: Path) -> None:
    async with data_center(tmp_path) as center:
        machine = await made(center)
        center.life.attach_disk(machine.id, "[ds-1] data/data.vmdk")
        assert center.list_machines(GATEWAY)["machines"][0]["foreignDisks"] == ["[ds-1] data/data.vmdk"]
        center.delete_machine(machine.id, machine.instance)
        await asyncio.sleep(5.1)
        assert center.machines.find(machine.id) is None
        assert center.life.loose_disks == ["[ds-1] data/data.vmdk"]


async def test_a_machines_lease_ends_with_it(tmp_path: Path) -> None:
    async with data_center(tmp_path) as center:
        machine = await made(center)
        assert center.dhcp.discover(machine.mac).address == "127.64.0.10"
        center.delete_machine(machine.id, machine.instance)
        await asyncio.sleep(5.1)
        assert center.dhcp.leases == {}


async def test_leases_outlive_the_process(tmp_path: Path) -> None:
    async with data_center(tmp_path) as center:
        center.dhcp.discover("card")
    async with data_center(tmp_path) as again:
        assert again.dhcp.leases == {"card": "127.64.0.10"}


async def test_a_missing_privilege_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    async with data_center(tmp_path) as center:
        machine = await made(center)
        center.permissions.set("/dc-1/vm/pcg", center.permissions.own("/dc-1/vm/pcg") - {DELETE})
        with refused("no-permission"):
            center.delete_machine(machine.id, machine.instance)
        assert center.tasks.running() == []


async def test_an_import_fetches_the_image_once_for_all_who_ask(tmp_path: Path) -> None:
    async with data_center(tmp_path, template=False) as center:
        first, second = center.import_template(template_request()), center.import_template(template_request())
        assert first["id"] == second["id"]
        await asyncio.sleep(15.1)
        assert center.template("spectro-templates", template_request().name)["template"] == TEMPLATE


async def test_an_image_with_another_digest_is_refused(tmp_path: Path) -> None:
    async with data_center(tmp_path, template=False) as center:
        task = center.import_template(template_request(sha256="0" * 64))
        await asyncio.sleep(15.1)
        failed = center.task(task["id"])
        assert (failed["state"], failed["error"]["error"]) == ("failed", "fetch-failed")
        assert failed["error"]["fields"]["wanted"] == "0" * 64
        assert failed["error"]["fields"]["found"] == image_sha256()
        assert center.template("spectro-templates", template_request().name)["template"] is None


@pytest.mark.parametrize("url", ["http://127.64.0.3/missing.ova", "http://[::1", "http://127.64.0.3"])
async def test_an_image_that_cannot_be_fetched_says_where_it_failed(tmp_path: Path, url: str) -> None:
    async with data_center(tmp_path) as center:
        with refused("fetch-failed") as caught:
            await center.probe_image(url)
        assert caught.value.fields["url"] == url


async def test_an_overview_tells_places_leases_and_missing_privileges(tmp_path: Path) -> None:
    async with data_center(tmp_path) as center:
        center.permissions.set("/dc-1/vm/pcg", ())
        good, bad = center.overview([PLACEMENT, {**PLACEMENT, "datastore": "ds-11"}])
        assert good["leases"] == {"free": 3, "held": 0}
        assert {"privilege": DELETE, "object": "/dc-1/vm/pcg"} in good["missing"]
        assert bad["refusal"]["error"] == "not-found"
        assert bad["refusal"]["fields"]["near"] == "ds-1"


async def test_names_may_be_given_as_inventory_paths(tmp_path: Path) -> None:
    async with data_center(tmp_path) as center:
        paths = {**PLACEMENT, "folder": "/dc-1/vm/pcg", "datastore": "/dc-1/datastore/ds-1"}
        assert center.overview([paths])[0]["folder"] == "/dc-1/vm/pcg"


async def test_missing_privileges_of_an_import_are_told_only_while_it_is_needed(tmp_path: Path) -> None:
    async with data_center(tmp_path, template=False) as center:
        path = "/dc-1/vm/spectro-templates"
        center.permissions.set(path, center.permissions.own(path) - {IMPORT})
        missing = center.template("spectro-templates", template_request().name)["missing"]
        assert [item["privilege"] for item in missing] == [IMPORT]
        with refused("no-permission"):
            center.import_template(template_request())


async def test_strangers_are_made_once(tmp_path: Path) -> None:
    async with data_center(tmp_path) as center:
        before = [machine.id for machine in center.machines]
    async with data_center(tmp_path) as again:
        assert [machine.id for machine in again.machines] == before
        assert {machine.name for machine in again.machines} == set(STRANGERS)
