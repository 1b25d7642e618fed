"""Two gateways never have one address of one network: what is refused, what is not, and both at the same time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pcg.console import address_overlaps

from .conftest import CONFIGURATION, Console, status

pytestmark = pytest.mark.shared

POOL = {"range": "10.10.20.10-10.10.20.29", "prefix": 24, "gateway": "10.10.20.1"}
HELD = {"addresses": {"static": POOL}, "controlPlaneAddress": "10.10.20.9"}


def pool(given: str) -> dict[str, Any]:
    return {"addresses": {"static": {**POOL, "range": given}}}


def document(network: dict[str, Any], /, **placement: str) -> dict[str, Any]:
    return {**CONFIGURATION, "placement": [{**CONFIGURATION["placement"][0], **placement}], "network": network}


async def put(console: Console, gateway_id: str, wanted: dict[str, Any]):
    return await console.client.put(f"/api/v1/gateways/{gateway_id}/configuration", json=wanted)


async def holder(console: Console) -> str:
    gateway_id, _ = await console.registered("holder")
    assert (await put(console, gateway_id, document(HELD))).status_code == 200
    return gateway_id


@pytest.mark.parametrize(
    ("network", "field", "common"),
    [
        (pool("10.10.20.25-10.10.20.40"), "network.addresses.static.range", "10.10.20.25-10.10.20.29"),
        (pool("10.10.20.2-10.10.20.9"), "network.addresses.static.range", "10.10.20.9"),
        (
            {"addresses": {"static": {"subnet": "10.10.20.0/24", "gateway": "10.10.20.1"}}},
            "network.addresses.static.subnet",
            "10.10.20.10-10.10.20.29",
        ),
        ({"controlPlaneAddress": "10.10.20.9"}, "network.controlPlaneAddress", "10.10.20.9"),
        ({"controlPlaneAddress": "10.10.20.15"}, "network.controlPlaneAddress", "10.10.20.15"),
    ],
)
async def test_what_overlaps_is_refused_and_nothing_is_stored(
    console: Console, network: dict[str, Any], field: str, common: str
):
    await holder(console)
    gateway_id, _ = await console.registered("late")
    answer = await put(console, gateway_id, document(network))
    problem = answer.json()
    assert (answer.status_code, problem["reason"], problem["field"]) == (409, "addresses-overlap", field)
    assert "gateway holder" in problem["detail"]
    assert f"in common with gateway holder: {common}" in problem["evidence"]
    assert (await console.get(gateway_id))["generation"] == 0


@pytest.mark.parametrize(
    ("network", "placement"),
    [
        pytest.param(pool("10.10.20.30-10.10.20.40"), {}, id="beside it"),
        pytest.param({"controlPlaneAddress": "10.10.20.8"}, {}, id="another control-plane address"),
        pytest.param(HELD, {"network": "DMZ"}, id="another network"),
        pytest.param(HELD, {"datacenter": "dc-2"}, id="another datacenter"),
        pytest.param({}, {}, id="by DHCP"),
    ],
)
async def test_what_does_not_overlap_is_stored(console: Console, network: dict[str, Any], placement: dict[str, str]):
    await holder(console)
    gateway_id, _ = await console.registered("late")
    answer = await put(console, gateway_id, document(network, **placement))
    assert answer.status_code == 200, answer.text


async def test_one_network_is_known_by_name_and_by_path(console: Console):
    await holder(console)
    gateway_id, _ = await console.registered("late")
    answer = await put(console, gateway_id, document(HELD, datacenter="/dc-1", network="/dc-1/network/VM Network"))
    assert answer.status_code == 409


@pytest.mark.parametrize(("address", "refused"), [("127.0.0.1:9443", 409), ("127.0.0.2:9443", 200), ("127.0.0.1", 200)])
async def test_another_vcenter_has_other_networks(console: Console, address: str, refused: int):
    await holder(console)
    gateway_id, _ = await console.registered("late")
    wanted = {**document(HELD), "vcenter": {"address": address, "username": "other"}}
    assert (await put(console, gateway_id, wanted)).status_code == refused


async def test_its_own_addresses_may_be_changed_and_put_again(console: Console):
    gateway_id = await holder(console)
    assert (await put(console, gateway_id, document(HELD))).status_code == 200
    answer = await put(console, gateway_id, document(pool("10.10.20.20-10.10.20.60")))
    assert answer.status_code == 200


async def test_after_a_reset_addresses_are_free_once_no_machine_is_left(console: Console):
    gateway_id = await holder(console)
    late, _ = await console.registered("late")
    assert (await console.client.post(f"/api/v1/gateways/{gateway_id}/reset")).status_code in (200, 202)
    assert (await put(console, late, document(HELD))).status_code == 409
    generation = (await console.get(gateway_id))["generation"]
    clean = status(generation, 2, clean=True)
    await console.service.reports.take_term(gateway_id, 1)
    await console.service.reports.store_status(gateway_id, 1, 1, clean)
    answer = await put(console, late, document(HELD))
    assert answer.status_code == 200, answer.text
    assert (await put(console, gateway_id, document(HELD))).status_code == 409


async def test_of_many_at_the_same_time_one_gets_the_addresses(console: Console):
    gateways = [(await console.registered(f"gateway-{number}"))[0] for number in range(5)]
    answers = await asyncio.gather(*(put(console, gateway_id, document(HELD)) for gateway_id in gateways))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409, 409]


async def test_a_gateway_that_one_may_not_see_is_not_named(console: Console, monkeypatch: pytest.MonkeyPatch):
    await holder(console)
    gateway_id, _ = await console.registered("late")
    monkeypatch.setattr(address_overlaps, "may", lambda user, action, gateway: False)
    answer = await put(console, gateway_id, document(HELD))
    assert answer.status_code == 409
    assert "holder" not in answer.text
    assert "another gateway" in answer.json()["detail"]
