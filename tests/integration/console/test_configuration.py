"""Configuration and credentials over REST: idempotent, guarded against lost updates, wrong fields named."""

from __future__ import annotations

import base64
from typing import Any

import pytest
import yaml

from pcg.console.store.models import Gateway
from pcg.model.configuration import parse_configuration
from pcg.model.records import MachineReport
from pcg.model.states import MachineRole, MachineState

from .conftest import CONFIGURATION, Console, status

pytestmark = pytest.mark.shared


async def _put(console: Console, gateway_id: str, document: Any = CONFIGURATION, **headers: str):
    return await console.client.put(f"/api/v1/gateways/{gateway_id}/configuration", json=document, headers=headers)


async def test_the_same_document_again_changes_nothing(console: Console):
    gateway_id, _ = await console.registered()
    first, second = await _put(console, gateway_id), await _put(console, gateway_id)
    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json()["generation"] == second.json()["generation"] == 1
    assert first.headers["etag"] == second.headers["etag"]
    got = await console.client.get(f"/api/v1/gateways/{gateway_id}/configuration")
    assert got.headers["etag"] == first.headers["etag"]
    assert (await _put(console, gateway_id, got.json()["configuration"])).json()["generation"] == 1
    desired = await console.service.reports.desired_state(gateway_id)
    changed = await _put(console, gateway_id, {**CONFIGURATION, "nodes": {"count": 1, "size": "large"}})
    assert changed.json()["generation"] == 2
    after = await console.service.reports.desired_state(gateway_id)
    assert desired is not None
    assert after is not None
    assert after.jet_token == desired.jet_token, "one token for an incarnation"
    history = await console.service.configurations.history(console.admin, gateway_id)
    assert [(item.generation, item.configuration["nodes"]["size"]) for item in history] == [(2, "large"), (1, "small")]


async def test_a_change_from_an_older_view_is_refused(console: Console):
    gateway_id, _ = await console.registered()
    none_yet = await _put(console, gateway_id, **{"If-Match": "*"})
    assert none_yet.status_code == 412
    etag = (await _put(console, gateway_id)).headers["etag"]
    other = {**CONFIGURATION, "nodes": {"count": 1, "size": "large"}}
    assert (await _put(console, gateway_id, other, **{"If-Match": f'"0-x", {etag}'})).status_code == 200
    late = await _put(console, gateway_id, CONFIGURATION, **{"If-Match": etag})
    assert (late.status_code, late.json()["reason"]) == (412, "changed-meanwhile")
    assert late.json()["evidence"]


FORETOLD = [
    ({"proxy": {"https": "http://http://proxy:3128"}}, "proxy.https", "proxy-invalid"),
    ({"template": {"image": "ftp://images.example.com/node.ova"}}, "template.image", "image-url"),
    ({"network": {"ntpServers": ["10.96.3.4"]}}, "network.serviceCidr", "networks-overlap"),
]


@pytest.mark.parametrize(("change", "field", "reason"), FORETOLD)
async def test_what_will_fail_is_refused_while_it_is_typed(
    console: Console, change: dict[str, Any], field: str, reason: str
):
    gateway_id, _ = await console.registered()
    answer = await _put(console, gateway_id, CONFIGURATION | change)
    told = answer.json()
    assert (answer.status_code, told["field"], told["reason"]) == (422, field, reason)
    assert (await console.client.get(f"/api/v1/gateways/{gateway_id}/configuration")).status_code == 404


async def test_what_may_fail_is_a_notice(console: Console):
    gateway_id, _ = await console.registered()
    answer = await _put(console, gateway_id, CONFIGURATION | {"network": {"controlPlaneAddress": "127.64.0.9"}})
    (notice,) = answer.json()["notices"]
    assert "outside the DHCP server's scope cannot be told" in notice


