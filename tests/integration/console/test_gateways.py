"""A gateway's life as scripts see it through the REST API."""

from __future__ import annotations

import base64
from datetime import timedelta

import pytest
from sqlalchemy import update

from pcg.console.reports import StatusOutcome
from pcg.console.store.models import PairingCode
from pcg.model.records import MachineReport
from pcg.model.states import MachineRole, MachineState, Role, StepName
from pcg.sealing import boxes, pairing_code

from .conftest import CONFIGURATION, Console, status

pytestmark = pytest.mark.shared

MACHINE = MachineReport(
    name="pcg-one-1", role=MachineRole.CONTROL_PLANE, state=MachineState.READY, address="127.64.0.10",
    instance="0" * 36, incarnation=1,
)  # fmt: skip


async def test_a_new_gateway_comes_with_all_that_an_installer_needs(console: Console):
    answer = await console.client.post("/api/v1/gateways", json={"name": "berlin 1", "cloud": "vsphere"})
    made = answer.json()
    assert answer.status_code == 201
    assert made["gateway"]["state"] == "awaiting-registration"
    assert made["gateway"]["fingerprint"] is None
    code = made["pairing_code"]
    assert pairing_code.show(pairing_code.parse(code)) == code
    assert made["ca_pin"] == console.service.certificates.pin
    assert made["endpoint"] == "https://console.test"
    assert made["install_command"].startswith(f"PCG_PAIRING_CODE={code} pcg install --endpoint https://console.test ")
    assert made["ovf_properties"] == {
        "pcg.endpoint": made["endpoint"], "pcg.pairing-code": code, "pcg.ca-pin": made["ca_pin"],
    }  # fmt: skip


async def test_a_name_is_taken_once(console: Console):
    await console.create("one")
    answer = await console.client.post("/api/v1/gateways", json={"name": "one", "cloud": "simulated"})
    assert (answer.status_code, answer.json()["reason"], answer.json()["field"]) == (409, "name-taken", "name")


async def test_the_list_is_paged_by_name(console: Console):
    for name in ("c", "a", "b"):
        await console.create(name)
    first = (await console.client.get("/api/v1/gateways", params={"limit": 2})).json()
    rest = (await console.client.get("/api/v1/gateways", params={"limit": 2, "after": first["next"]})).json()
    assert [item["name"] for item in first["items"] + rest["items"]] == ["a", "b", "c"]
    assert rest["next"] is None


async def test_a_registration_that_does_not_come_is_told_after_ten_minutes(console: Console):
    gateway_id = await console.create()
    assert (await console.get(gateway_id))["registration_overdue"] is False
    async with console.service.database.write() as session:
        await session.execute(
            update(PairingCode).values(created_at=console.service.clock.now() - timedelta(minutes=10))
        )
    gateway = await console.get(gateway_id)
    assert gateway["registration_overdue"] is True
    assert [item["name"] for item in gateway["conditions"]] == ["registration-overdue"]


async def test_a_new_pairing_code_replaces_the_unused_one(console: Console):
    gateway_id = await console.create()
    answer = await console.client.post(f"/api/v1/gateways/{gateway_id}/pairing-code")
    assert answer.status_code == 201
    async with console.service.database.read() as session:
        codes = [await session.get(PairingCode, key) for key in await _keys(session)]
    assert sorted(code.replaced_at is None for code in codes) == [False, True]


async def _keys(session) -> list[str]:
    from sqlalchemy import select

    return list(await session.scalars(select(PairingCode.pairing_key)))


async def test_configuring_before_registration_is_refused(console: Console):
    gateway_id = await console.create()
    for path, body in (("configuration", CONFIGURATION), ("credentials", {"ciphertext": _ciphertext()})):
        answer = await console.client.put(f"/api/v1/gateways/{gateway_id}/{path}", json=body)
        assert (answer.status_code, answer.json()["reason"]) == (409, "not-registered")
    assert (await console.client.post(f"/api/v1/gateways/{gateway_id}/reset")).status_code == 409
    assert await console.service.reports.desired_state(gateway_id) is None


