"""Somebody between installer and console who opens TLS. With the pin he gets nothing; with a CA of his that the
installer was made to trust it is told here which attacks are left, and which are not (docs/security.md)."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from nacl.signing import SigningKey
from starlette.requests import Request
from starlette.responses import Response

from integration.attack.interceptor import Interceptor
from integration.attack.scene import CONFIGURATION, VCENTER_PASSWORD, configure, secrets_of_code, stranger
from integration.attack.searching import found_in
from integration.gateway.conftest import Authority, ConsoleDouble
from integration.gateway_console.conftest import Console, Gateway, until
from pcg.clock import SystemClock
from pcg.errors import Refused
from pcg.gateway import bootstrap
from pcg.gateway.backoff import Backoff
from pcg.gateway.bootstrap_steps import BootstrapSteps
from pcg.gateway.identity import Registration
from pcg.gateway.installer import InstallSettings, check
from pcg.model.configuration import parse_configuration
from pcg.model.desired import DesiredState
from pcg.network.pins import spki_pin
from pcg.sealing import encoding, signatures
from pcg.sealing.boxes import open_credentials, open_sealed, seal_credentials
from pcg.sealing.keys import GatewayKeys, fingerprint
from pcg.wire import frames


@pytest.fixture
async def interceptor(console: Console, tmp_path: Path) -> AsyncIterator[Interceptor]:
    folder = tmp_path / "interceptor"
    folder.mkdir()
    async with Interceptor(folder, console.relay.target).serving() as made:
        yield made


class FakeConsole(ConsoleDouble):
    """Takes every registration, whatever the code."""

    async def _register(self, request: Request) -> Response:
        self.pairing_key = json.loads(await request.body())["pairing_key"]
        return await super()._register(request)


class Misled:
    """The console as a gateway knows it whose endpoint is the interceptor's."""

    def __init__(self, url: str) -> None:
        self.url = url


async def register(gateway: Gateway, url: str, code: str, **trust: str) -> Registration:
    """Once: what would be tried again for ever gives up after it."""
    settings = InstallSettings(url, gateway.folder, code, give_up_after=0.001, installer_name="appliance", **trust)  # type: ignore[arg-type]
    steps = BootstrapSteps(SystemClock(), gateway.said.append)
    gateway.registration = await bootstrap.register(
        check(settings), gateway.keys, SystemClock(), steps, Backoff(0.01, 0.02)
    )
    return gateway.registration


@pytest.fixture
def victim(console: Console, interceptor: Interceptor, tmp_path: Path) -> Gateway:
    folder = tmp_path / "victim"
    folder.mkdir()
    return Gateway(Misled(interceptor.url), folder, way="polling")  # type: ignore[arg-type]


async def still_waiting(console: Console, made: dict[str, Any]) -> None:
    """The code was not used up, and no key was taken for the gateway's."""
    seen = await console.get(f"/gateways/{made['gateway']['id']}")
    assert (seen["state"], seen["sealing_key"]) == ("awaiting-registration", None)


# With the pin.


@pytest.mark.parametrize("shows", ["the true CA", "its own CA"])
async def test_with_the_pin_he_gets_nothing(
    console: Console, interceptor: Interceptor, victim: Gateway, shows: str, monkeypatch: pytest.MonkeyPatch
):
    """Whichever CA he shows to the one fetch without trust, and whatever this machine's own CAs are."""
    monkeypatch.setenv("SSL_CERT_FILE", str(_file(victim.folder.parent, interceptor.ca)))
    made = await console.create()
    if shows == "its own CA":
        interceptor.swap(console.ca, interceptor.ca.ljust(len(console.ca), "\n"))
    with pytest.raises(Refused) as caught:
        await register(victim, interceptor.url, made["pairing_code"], ca_pin=console.pin)
    expected = "is not the one that was pinned" if shows == "its own CA" else "certificate"
    assert expected in " ".join([caught.value.what, *caught.value.evidence])
    assert bool(interceptor.swapped) == (shows == "its own CA")
    # One request came through, for what is public, and nothing else was said.
    assert bytes(interceptor.said).count(b"\r\n\r\n") == interceptor.said.count(b"GET /gateway/v1/ca HTTP/1.1") >= 1
    assert found_in({"said": bytes(interceptor.said)}, secrets_of_code("the", made["pairing_code"])) == []
    assert victim.keys.public_signing.encode() not in interceptor.said
    await still_waiting(console, made)


