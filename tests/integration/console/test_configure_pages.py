"""Configuring a gateway by the pages: the form and its YAML, wrong fields, sealed passwords, conflicts."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from html import unescape
from typing import Any

import pytest
import pytest_asyncio
import yaml

from pcg.console.store.models import Gateway
from pcg.model.configuration import parse_configuration
from pcg.model.records import MachineReport
from pcg.model.states import MachineRole, MachineState
from pcg.sealing.boxes import open_credentials
from unit.network.test_pins_and_failures import certificate

from .browsing import Browser, Form, signed_in
from .conftest import CONFIGURATION, Console, status

pytestmark = pytest.mark.shared

VCENTER_PASSWORD = "Pa55word <of> vCenter"


@pytest_asyncio.fixture(loop_scope="module")
async def browser(console: Console) -> AsyncIterator[Browser]:
    opened = await signed_in(console)
    yield opened
    await opened.client.aclose()


TYPED = {
    "vcenter.address": "127.0.0.1:9443", "vcenter.username": "svc-pcg", "password": VCENTER_PASSWORD,
    "placement.0.datacenter": "dc-1", "placement.0.cluster": "c-1", "placement.0.datastore": "ds-1",
    "placement.0.network": "VM Network", "template.image": "https://127.0.0.1/node-1.30.ova", "nodes.size": "small",
    "do": "save",
}  # fmt: skip


async def _present(console: Console, gateway_id: str) -> dict[str, object]:
    return (await console.client.get(f"/api/v1/gateways/{gateway_id}/configuration")).json()["configuration"]


async def test_before_registration_there_is_nothing_to_configure(console: Console, browser: Browser):
    gateway_id = await console.create()
    answer = await browser.get(f"/gateways/{gateway_id}/configure")
    assert answer.status_code == 409
    assert "has not registered yet" in answer.text and "Start the installer with the pairing code" in answer.text


async def test_the_form_configures_and_seals_the_password(console: Console, browser: Browser, caplog):
    gateway_id, keys = await console.registered()
    path = f"/gateways/{gateway_id}/configure"
    answer = await browser.post(path, {**await browser.form(path), **TYPED})
    assert (answer.status_code, answer.headers.get("location")) == (303, f"/gateways/{gateway_id}"), answer.text
    other_id, _ = await console.configured("other")
    assert await _present(console, gateway_id) == await _present(console, other_id)
    async with console.service.database.read() as session:
        row = await session.get(Gateway, gateway_id)
    assert row is not None and row.credentials_ciphertext is not None
    credentials = open_credentials(keys.opening, row.credentials_ciphertext)
    assert (credentials.password, credentials.address, credentials.username, credentials.gateway_id) == (
        VCENTER_PASSWORD, "127.0.0.1:9443", "svc-pcg", gateway_id,
    )  # fmt: skip
    assert VCENTER_PASSWORD not in caplog.text
    everything = [
        (await browser.get(f"/gateways/{gateway_id}{tab}")).text for tab in ("", "/configuration", "/configure")
    ]
    assert not any(VCENTER_PASSWORD in unescape(text) for text in everything)


FULL = {
    "cloud": "simulated",
    "vcenter": {"address": "[fd00::1]:9443", "trust": {"thumbprint": ":".join(["AB"] * 32)}, "username": "u"},
    "placement": [
        {"datacenter": "d", "cluster": f"c{n}", "resourcePool": "r", "folder": "f", "datastore": "s", "network": "n"}
        for n in range(3)
    ],
    "template": {"folder": "t", "image": "node <1>", "sha256": "a" * 64},
    "nodes": {"count": 3, "size": {"cpus": 4, "memoryGiB": 8, "diskGiB": 80}},
    "network": {
        "addresses": {"static": {"range": "10.0.0.10-10.0.0.20", "prefix": 24, "gateway": "10.0.0.1"}},
        "nameServers": ["10.0.0.2", "10.0.0.3"], "ntpServers": ["ntp.example.com"], "controlPlaneAddress": "10.0.0.9",
        "podCidr": "172.16.0.0/16", "serviceCidr": "10.97.0.0/16",
    },
    "proxy": {"http": "http://p:1", "https": "http://p:2", "no": ["10.0.0.0/8", ".x"], "ca": certificate("proxy")},
    "kubernetes": {"version": "1.30.4", "cni": "cilium", "registry": "r.example.com"},
    "sshKeys": ["ssh-ed25519 AAAA a, b", "ssh-rsa BBBB"],
}  # fmt: skip


@pytest.mark.parametrize("document", [CONFIGURATION, FULL], ids=["small", "full"])
async def test_form_and_yaml_show_and_save_the_same(console: Console, browser: Browser, document: dict[str, object]):
    gateway_id, _ = await console.configured()
    put = await console.client.put(f"/api/v1/gateways/{gateway_id}/configuration", json=document)
    assert put.status_code == 200, put.text
    before, path = (await console.get(gateway_id))["generation"], f"/gateways/{gateway_id}/configure"
    async with console.service.database.write() as session:
        row = await session.get(Gateway, gateway_id)
        assert row is not None
        row.credentials_ciphertext, row.credentials_version = "sealed", "1"
    form = await browser.form(path)
    direct = (await browser.form(f"{path}?as=yaml"))["yaml"]
    switched = Form((await browser.post(path, {**form, "do": "show-yaml"})).text).fields
    assert parse_configuration(yaml.safe_load(switched["yaml"])) == parse_configuration(yaml.safe_load(direct))
    back = Form((await browser.post(path, {**switched, "do": "show-form"})).text).fields
    assert back == form
    for fields in (form, switched, {**switched, "yaml": direct}):
        answer = await browser.post(path, {**fields, "do": "save"})
        assert answer.status_code == 303, unescape(answer.text)
    assert (await console.get(gateway_id))["generation"] == before, "the same again changes nothing"


_POOL = "network.addresses.static."
_STATIC = {
    "network.addresses": "static", "network.addresses.static.range": "10.0.0.9-10.0.0.2",
    "network.addresses.static.prefix": "24", "network.addresses.static.gateway": "10.0.0.1",
}  # fmt: skip
WRONG = [
    ({"vcenter.address": "a b"}, "vcenter.address", "is not a host name"),
    ({"vcenter.address": ""}, "vcenter.address", "This is needed."),
    ({"vcenter.trust": "thumbprint", "vcenter.trust.thumbprint": ""}, "vcenter.trust.thumbprint", "32 pairs"),
    ({"vcenter.trust": "ca", "vcenter.trust.ca": " "}, "vcenter.trust.ca", "Paste the CA"),
    ({"password": ""}, "password", "This is needed."),
    ({"password": "x" * 2000}, "password", "at most"),
    ({"placement.0.cluster": ""}, "placement.0.cluster", "This is needed."),
    ({"template.sha256": "A"}, "template.sha256", "64 hex digits"),
    ({"nodes.count": "2"}, "nodes.count", "1 or 3"),
    ({"nodes.count": "3"}, "network.controlPlaneAddress", "needed for 3 nodes"),
    ({"nodes.size": "custom", "nodes.size.cpus": "1"}, "nodes.size.cpus", "greater than or equal to 2"),
    ({"nodes.size": "custom"}, "nodes.size.cpus", "valid integer"),
    ({"network.addresses": "static"}, "network.addresses.static.range", "This is needed."),
    (_STATIC, "network.addresses.static.range", "FIRST-LAST"),
    ({**_STATIC, _POOL + "range": "10.0.0.5-10.0.0.6"}, _POOL + "range", "4 are needed"),
    ({**_STATIC, _POOL + "range": "10.0.0.5-10.0.0.20", _POOL + "gateway": "10.1.0.1"}, _POOL + "gateway", "outside"),
    ({**_STATIC, _POOL + "range": "", _POOL + "subnet": "10.0.0.0/30"}, _POOL + "subnet", "4 are needed"),
    ({"network.nameServers": "10.0.0.1\nten"}, "network.nameServers", "does not appear to be an IPv4 or IPv6 address"),
    ({"network.podCidr": "10.96.0.0/12"}, "network.podCidr", "overlap"),
    ({"kubernetes.version": "latest"}, "kubernetes.version", "1.30"),
    ({"sshKeys": "not a key"}, "sshKeys", "one public key"),
]  # fmt: skip


async def test_addresses_of_another_gateway_are_told_beside_their_field(console: Console, browser: Browser):
    other, _ = await console.registered("other")
    network = {"controlPlaneAddress": "10.0.0.9"}
    url = f"/api/v1/gateways/{other}/configuration"
    assert (await console.client.put(url, json={**CONFIGURATION, "network": network})).status_code == 200
    gateway_id, _ = await console.registered()
    path = f"/gateways/{gateway_id}/configure"
    fields = {**await browser.form(path), **TYPED, "network.controlPlaneAddress": "10.0.0.9"}
    answer = await browser.post(path, fields)
    assert answer.status_code == 409
    (beside,) = re.findall(r'id="network.controlPlaneAddress-error">([^<]*)<', unescape(answer.text))
    assert "belongs to gateway other" in beside
    assert Form(answer.text).fields["vcenter.username"] == TYPED["vcenter.username"], "nothing is lost"


@pytest.mark.parametrize(("typed", "name", "message"), WRONG, ids=[f"{w[1]}-{n}" for n, w in enumerate(WRONG)])
async def test_a_wrong_field_is_named_and_nothing_is_lost(
    console: Console, browser: Browser, typed: dict[str, str], name: str, message: str
):
    gateway_id, _ = await console.registered()
    path = f"/gateways/{gateway_id}/configure"
    fields = {**await browser.form(path), **TYPED, **typed}
    answer = await browser.post(path, fields)
    text = unescape(answer.text)
    assert answer.status_code == 422
    (beside,) = re.findall(rf'id="{re.escape(name)}-error">([^<]*)<', text)
    assert message in beside
    assert re.search(
        rf'<(input|textarea)[^>]* id="{re.escape(name)}"|<fieldset[^>]* id="{re.escape(name)}"', answer.text
    )
    shown = Form(answer.text).fields
    apart = {"password", "do"} | ({"nodes.count"} if typed.get("nodes.count") == "2" else set())
    kept, given = ({key: value for key, value in some.items() if key not in apart} for some in (shown, fields))
    assert kept == given
    assert shown["password"] == "" and VCENTER_PASSWORD not in text
    assert (await console.get(gateway_id))["state"] == "pending"


async def test_wrong_yaml_comes_back_as_it_was_typed(console: Console, browser: Browser):
    gateway_id, _ = await console.registered()
    path = f"/gateways/{gateway_id}/configure"
    fields = {**await browser.form(f"{path}?as=yaml"), "password": VCENTER_PASSWORD, "do": "save"}
    for text, message in [
        ("a: [", "not YAML (line 1"),
        ("- 1", "must be a mapping"),
        (json.dumps({**CONFIGURATION, "typo": 1}), "typo: Extra inputs are not permitted"),
        (json.dumps({**CONFIGURATION, "nodes": {"count": 2}}), "nodes.count: Input should be 1 or 3"),
        (json.dumps({**CONFIGURATION, "cloud": "vsphere"}), "was made for the cloud simulated"),
        (json.dumps({**CONFIGURATION, "vcenter": {"password": "x"}}), "does not belong into the configuration"),
    ]:
        answer = await browser.post(path, {**fields, "yaml": text})
        assert answer.status_code == 422, text
        assert message in unescape(re.sub(r"</?a[^>]*>", "", answer.text)), text
        assert Form(answer.text).fields["yaml"] == text
    assert (await console.get(gateway_id))["state"] == "pending"


async def test_yaml_with_a_scheme_typed_by_mistake_is_saved_with_a_notice(console: Console, browser: Browser):
    gateway_id, _ = await console.registered()
    path = f"/gateways/{gateway_id}/configure"
    text = yaml.safe_dump({**CONFIGURATION, "vcenter": {"address": "https://vc.example.com/", "username": "u"}})
    fields = {**await browser.form(f"{path}?as=yaml"), "yaml": text, "password": "p", "do": "save"}
    answer = await browser.post(path, fields)
    assert answer.status_code == 200
    assert "'https://vc.example.com/' was read as 'vc.example.com'" in unescape(answer.text)


async def test_someone_elses_change_in_between_is_told_and_not_overwritten(console: Console, browser: Browser):
    gateway_id, _ = await console.registered()
    path = f"/gateways/{gateway_id}/configure"
    mine = {**await browser.form(path), **TYPED, "template.image": "mine"}
    theirs = {**CONFIGURATION, "template": {"image": "theirs"}}
    for document in (theirs, {**theirs, "template": {"image": "theirs-again"}}):
        await console.client.put(f"/api/v1/gateways/{gateway_id}/configuration", json=document)
        answer = await browser.post(path, mine)
        assert answer.status_code == 412
        assert "Someone else changed the configuration" in answer.text and document["template"]["image"] in answer.text
        assert (await _present(console, gateway_id))["template"]["image"] == document["template"]["image"]
        shown = Form(answer.text).fields
        assert shown["template.image"] == "mine"
        mine = {**shown, "password": VCENTER_PASSWORD, "do": "save"}
    assert (await browser.post(path, mine)).status_code == 303
    assert (await _present(console, gateway_id))["template"]["image"] == "mine"


async def test_the_password_is_asked_again_only_when_what_it_is_sealed_with_changes(console: Console, browser: Browser):
    gateway_id, _ = await console.registered()
    path = f"/gateways/{gateway_id}/configure"
    assert (await browser.post(path, {**await browser.form(path), **TYPED})).status_code == 303
    assert (
        await browser.post(path, {**await browser.form(path), "do": "save", "nodes.size": "large"})
    ).status_code == 303
    answer = await browser.post(path, {**await browser.form(path), "do": "save", "vcenter.username": "other"})
    assert answer.status_code == 422 and "enter it again" in answer.text
    assert (await _present(console, gateway_id))["nodes"]["size"] == "large"
    async with console.service.database.write() as session:
        row = await session.get(Gateway, gateway_id)
        assert row is not None
        row.credentials_ciphertext = row.credentials_version = None
    answer = await browser.post(path, {**await browser.form(path), "do": "save"})
    assert answer.status_code == 422 and "no password that it can use" in answer.text


async def test_placements_are_added_and_removed_without_a_script(console: Console, browser: Browser):
    gateway_id, _ = await console.registered()
    path = f"/gateways/{gateway_id}/configure"
    fields = {**await browser.form(path), **TYPED, "do": "add-placement"}
    fields = Form((await browser.post(path, fields)).text).fields
    assert (fields["placement.1.cluster"], fields["template.image"]) == ("c-1", TYPED["template.image"])
    fields |= {"placement.1.cluster": "c-2"}
    fields = Form((await browser.post(path, {**fields, "do": "remove-placement.0"})).text).fields
    assert fields["placement.0.cluster"] == "c-2" and "placement.1.cluster" not in fields
    answer = await browser.post(path, {**fields, "password": "p", "do": "save"})
    assert answer.status_code == 303
    assert [item["cluster"] for item in (await _present(console, gateway_id))["placement"]] == ["c-2"]


async def test_a_preflight_of_a_gateway_that_is_away_says_so(console: Console, browser: Browser):
    gateway_id, _ = await console.configured()
    path = f"/gateways/{gateway_id}/configure"
    answer = await browser.post(path, {**await browser.form(path), "do": "check"})
    assert answer.status_code == 200 and "Preflight" in answer.text and "What to do" in answer.text


async def test_a_preflight_shows_each_check_of_what_was_typed(
    console: Console, browser: Browser, monkeypatch: pytest.MonkeyPatch
):
    gateway_id, _ = await console.configured()
    asked: list[dict[str, Any]] = []
    problem = {"reason": "r", "what": "No <cluster>.", "at": "2026-01-01T12:00:00Z", "remedy": ["Make it."]}
    checks = [
        {"what": "name servers", "ok": True},
        {"what": "template", "ok": None},
        {"what": "cluster", "ok": False, "problem": problem},
    ]
    answers: list[dict[str, Any]] = [{"checks": checks}, {"no": "checks"}]

    async def request(_gateway_id: str, verb: str, arguments: dict[str, Any], _actor: object) -> dict[str, Any]:
        assert verb == "preflight"
        asked.append(arguments["configuration"])
        return answers.pop(0)

    monkeypatch.setattr(console.app.state.hub, "request", request)
    path = f"/gateways/{gateway_id}/configure"
    typed = {**await browser.form(path), "nodes.size": "large", "do": "check"}
    answer = await browser.post(path, typed)
    text = unescape(answer.text)
    places = [
        text.index(part) for part in ("name servers", "Clear", "Cannot tell", "Wrong", "No <cluster>.", "Make it.")
    ]
    assert answer.status_code == 200 and places == sorted(places)
    assert asked[0]["nodes"]["size"] == "large"
    assert Form(answer.text).fields["template.image"] == typed["template.image"]
    assert (await _present(console, gateway_id))["nodes"]["size"] == "small", "a preflight saves nothing"
    assert "answered something else than was asked" in (await browser.post(path, typed)).text


async def test_what_a_standing_cluster_cannot_become_is_told_beside_its_field(console: Console, browser: Browser):
    gateway_id, _ = await console.configured()
    machine = MachineReport(
        name="pcg-one-1-1", role=MachineRole.CONTROL_PLANE, state=MachineState.READY, instance="i", incarnation=1
    )
    generation = (await console.get(gateway_id))["generation"]
    await console.service.reports.store_status(gateway_id, 1, 1, status(generation, machines=[machine]))
    url = f"/gateways/{gateway_id}/configure"
    form = Form((await browser.get(url)).text)
    answer = await browser.post(url, {**form.fields, **TYPED, "network.podCidr": "172.20.0.0/16"})
    assert answer.status_code == 409
    text = unescape(answer.text)
    assert "network.podCidr</a>: The cluster was built with network.podCidr 192.168.0.0/16" in text
    assert "reset the gateway" in text
    assert 'value="172.20.0.0/16"' in text


async def test_only_the_save_button_saves(console: Console, browser: Browser):
    gateway_id, _ = await console.registered()
    path = f"/gateways/{gateway_id}/configure"
    text = json.dumps(CONFIGURATION)
    on_yaml = {**await browser.form(f"{path}?as=yaml"), "yaml": text, "password": "p"}
    for fields in (on_yaml, {**await browser.form(path), **TYPED}):
        for do in ("show-yaml", "show-form", "add-placement", "remove-placement.0", "remove-placement.x", "", "what"):
            answer = await browser.post(path, {**fields, "do": do})
            assert answer.status_code == 200, do
            assert (await console.get(gateway_id))["state"] == "pending", do
    assert Form((await browser.post(path, {**on_yaml, "do": "show-yaml"})).text).fields["yaml"] == text
