"""Faults change a part as life would: on and off as often as one likes, kept over a restart, and nothing names them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pcg.clouds.simulated import faults
from pcg.clouds.simulated.datacenter import DataCenter
from pcg.clouds.simulated.refusals import Refusal
from pcg.errors import NotFound
from unit.clouds.simulated.rooms import IMAGE, PLACEMENT, data_center, machine_request

pytestmark = pytest.mark.looptime

LEASES, CLONE, IMAGES = "dhcp/leases-all-taken", "permissions/clone-right-removed", "images/host-closed"


async def provoked(center: DataCenter) -> str:
    """Everything that the parts answer to whoever uses them."""
    answers: list[object] = [center.overview([PLACEMENT]), center.template("spectro-templates", "node")]
    answers.append(center.dhcp.discover("card").address)
    for attempt in (center.probe_image(IMAGE), _create(center)):
        try:
            await attempt
        except Refusal as refusal:
            answers.append(refusal.document())
    return json.dumps(answers)


async def _create(center: DataCenter) -> None:
    center.create_machine(machine_request())


def snapshot(center: DataCenter) -> object:
    permissions = {path: center.permissions.of(path) for path in ("/dc-1/vm/pcg", "/dc-1/vm/spectro-templates")}
    return dict(center.dhcp.leases), permissions, center.gate.open


@pytest.mark.parametrize("fault", [LEASES, CLONE, IMAGES])
async def test_on_and_off_again_leaves_all_as_it_was(tmp_path: Path, fault: str) -> None:
    async with data_center(tmp_path) as center:
        center.dhcp.discover("somebody's card")
        before = snapshot(center)
        for _ in range(2):
            faults.switch(center, fault, on=True)
        broken = snapshot(center)
        assert broken != before
        assert faults.described(center)[fault]["on"] is True
        for _ in range(2):
            faults.switch(center, fault, on=False)
        assert snapshot(center) == before
        assert faults.described(center)[fault]["on"] is False


@pytest.mark.parametrize("fault", [LEASES, CLONE, IMAGES])
async def test_off_without_on_changes_nothing(tmp_path: Path, fault: str) -> None:
    async with data_center(tmp_path) as center:
        before = snapshot(center)
        faults.switch(center, fault, on=False)
        assert snapshot(center) == before


@pytest.mark.parametrize("fault", [LEASES, CLONE, IMAGES])
async def test_a_fault_is_on_after_a_restart_and_can_be_switched_off_then(tmp_path: Path, fault: str) -> None:
    async with data_center(tmp_path) as center:
        before = snapshot(center)
        faults.switch(center, fault, on=True)
        broken = snapshot(center)
    async with data_center(tmp_path) as again:
        faults.restore(again)
        faults.restore(again)
        assert snapshot(again) == broken
        faults.switch(again, fault, on=False)
        assert snapshot(again) == before


@pytest.mark.parametrize("fault", [LEASES, CLONE, IMAGES])
async def test_the_faulty_part_counts_who_met_it(tmp_path: Path, fault: str) -> None:
    async with data_center(tmp_path) as center:
        faults.switch(center, fault, on=True)
        assert faults.described(center)[fault]["hits"] == 0
        await provoked(center)
        hits = {name: described["hits"] for name, described in faults.described(center).items()}
        assert hits.pop(fault) > 0  # type: ignore[operator]
        assert set(hits.values()) == {0}


@pytest.mark.parametrize("fault", [LEASES, CLONE, IMAGES])
async def test_nothing_that_the_parts_answer_names_the_fault(tmp_path: Path, fault: str) -> None:
    async with data_center(tmp_path) as center:
        healthy = await provoked(center)
    async with data_center(tmp_path / "ill") as center:
        faults.switch(center, fault, on=True)
        ill = await provoked(center)
        assert ill != healthy
        for word in (fault, *fault.split("/"), "fault", "leases-all-taken", "right-removed", "host-closed"):
            if word not in ("permissions", "dhcp", "images"):
                assert word not in ill.lower()


async def test_while_leases_are_taken_nobody_gets_one_but_who_has_one(tmp_path: Path) -> None:
    async with data_center(tmp_path) as center:
        own = center.dhcp.discover("own card").address
        faults.switch(center, LEASES, on=True)
        assert center.dhcp.discover("own card").address == own
        assert center.dhcp.discover("new card").address is None


async def test_an_unknown_fault_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    async with data_center(tmp_path) as center:
        with pytest.raises(NotFound) as caught:
            faults.switch(center, "dhcp/none", on=True)
        assert LEASES in caught.value.evidence[0]


QUIET = ("dhcp/server-stopped", "hosts/clock-ahead", "inventory/network-renamed", "datastore/filled")


@pytest.mark.parametrize("fault", QUIET)
async def test_a_part_that_was_changed_answers_otherwise_until_it_is_mended(tmp_path: Path, fault: str) -> None:
    async with data_center(tmp_path) as center:
        healthy = center.overview([PLACEMENT])
        faults.switch(center, fault, on=True)
        faults.switch(center, fault, on=True)
        assert center.overview([PLACEMENT]) != healthy
        assert int(str(faults.described(center)[fault]["hits"])) > 0
        faults.switch(center, fault, on=False)
        assert center.overview([PLACEMENT]) == healthy


async def test_a_transfer_that_breaks_off_says_how_far_it_came(tmp_path: Path) -> None:
    async with data_center(tmp_path) as center:
        faults.switch(center, "images/connections-break", on=True)
        with pytest.raises(Refusal) as caught:
            await center._fetcher.fetch(IMAGE, None)
        assert caught.value.kind == "fetch-interrupted"
        assert int(caught.value.fields["received"]) > 0
        faults.switch(center, "images/connections-break", on=False)
        await center._fetcher.fetch(IMAGE, None)