async def test_the_command_refuses_although_everything_else_here_trusts_him(
    console: Console, interceptor: Interceptor, tmp_path: Path
):
    """`pcg install` as a person runs it, where the machine's CAs, and the one for its proxy, are the interceptor's."""
    made = await console.create()
    theirs, code = _file(tmp_path, interceptor.ca), tmp_path / "code"
    code.write_text(made["pairing_code"])
    command = [
        sys.executable,
        "-m",
        "pcg.cli.main",
        "install",
        "--endpoint",
        interceptor.url,
        "--pairing-code-file",
        str(code),
    ]
    command += ["--ca-pin", console.pin]
    command += ["--proxy-ca-file", str(theirs), "--state", str(tmp_path / "state")]
    environment = {**os.environ, "SSL_CERT_FILE": str(theirs), "REQUESTS_CA_BUNDLE": str(theirs)}
    process = await asyncio.create_subprocess_exec(
        *command, "--give-up-after", "0.5", env=environment, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(60):
        _, told = await process.communicate()
    assert process.returncode == 4, told
    assert b"certificate" in told
    assert b"Traceback" not in told
    assert set(_requests(interceptor)) == {"GET /gateway/v1/ca"}
    assert made["pairing_code"].encode() not in told
    await still_waiting(console, made)


# With his CA in the place of the console's.


async def test_he_relays_and_reads_but_neither_code_nor_password(
    console: Console, interceptor: Interceptor, victim: Gateway
):
    made = await console.create()
    await register(victim, interceptor.url, made["pairing_code"], ca=interceptor.ca)
    victim.start()
    await victim.up()
    await configure(console, victim)
    victim.happen("what happens can be read")
    await until(lambda: not victim.store.pending()[1], "an acknowledgement")
    seen = {"said": bytes(interceptor.said), "heard": bytes(interceptor.heard)}
    wanted = victim.wanted[-1]
    assert wanted.jet_token is not None
    secrets = {
        **secrets_of_code("the", made["pairing_code"]),
        "password": VCENTER_PASSWORD.encode(),
        "token": open_sealed(victim.keys.opening, wanted.jet_token),
        "signing key": bytes(victim.keys.signing),
        "opening key": bytes(victim.keys.opening),
        "seed of the cluster": victim.keys.cluster_seed,
        "identity": bytes(console.service.certificates.identity),
    }
    assert found_in(seen, secrets) == []
    assert b"what happens can be read" in seen["said"]
    assert wanted.jet_token.encode() in seen["heard"]
    # Both sides show the same fingerprint: these are the keys to which a password is sealed.
    shown = await console.get(f"/gateways/{victim.registration.gateway_id}")
    assert shown["fingerprint"] == fingerprint(victim.keys.public_signing, victim.keys.public_sealing)
    await victim.kill()


@pytest.mark.parametrize("what", ["signing key", "sealing key", "both keys", "identity", "nonce"])
async def test_he_cannot_change_a_registration(console: Console, interceptor: Interceptor, victim: Gateway, what: str):
    made, mine = await console.create(), GatewayKeys.generate()
    if what in ("signing key", "both keys"):
        interceptor.swap(victim.keys.public_signing, mine.public_signing)
    if what in ("sealing key", "both keys"):
        interceptor.swap(victim.keys.public_sealing, mine.public_sealing)
    if what == "identity":
        his = encoding.encode(bytes(SigningKey.generate().verify_key))
        interceptor.swap(console.service.certificates.identity_key, his)
    if what == "nonce":
        async with stranger(console) as client:
            other = (await client.get("/gateway/v1/identity")).json()["nonce"]
        pattern = re.compile(rb'"nonce":"[A-Za-z0-9_-]{' + str(len(other)).encode() + rb'}"')
        interceptor.swaps_of_said.append((pattern, f'"nonce":"{other}"'.encode()))
    with pytest.raises(Refused) as caught:
        await register(victim, interceptor.url, made["pairing_code"], ca=interceptor.ca)
    assert caught.value.reason == "bad-signature"
    assert interceptor.swapped > 0
    await still_waiting(console, made)
    # Without him the same code is still good.
    interceptor.swaps.clear()
    interceptor.swaps_of_said.clear()
    await register(victim, interceptor.url, made["pairing_code"], ca=interceptor.ca)


async def test_what_he_overhears_registers_nobody_else(console: Console, interceptor: Interceptor, victim: Gateway):
    """He holds one registration back and makes of its parts one for his own keys."""
    made, mine = await console.create(), GatewayKeys.generate()
    bodies = await _overheard(victim, interceptor, made["pairing_code"])
    async with stranger(console) as client:
        for body in bodies:
            asked = (await client.get("/gateway/v1/identity")).json()
            parts = signatures.registration_parts(
                body["pairing_key"], mine.public_signing, mine.public_sealing, asked["console_id"],
                asked["identity_key"], asked["nonce"],
            )  # fmt: skip
            possession = signatures.sign(mine.signing, signatures.REGISTER, *parts)
            his = {"signing_key": mine.public_signing, "sealing_key": mine.public_sealing}
            tries = [
                {**body, **his},
                {**body, **his, "possession_signature": possession},
                {**body, **his, "possession_signature": possession, "nonce": asked["nonce"]},
                {**body, "sealing_key": mine.public_sealing},
                {**body, "nonce": asked["nonce"]},
            ]
            for changed in tries:
                answer = await client.post("/gateway/v1/register", json=changed)
                assert (answer.status_code, answer.json()["reason"]) == (403, "bad-signature")
        await still_waiting(console, made)
        # Word for word it is what the installer wanted: the installer's own registration, with its keys.
        answer = await client.post("/gateway/v1/register", json=bodies[-1])
        assert answer.status_code == 200
    shown = await console.get(f"/gateways/{made['gateway']['id']}")
    assert shown["sealing_key"] == victim.keys.public_sealing


async def test_a_password_put_in_by_him_is_not_the_persons_and_does_not_fit(
    console: Console, interceptor: Interceptor, victim: Gateway
):
    """He knows the key to seal to, so he can put another box in the place of the person's; he cannot read that one, and
    to be used it must fit the address: with both he sends the gateway to a vCenter of his, with a password of his."""
    made = await console.create()
    await register(victim, interceptor.url, made["pairing_code"], ca=interceptor.ca)
    victim.start()
    await victim.up()
    await configure(console, victim)
    told = victim.wanted[-1]
    assert told.credentials is not None
    assert told.configuration is not None
    vcenter = {**CONFIGURATION["vcenter"], "address": "127.0.0.1:9666"}
    elsewhere, _ = parse_configuration({**CONFIGURATION, "vcenter": vcenter})
    his = "x" * len(VCENTER_PASSWORD)
    box = seal_credentials(victim.keys.public_sealing, victim.registration.gateway_id, elsewhere.vcenter, his)
    await victim.kill()
    interceptor.swap(told.credentials.ciphertext, box)
    victim.wanted.clear()
    victim.start()
    await victim.up()
    await until(lambda: victim.wanted, "the changed desired state")
    changed = victim.wanted[-1]
    assert changed.credentials is not None
    assert changed.configuration is not None
    assert changed.credentials.ciphertext == box
    opened = open_credentials(victim.keys.opening, changed.credentials.ciphertext)
    assert not opened.fits(victim.registration.gateway_id, changed.configuration.vcenter)
    assert opened.password == his
    assert found_in({"seen": bytes(interceptor.said + interceptor.heard)}, {"p": VCENTER_PASSWORD.encode()}) == []
    await victim.kill()


async def test_a_session_through_him_is_his(console: Console, interceptor: Interceptor, victim: Gateway):
    """The limit, said plainly in docs/security.md: frames are proven at the session's begin and protected by TLS after
    it. Whoever an installer was made to trust as its console's CA reads them and puts in his own."""
    victim.way = "websocket"
    made = await console.create()
    await register(victim, interceptor.url, made["pairing_code"], ca=interceptor.ca)
    victim.start()
    await victim.up()
    his = DesiredState(generation=99, incarnation=9, mode="delete")
    await interceptor.inject(frames.encode(frames.Desired(state=his)))
    await until(lambda: his in victim.wanted, "his desired state")
    assert (await console.get(f"/gateways/{victim.registration.gateway_id}"))["state"] == "pending"
    await victim.kill()


async def test_a_fake_console_wins_an_installer_and_nothing_at_the_true_one(console: Console, tmp_path: Path):
    """The worst that a wrong --ca-file does: the installer serves a stranger. He has neither the person's gateway nor a
    password, and the true console goes on saying that nobody has registered."""
    authority = Authority(tmp_path)
    fake = FakeConsole(authority)
    config = uvicorn.Config(
        fake.app(), host="127.0.0.1", port=0, log_config=None, ws="websockets-sansio", lifespan="off",
        ssl_certfile=str(authority.certificate), ssl_keyfile=str(authority.key),
    )  # fmt: skip
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server._serve())
    while not server.started:
        await asyncio.sleep(0.01)
    url = f"https://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    made, folder = await console.create(), tmp_path / "victim"
    folder.mkdir()
    victim = Gateway(Misled(url), folder)  # type: ignore[arg-type]
    try:
        await register(victim, url, made["pairing_code"], ca=authority.ca)
        assert victim.registration.identity_key == fake.identity_key
        assert found_in({"body": fake.bodies[-1]}, secrets_of_code("the", made["pairing_code"])) == []

        # What he was given is signed for his identity key: at the true console it is worth nothing.
        async with stranger(console) as client:
            asked = (await client.get("/gateway/v1/identity")).json()
            for changed in ({}, {"nonce": asked["nonce"]}):
                body = {**json.loads(fake.bodies[-1]), **changed}
                answer = await client.post("/gateway/v1/register", json=body)
                assert answer.json()["reason"] in ("nonce-expired", "bad-signature")
        await still_waiting(console, made)

        # Nobody can be brought to enter a password for it there: there is no key to seal it to.
        path = f"/gateways/{made['gateway']['id']}"
        answer = await console.client.put(f"{path}/credentials", json={"ciphertext": "A" * 88})
        assert answer.status_code == 409, answer.text

        # The person sees it: the installer says that it is registered, the console says that it waits.
        assert spki_pin(authority.ca) != console.pin
        assert any("registered" in line or "as first" in line for line in victim.said)
    finally:
        server.should_exit = server.force_exit = True
        await serving


