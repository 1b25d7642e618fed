"""What people type, or a script sends for them: refused with the field named, or kept and shown as mere text."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from integration.console.conftest import PASSWORD
from pcg.cli.failure import show_failure
from pcg.clouds.foreseen import foreseen
from pcg.console.auth import CSRF_FIELD, SESSION_COOKIE, csrf_token
from pcg.errors import InvalidInput
from pcg.gateway.ovf_properties import check_properties
from pcg.model.configuration import parse_configuration
from pcg.sealing import pairing_code
from unit.network.test_pins_and_failures import certificate

from .hostile import PAYLOADS, PLAIN, Shown, unseemly
from .raw import Raw, ask
from .world import BASE, CONFIGURATION, World

pytestmark = pytest.mark.shared

ENTRIES = list(PAYLOADS.items())
each_payload = pytest.mark.parametrize(("name", "text"), ENTRIES, ids=[name for name, _ in ENTRIES])

FULL: dict[str, Any] = {
    **CONFIGURATION,
    "vcenter": {"address": "127.0.0.1:9443", "username": "svc", "trust": {"ca": certificate("vcenter")}},
    "placement": [{**CONFIGURATION["placement"][0], "resourcePool": "r", "folder": "f"}],
    "template": {"folder": "t", "image": "node", "sha256": "0" * 64},
    "network": {
        "addresses": {"dhcp": {"searchDomains": ["a.example"]}},
        "nameServers": ["127.0.0.53"], "ntpServers": ["ntp.example"],
        "controlPlaneAddress": "127.0.0.9", "podCidr": "192.168.0.0/16", "serviceCidr": "10.96.0.0/12",
    },
    "proxy": {
        "http": "http://proxy.example:3128", "https": "http://proxy.example:3128", "no": ["a.example"],
        "ca": certificate("proxy"),
    },
    "kubernetes": {"version": "1.30", "cni": "calico", "registry": "r.example"},
    "sshKeys": ["ssh-ed25519 AAAA me"],
}  # fmt: skip
PROPERTIES = (
    "installer-name", "endpoint", "pairing-code", "ca-pin", "http-proxy", "https-proxy", "no-proxy", "certificate",
    "ssh-key", "pod-cidr", "service-cidr", "ip-scheme", "ip-address", "ip-prefix", "ip-gateway", "name-servers",
)  # fmt: skip


@each_payload
async def test_names_of_things(name: str, text: str, world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "pcg")
    client, url = world.console.client, "/api/v1"
    for called in (text, f"a{text}b", f"{PLAIN}\n"):
        answer = await client.post(f"{url}/gateways", json={"name": called, "cloud": "simulated"})
        assert (answer.status_code, answer.json()["field"]) == (422, "name")
        answer = await client.post(f"{url}/gateways", json={"name": "fine", "cloud": called})
        assert (answer.status_code, answer.json()["field"]) == (422, "cloud")
    for email in (text, f"{text}@people.example", f"me@{text}"):
        answer = await client.post(f"{url}/users", json={"email": email, "password": PASSWORD})
        if answer.status_code != 201:
            assert (answer.status_code, answer.json()["field"]) == (422, "email")
        else:
            assert not unseemly(answer.json()["email"])
    answer = await client.post(f"{url}/users", json={"email": "a@b", "password": PASSWORD, "role": text})
    assert (answer.status_code, answer.json()["field"]) == (422, "role")
    for called in (text, text[:128]):
        answer = await client.post(f"{url}/keys", json={"name": called})
        if answer.status_code != 201:
            assert (answer.status_code, answer.json()["field"]) == (422, "name")
        else:
            assert answer.json()["name"] == called
    answer = await client.put(f"{url}/gateways/{world.ids['registered']}/credentials", json={"ciphertext": text})
    assert (answer.status_code, answer.json()["field"]) == (422, "ciphertext")
    for path in ("/", "/users", "/keys", "/audit"):
        Shown((await _page(world, path)).text).check_inert()
    for record in caplog.records:
        assert not unseemly(record.getMessage()), record


@each_payload
async def test_the_configuration(name: str, text: str, world: World) -> None:
    url = f"/api/v1/gateways/{world.ids['registered']}"
    document = copy.deepcopy(FULL)
    for path in _leaves(FULL):
        changed = _with(document, path, text)
        try:
            _demand_storable(changed)
        except InvalidInput as error:
            named = ".".join(str(part) for part in path)
            assert error.field_name and named.startswith(error.field_name), (named, error.field_name)
            answer = await world.console.client.put(f"{url}/configuration", json=changed)
            assert answer.status_code == 422
            # Of a NUL that stands elsewhere already it is told first.
            assert "\x00" in text or answer.json()["field"] == error.field_name
        else:
            document = changed
    answer = await world.console.client.put(f"{url}/configuration", json=document)
    if "\x00" in text:
        # What PostgreSQL and a node's files cannot hold.
        assert answer.status_code == 422, answer.text
        assert answer.json()["field"]
        return
    assert answer.status_code == 200, answer.text
    assert not unseemly(answer.headers["etag"])
    again = await world.console.client.get(f"{url}/configuration")
    assert parse_configuration(again.json()["configuration"])[0] == parse_configuration(document)[0]
    for page in ("configuration", "configure", "configure?as=yaml"):
        hostile = Shown((await _page(world, f"/gateways/{world.ids['registered']}/{page}")).text)
        hostile.check_inert()
        if page == "configure" and document != FULL:
            assert text[:20].strip().replace("\r\n", "\n").replace("\r", "\n") in hostile.text.replace("\r", "\n")


@each_payload
async def test_forms_that_are_shown_again(name: str, text: str, world: World) -> None:
    gateway = f"/gateways/{world.ids['registered']}"
    unread = "\x00" in text  # a form with a NUL is not taken at all
    for path, fields in [
        ("/gateways", {"name": text[:9000], "cloud": text[:9000]}),
        ("/users", {"email": f"{text[:9000]} x", "role": text[:9000], "password": PASSWORD, "repeated": PASSWORD}),
        ("/keys", {"name": text[:9000] + "x" * 129}),
        ("/account", {"present": text[:9000], "password": PASSWORD, "repeated": PASSWORD}),
        ("/sign-in", {"email": text[:9000], "password": text[:9000], "next": text[:9000]}),
        (f"{gateway}/configure", {"do": "save", "kind": "yaml", "yaml": text, "etag": text[:9000]}),
        (
            f"{gateway}/configure",
            {"do": "show-yaml", "vcenter.address": text[:9000], "placement.0.cluster": text[:9000]},
        ),
        (
            f"{gateway}/configure",
            {"do": "save", "vcenter.address": text[:9000], "nodes.size": text[:9000], "cloud": text[:99]},
        ),
        (f"{gateway}/configure", {"do": text[:9000], f"placement.{text[:99]}.datacenter": text[:99]}),
    ]:
        answer = await _form(world, path, fields)
        assert answer.status in ((422,) if unread else (200, 401, 422)), (path, answer)
        Shown(answer.text).check_inert()
    for path in ("/sign-in?next=", "/setup?token=", "/new-password?token=", "/?after=", "/audit?after=", "/nothing/"):
        quoted = urlencode({"": text[:1500]})[1:]
        answer = await _page(world, path + quoted)
        if answer.status == 303:
            assert answer.headers["location"].startswith("/")
            assert not answer.headers["location"].startswith("//")
        else:
            Shown(answer.text).check_inert()


@each_payload
def test_what_an_installer_is_given(name: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    refused = []
    for code in (text, f"AAAAA-{text}", text * 3):
        with pytest.raises(InvalidInput) as caught:
            pairing_code.parse(code)
        refused.append(caught.value)
        assert caught.value.field_name == "pairing-code"
    for key in PROPERTIES:
        try:
            check_properties({key: text})
        except InvalidInput as error:
            assert error.field_name
            refused.append(error)
    with pytest.raises(InvalidInput) as caught:
        check_properties({text: "x"})
    refused.append(caught.value)
    for error in refused:
        show_failure(error, debug=False)
    shown = capsys.readouterr()
    assert not shown.out
    assert not unseemly(shown.err.replace("\n", ""))
    # Whatever was given stays within its own part of the block.
    parts = {"error:", "  field:", "  evidence:", "  cause:", "  remedy:", "  link:"}
    assert all(line.startswith(tuple(parts)) for line in shown.err.splitlines())


def _demand_storable(document: Any) -> None:
    """Raises InvalidInput, as the console does: by the rules of the fields, and by what they foretell."""
    for check in foreseen(parse_configuration(document)[0]):
        if check.ok is False and check.problem is not None:
            raise check.problem


def _leaves(document: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where the texts stand."""
    if isinstance(document, dict):
        for key, value in document.items():
            yield from _leaves(value, (*path, key))
    elif isinstance(document, list):
        for index, value in enumerate(document):
            yield from _leaves(value, (*path, index))
    elif isinstance(document, str):
        yield path


def _with(document: Any, path: tuple[str | int, ...], text: str) -> Any:
    changed = copy.deepcopy(document)
    part = changed
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = text
    return changed


async def _page(world: World, path: str) -> Raw:
    token = (await world.session("admin")).token
    cookie = [(b"cookie", f"{SESSION_COOKIE}={token}".encode()), (b"accept", b"text/html")]
    answer = await ask(world.console.app, "GET", path, cookie)
    assert answer.status < 500, answer
    return answer


async def _form(world: World, path: str, fields: dict[str, str]) -> Raw:
    token = (await world.session("admin")).token
    headers = [
        (b"cookie", f"{SESSION_COOKIE}={token}".encode()), (b"accept", b"text/html"), (b"origin", BASE.encode()),
        (b"content-type", b"application/x-www-form-urlencoded"),
    ]  # fmt: skip
    body = urlencode({**fields, CSRF_FIELD: csrf_token(token)}).encode()
    return await ask(world.console.app, "POST", path, headers, body)