async def test_a_gateway_that_stands_with_what_is_refused_now_can_still_be_changed(console: Console):
    """Stored by a console that did not look at it yet; the network of a cluster that stands cannot be changed."""
    gateway_id, _ = await console.registered()
    await _put(console, gateway_id)
    overlapping = CONFIGURATION | {"network": {"ntpServers": ["10.96.3.4"]}}
    stored = parse_configuration(overlapping)[0].model_dump(mode="json", by_alias=True)
    async with console.service.database.write() as session:
        row = await session.get_one(Gateway, gateway_id)
        row.configuration = stored
    answer = await _put(console, gateway_id, overlapping | {"nodes": {"count": 1, "size": "large"}})
    assert answer.status_code == 200, answer.text
    assert "overlaps" in answer.json()["notices"][0]
    assert (await _put(console, gateway_id, overlapping | FORETOLD[0][0])).status_code == 422


async def test_what_a_standing_cluster_cannot_become_is_refused_at_once(console: Console):
    three = {
        **CONFIGURATION,
        "nodes": {"count": 3, "size": "small"},
        "network": {"controlPlaneAddress": "127.64.0.9"},
    }
    one = {**three, "nodes": {"count": 1, "size": "small"}}
    gateway_id, _ = await console.registered()
    assert (await _put(console, gateway_id, three)).status_code == 200
    # Nothing stands yet: every change is one.
    assert (await _put(console, gateway_id, one)).json()["generation"] == 2
    assert (await _put(console, gateway_id, three)).json()["generation"] == 3
    machines = [
        MachineReport(
            name=f"pcg-one-1-{number}",
            role=MachineRole.CONTROL_PLANE,
            state=MachineState.READY,
            instance=f"i-{number}",
            incarnation=1,
        )
        for number in (1, 2, 3)
    ]
    await console.service.reports.store_status(gateway_id, 1, 1, status(3, machines=machines))
    answer = await _put(console, gateway_id, one)
    assert (answer.status_code, answer.json()["reason"]) == (409, "needs-reset")
    assert "nodes.count" in answer.json()["field"]
    assert "quorum" in answer.text and "reset" in answer.text
    moved = {**three, "network": {"controlPlaneAddress": "127.64.0.8"}}
    assert (await _put(console, gateway_id, moved)).json()["reason"] == "needs-reset"
    larger = {**three, "nodes": {"count": 3, "size": "large"}}
    assert (await _put(console, gateway_id, larger)).status_code == 200
    # After a reset the machines are on their way out, and another cluster is another matter.
    assert (await console.client.post(f"/api/v1/gateways/{gateway_id}/reset")).status_code == 200
    assert (await _put(console, gateway_id, one)).status_code == 200


async def test_yaml_is_read_too(console: Console):
    gateway_id, _ = await console.registered()
    answer = await console.client.put(
        f"/api/v1/gateways/{gateway_id}/configuration",
        content=yaml.safe_dump(CONFIGURATION),
        headers={"Content-Type": "application/yaml; charset=utf-8"},
    )
    assert (answer.status_code, answer.json()["generation"]) == (200, 1)
    assert answer.json()["configuration"]["placement"][0]["resourcePool"] == "Resources"


async def test_what_was_normalised_is_told(console: Console):
    gateway_id, _ = await console.registered()
    vcenter = {**CONFIGURATION["vcenter"], "address": "https://127.0.0.1:9443/"}
    answer = await _put(console, gateway_id, {**CONFIGURATION, "vcenter": vcenter})
    assert answer.json()["configuration"]["vcenter"]["address"] == "127.0.0.1:9443"
    assert len(answer.json()["notices"]) == 1