async def test_a_gateway_of_the_true_console_is_not_won_by_a_fake_one(
    console: Console, interceptor: Interceptor, victim: Gateway
):
    """Even with his CA trusted: the identity key of the registration is not his."""
    made = await console.create()
    await register(victim, interceptor.url, made["pairing_code"], ca=interceptor.ca)
    identity = console.service.certificates.identity
    interceptor.swap(console.service.certificates.console_id, "0" * 36)
    victim.start()
    await until(lambda: any("is not the console" in line for line in victim.said), "a refusal")
    assert not victim.session.was_connected.is_set()
    assert bytes(identity) not in interceptor.said
    assert b'"proof"' not in interceptor.said
    await victim.kill()


async def _overheard(victim: Gateway, interceptor: Interceptor, code: str) -> list[dict[str, Any]]:
    """What an installer sends, made for the true console, of which the console has not heard yet."""
    interceptor.swap("POST /gateway/v1/register", "POST /gateway/v1/registex")
    with pytest.raises(Refused):
        await register(victim, interceptor.url, code, ca=interceptor.ca)
    interceptor.swaps.clear()
    bodies = [
        json.loads(part.partition(b"\r\n\r\n")[2][: int(_length(part))])
        for part in bytes(interceptor.said).split(b"POST /gateway/v1/register")[1:]
    ]
    assert bodies
    return bodies


def _file(folder: Path, pem: str) -> Path:
    path = folder / "theirs.pem"
    path.write_text(pem)
    return path


def _requests(interceptor: Interceptor) -> list[str]:
    heads = [part.split(b"\r\n")[0] for part in bytes(interceptor.said).split(b"\r\n\r\n") if part]
    return [" ".join(head.decode().split(" ")[:2]) for head in heads]


def _length(part: bytes) -> str:
    (line,) = [line for line in part.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    return line.partition(b":")[2].decode().strip()