def _ciphertext(fill: bytes = b"x") -> str:
    return base64.b64encode(fill * 80).decode()


async def test_the_way_to_running(console: Console):
    gateway_id, keys = await console.registered()
    assert (await console.get(gateway_id))["state"] == "pending"
    await console.client.put(f"/api/v1/gateways/{gateway_id}/configuration", json=CONFIGURATION)
    gateway = await console.get(gateway_id)
    assert gateway["state"] == "provisioning"
    assert {item["name"] for item in gateway["conditions"]} == {"disconnected", "credentials-needed"}

    await console.client.put(f"/api/v1/gateways/{gateway_id}/credentials", json={"ciphertext": _ciphertext()})
    desired = await console.service.reports.desired_state(gateway_id)
    assert desired is not None
    assert (desired.mode, desired.generation, desired.incarnation) == ("run", 2, 1)
    assert desired.credentials is not None
    assert desired.credentials.ciphertext == _ciphertext()
    assert desired.jet_token is not None
    assert boxes.open_sealed(keys.opening, desired.jet_token).startswith(b"jet_")

    await console.service.reports.store_status(gateway_id, 1, 1, status(1, done=True))
    assert (await console.get(gateway_id))["state"] == "provisioning", "an answer to an older generation"
    await console.service.reports.store_status(gateway_id, 1, 2, status(2, done=True, machines=[MACHINE], clean=True))
    gateway = await console.get(gateway_id)
    assert (gateway["state"], gateway["address"]) == ("running", "127.64.0.10")
    machines = (await console.client.get(f"/api/v1/gateways/{gateway_id}/machines")).json()["items"]
    assert [(item["name"], item["role"], item["state"]) for item in machines] == [
        ("pcg-one-1", "control-plane", "ready")
    ]


async def test_nine_steps_are_not_running(console: Console):
    gateway_id, _ = await console.configured()
    told = status(1, done=True)
    await console.service.reports.store_status(gateway_id, 1, 1, told.model_copy(update={"steps": told.steps[:9]}))
    assert (await console.get(gateway_id))["state"] == "provisioning"
    steps = (await console.client.get(f"/api/v1/gateways/{gateway_id}/steps")).json()["items"]
    assert [step["name"] for step in steps] == [name.value for name in StepName]
    assert steps[-1]["state"] == "waiting"


async def test_presence_shows_at_once(console: Console):
    gateway_id, _ = await console.registered()
    now = console.service.clock.now()
    console.service.presence.arrived(gateway_id, now)
    gateway = await console.get(gateway_id)
    assert (gateway["connected"], gateway["conditions"]) == (True, [])
    console.service.presence.left(gateway_id, now)
    gateway = await console.get(gateway_id)
    assert [item["name"] for item in gateway["conditions"]] == ["disconnected"]
    assert gateway["last_seen"] is not None


async def test_reset_is_pending_at_once_and_cleaning_up_until_told(console: Console):
    gateway_id, _ = await console.configured()
    await console.service.reports.store_status(gateway_id, 1, 1, status(1, done=True, machines=[MACHINE]))
    before = await console.service.reports.desired_state(gateway_id)
    answer = await console.client.post(f"/api/v1/gateways/{gateway_id}/reset")
    assert (answer.status_code, answer.json()["state"], answer.json()["incarnation"]) == (200, "pending", 2)
    assert "cleaning-up" in {item["name"] for item in answer.json()["conditions"]}
    desired = await console.service.reports.desired_state(gateway_id)
    assert before is not None
    assert desired is not None
    assert (desired.mode, desired.generation, desired.incarnation, desired.jet_token) == ("idle", 2, 2, None)
    assert desired.configuration == before.configuration, "cleaning up needs to know where"

    again = await console.client.post(f"/api/v1/gateways/{gateway_id}/reset")
    assert again.json()["incarnation"] == 2
    await console.service.reports.store_status(gateway_id, 1, 2, status(2, 2, clean=True))
    assert "cleaning-up" not in {item["name"] for item in (await console.get(gateway_id))["conditions"]}

    await console.client.put(f"/api/v1/gateways/{gateway_id}/configuration", json=CONFIGURATION)
    desired = await console.service.reports.desired_state(gateway_id)
    assert desired is not None
    assert (desired.mode, desired.generation, desired.incarnation) == ("run", 3, 2)
    assert desired.jet_token not in (None, before.jet_token)