async def test_a_scheme_that_was_taken_off_is_told_until_the_address_is_given_alone(console: Console):
    """To whoever asks, and to the gateway, which shows a notice; what was read is the same all the while."""
    gateway_id, _ = await console.registered()

    async def told_to_the_gateway() -> str | None:
        desired = await console.service.reports.desired_state(gateway_id)
        assert desired is not None
        return desired.vcenter_typed

    url = f"/api/v1/gateways/{gateway_id}/configuration"
    typed = {**CONFIGURATION, "vcenter": {**CONFIGURATION["vcenter"], "address": " https://127.0.0.1:9443"}}
    given = await _put(console, gateway_id, typed)
    kept = await console.client.get(url)
    assert kept.json()["configuration"] == given.json()["configuration"]
    assert "'https://127.0.0.1:9443' was read as '127.0.0.1:9443'" in kept.json()["notices"][0]
    assert (await _put(console, gateway_id, typed)).json()["generation"] == given.json()["generation"]
    assert await told_to_the_gateway() == "https://127.0.0.1:9443"
    alone = await _put(console, gateway_id, kept.json()["configuration"])
    assert alone.json()["configuration"] == given.json()["configuration"]
    assert alone.json()["generation"] == given.json()["generation"] + 1
    assert await told_to_the_gateway() is None
    assert (await console.client.get(url)).json()["notices"] == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"cloud": "vsphere"}, "cloud"),
        ({"cloud": "other"}, "cloud"),
        ({"nodes": {"count": 2}}, "nodes.count"),
        ({"vcenter": {"address": "127.0.0.1", "username": "a", "password": "secret-word"}}, "vcenter.password"),
        ({"placement": []}, "placement"),
        ({"unknownKey": 1}, "unknownKey"),
    ],
)
async def test_a_wrong_field_is_named(console: Console, change: dict[str, Any], field: str):
    gateway_id, _ = await console.registered()
    answer = await _put(console, gateway_id, {**CONFIGURATION, **change})
    assert (answer.status_code, answer.json()["field"]) == (422, field)
    assert answer.headers["content-type"] == "application/problem+json"
    assert "secret-word" not in answer.text
    assert (await console.client.get(f"/api/v1/gateways/{gateway_id}/configuration")).status_code == 404


@pytest.mark.parametrize(
    ("content", "kind", "status", "reason"),
    [
        (b"{", "application/json", 400, "not-json"),
        (b"", "application/json", 400, "not-json"),
        (b"\xff\xfe", "application/json", 400, "not-json"),
        (b"[" * 100_000, "application/json", 400, "not-json"),
        (b"[]", "application/json", 422, "configuration-invalid"),
        (b"null", "application/json", 422, "configuration-invalid"),
        (b"a: [", "application/yaml", 400, "not-yaml"),
        (b"a: !!bool x", "application/yaml", 400, "not-yaml"),
        (b"a: !!timestamp x", "application/yaml", 400, "not-yaml"),
        (b"!!python/object/apply:os.system [ls]", "application/yaml", 400, "not-yaml"),
        (b"- 1", "application/yaml", 422, "configuration-invalid"),
        (b'{"cloud": "\\ud800"}', "application/json", 422, "configuration-invalid"),
        (b" " * 300_000, "application/json", 413, "body-too-large"),
        (b" " * 2_000_000, "application/json", 413, "body-too-large"),
    ],
)
async def test_a_body_that_cannot_be_read(console: Console, content: bytes, kind: str, status: int, reason: str):
    gateway_id, _ = await console.registered()
    answer = await console.client.put(
        f"/api/v1/gateways/{gateway_id}/configuration", content=content, headers={"Content-Type": kind}
    )
    assert (answer.status_code, answer.json()["reason"]) == (status, reason)


async def test_credentials_are_ciphertext_with_a_version_of_their_own(console: Console):
    gateway_id, _ = await console.registered()

    async def put(fill: bytes):
        body = {"ciphertext": base64.b64encode(fill * 60).decode()}
        return await console.client.put(f"/api/v1/gateways/{gateway_id}/credentials", json=body)

    first, again, other = await put(b"a"), await put(b"a"), await put(b"b")
    assert first.json()["version"] == again.json()["version"] != other.json()["version"]
    assert (await console.get(gateway_id))["generation"] == 2


@pytest.mark.parametrize("ciphertext", ["", "hunter2", "not base64!", base64.b64encode(b"short").decode(), "A" * 70000])
async def test_anything_else_than_ciphertext_is_refused(console: Console, ciphertext: str):
    gateway_id, _ = await console.registered()
    answer = await console.client.put(f"/api/v1/gateways/{gateway_id}/credentials", json={"ciphertext": ciphertext})
    assert (answer.status_code, answer.json()["field"]) == (422, "ciphertext")
    if ciphertext:
        assert ciphertext not in answer.text