async def test_rebuild_wants_the_same_configuration_in_a_new_incarnation(console: Console):
    gateway_id, _ = await console.registered()
    refused = await console.client.post(f"/api/v1/gateways/{gateway_id}/rebuild")
    assert (refused.status_code, refused.json()["reason"]) == (409, "not-configured")
    await console.client.put(f"/api/v1/gateways/{gateway_id}/configuration", json=CONFIGURATION)
    before = await console.service.reports.desired_state(gateway_id)
    answer = await console.client.post(f"/api/v1/gateways/{gateway_id}/rebuild")
    assert (answer.status_code, answer.json()["state"]) == (200, "provisioning")
    after = await console.service.reports.desired_state(gateway_id)
    assert before is not None and after is not None
    assert (after.mode, after.incarnation, after.generation) == ("run", before.incarnation + 1, before.generation + 1)
    assert after.configuration == before.configuration
    assert after.jet_token not in (None, before.jet_token)
    assert (await console.client.post(f"/api/v1/gateways/{gateway_id}/reset")).status_code == 200
    refused = await console.client.post(f"/api/v1/gateways/{gateway_id}/rebuild")
    assert refused.json()["reason"] == "not-configured"


async def test_a_gateway_that_never_registered_is_deleted_at_once(console: Console):
    gateway_id = await console.create()
    answer = await console.client.delete(f"/api/v1/gateways/{gateway_id}")
    assert (answer.status_code, answer.json()) == (200, {"deleted": True, "remaining": []})
    assert (await console.client.get(f"/api/v1/gateways/{gateway_id}")).status_code == 404
    assert await console.service.reports.peer(gateway_id) is None
    await console.create()


async def test_delete_waits_until_the_gateway_is_clean_and_leaves_a_tombstone(console: Console):
    gateway_id, keys = await console.configured()
    reports = console.service.reports
    answer = await console.client.delete(f"/api/v1/gateways/{gateway_id}")
    assert (answer.status_code, answer.json()["deleted"]) == (202, False)
    assert (await console.get(gateway_id))["state"] == "deleting"
    desired = await reports.desired_state(gateway_id)
    assert desired is not None
    assert (desired.mode, desired.generation) == ("delete", 2)
    refused = await console.client.put(f"/api/v1/gateways/{gateway_id}/configuration", json=CONFIGURATION)
    assert (refused.status_code, refused.json()["reason"]) == (409, "deleting")

    not_yet = [status(1, clean=True), status(2, clean=False), status(2, clean=True, machines=[MACHINE])]
    for revision, told in enumerate(not_yet, start=1):
        assert await reports.store_status(gateway_id, 1, revision, told) is StatusOutcome.STORED
    assert await reports.store_status(gateway_id, 1, 9, status(2, clean=True)) is StatusOutcome.FAREWELL
    assert (await console.client.get(f"/api/v1/gateways/{gateway_id}")).status_code == 404
    peer = await reports.peer(gateway_id)
    assert peer is not None
    assert (peer.signing_key, peer.farewell) == (keys.public_signing, True)
    assert await reports.desired_state(gateway_id) is None


async def test_a_forced_delete_says_what_stays_and_cleans_up_when_the_gateway_returns(console: Console):
    gateway_id, _ = await console.configured()
    reports = console.service.reports
    term = await reports.take_term(gateway_id, 0)
    await reports.store_status(gateway_id, term, 1, status(1, machines=[MACHINE]))
    answer = await console.client.delete(f"/api/v1/gateways/{gateway_id}", params={"force": "true"})
    assert answer.status_code == 200
    assert [item["name"] for item in answer.json()["remaining"]] == ["pcg-one-1"]

    peer = await reports.peer(gateway_id)
    assert peer is not None
    assert peer.farewell is False
    desired = await reports.desired_state(gateway_id)
    assert desired is not None
    assert (desired.mode, desired.generation) == ("delete", 2)
    assert desired.configuration is not None
    assert await reports.take_term(gateway_id, 0) == term + 1
    assert await reports.store_status(gateway_id, 2, 1, status(2)) is StatusOutcome.STORED
    assert await reports.store_status(gateway_id, 2, 2, status(2, clean=True)) is StatusOutcome.FAREWELL
    peer = await reports.peer(gateway_id)
    assert peer is not None
    assert peer.farewell is True
    assert await reports.desired_state(gateway_id) is None


async def test_every_change_is_audited_by_whom(console: Console):
    gateway_id, _ = await console.configured()
    await console.client.put(f"/api/v1/gateways/{gateway_id}/credentials", json={"ciphertext": _ciphertext()})
    await console.client.post(f"/api/v1/gateways/{gateway_id}/reset")
    await console.client.delete(f"/api/v1/gateways/{gateway_id}", params={"force": "true"})
    page = (await console.client.get("/api/v1/audit", params={"gateway": gateway_id, "limit": 4})).json()
    rest = (await console.client.get("/api/v1/audit", params={"gateway": gateway_id, "after": page["next"]})).json()
    entries = page["items"] + rest["items"]
    assert [entry["action"] for entry in entries] == [
        "gateway-deleted", "gateway-delete-asked", "gateway-reset", "credentials-set", "gateway-configured",
        "gateway-created",
    ]  # fmt: skip
    assert {entry["actor"] for entry in entries} == {"admin@example.com"}
    assert _ciphertext() not in str(entries)


@pytest.mark.parametrize(
    ("method", "path", "least"),
    [
        ("GET", "", Role.VIEWER),
        ("GET", "/{id}", Role.VIEWER),
        ("GET", "/{id}/configuration", Role.VIEWER),
        ("GET", "/{id}/steps", Role.VIEWER),
        ("GET", "/{id}/machines", Role.VIEWER),
        ("GET", "/{id}/findings", Role.VIEWER),
        ("GET", "/{id}/events", Role.VIEWER),
        ("POST", "", Role.OPERATOR),
        ("POST", "/{id}/pairing-code", Role.OPERATOR),
        ("PUT", "/{id}/configuration", Role.OPERATOR),
        ("PUT", "/{id}/credentials", Role.OPERATOR),
        ("POST", "/{id}/reset", Role.OPERATOR),
        ("POST", "/{id}/preflight", Role.OPERATOR),
        ("GET", "/{id}/inventory", Role.OPERATOR),
        ("POST", "/{id}/kubeconfig", Role.ADMIN),
        ("DELETE", "/{id}", Role.ADMIN),
    ],
)
async def test_each_role_may_what_it_may(console: Console, method: str, path: str, least: Role):
    gateway_id, _ = await console.configured()
    bodies = {
        ("POST", ""): {"name": "another", "cloud": "simulated"},
        ("PUT", "/{id}/configuration"): CONFIGURATION,
        ("PUT", "/{id}/credentials"): {"ciphertext": _ciphertext()},
    }
    url = "/api/v1/gateways" + path.format(id=gateway_id)
    assert (await console.anonymous().request(method, url, json=bodies.get((method, path)))).status_code == 401
    order = [Role.VIEWER, Role.OPERATOR, Role.ADMIN]
    for role in order:
        async with await console.as_role(role) as client:
            answer = await client.request(method, url, json=bodies.get((method, path)))
        if order.index(role) < order.index(least):
            assert (answer.status_code, answer.json()["reason"]) == (403, "not-allowed"), role
        else:
            assert answer.status_code != 403, role
            break
