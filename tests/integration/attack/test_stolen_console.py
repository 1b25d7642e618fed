"""The console's whole data folder in a thief's hands: database, CA with its key, server key, identity key.

What is tried is tried on the real console with what really stands in the files. What the thief can do with it is tested
as well (the last tests): docs/security.md says so, and what to do then.
"""

from __future__ import annotations

import base64
import json
import shutil
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from nacl.signing import SigningKey
from websockets.asyncio.client import connect

from integration.attack.scene import CONFIGURATION, VCENTER_PASSWORD, Scene, set_up, stranger
from integration.attack.searching import files_of, found_in, opener_in
from integration.gateway_console.conftest import EMAIL, Console, Gateway, Make, until
from pcg.clock import SystemClock
from pcg.console.auth import SESSION_COOKIE
from pcg.console.backup import backup
from pcg.console.backup_format import Cost
from pcg.errors import CredentialsRejected, InvalidInput
from pcg.network.trust import Trust
from pcg.sealing import encoding, signatures
from pcg.sealing.boxes import open_credentials, open_sealed, seal_credentials
from pcg.sealing.keys import GatewayKeys
from pcg.wire import frames
from pcg.wire.registration import RegistrationRequest


@pytest.fixture
async def scene(console: Console, tmp_path: Path) -> AsyncIterator[Scene]:
    folder = tmp_path / "gateway"
    folder.mkdir()
    gateway, code = Gateway(console, folder), (await console.create())["pairing_code"]
    await gateway.register(code)
    gateway.start()
    yield await set_up(console, gateway, code)
    await gateway.kill()


def rows(stolen: Path, table: str) -> list[dict[str, Any]]:
    database = sqlite3.connect(stolen / "console.db")
    database.row_factory = sqlite3.Row
    try:
        return [dict(row) for row in database.execute(f"SELECT * FROM {table}")]
    finally:
        database.close()


def tamper(console: Console, statement: str, *values: Any) -> None:
    """With the console's disk in hand, while it runs."""
    database = sqlite3.connect(console.data / "console.db", timeout=20)
    try:
        assert database.execute(statement, values).rowcount == 1
        database.commit()
    finally:
        database.close()


async def test_no_secret_of_others_is_in_any_file(scene: Scene, tmp_path: Path):
    content = files_of(scene.steal(tmp_path / "stolen"))
    assert {"console.db", "ca.pem", "identity.json", "server.key"} <= set(content)
    assert found_in(content, scene.secrets()) == []
    # The search would find them: the console's own keys are there, and so are the gateway's public ones.
    identity = bytes(scene.console.service.certificates.identity)
    assert found_in(content, {"identity": identity}) == ["identity in identity.json"]
    public = encoding.decode(scene.gateway.keys.public_sealing)
    assert any(file.startswith("public in console.db") for file in found_in(content, {"public": public}))


async def test_nothing_in_the_files_opens_the_sealed_password(scene: Scene, tmp_path: Path):
    stolen = scene.steal(tmp_path / "stolen")
    (row,) = [item for item in rows(stolen, "gateways") if item["id"] == scene.gateway_id]
    box, public = base64.b64decode(row["credentials_ciphertext"]), encoding.decode(row["sealing_key"])
    content = files_of(stolen)
    assert opener_in(content, public, box) is None
    # The same search succeeds as soon as the key is anywhere, in any encoding that this project writes.
    opening = bytes(scene.gateway.keys.opening)
    for spelling in (opening, opening.hex().encode(), encoding.encode(opening).encode()):
        assert opener_in({**content, "more": b"some " + spelling + b" more"}, public, box) is not None


async def test_a_code_that_was_not_used_cannot_be_used(scene: Scene, tmp_path: Path):
    stolen = scene.steal(tmp_path / "stolen")
    identity = json.loads((stolen / "identity.json").read_text())
    codes = {row["gateway_id"]: row["pairing_key"] for row in rows(stolen, "pairing_codes")}
    stored, mine = codes[scene.unused_gateway], GatewayKeys.generate()
    known = [mine.signing, SigningKey(encoding.decode(identity["identity-key"])), SigningKey(encoding.decode(stored))]
    async with stranger(scene.console) as client:
        for pairing in known:
            asked = (await client.get("/gateway/v1/identity")).json()
            parts = signatures.registration_parts(
                stored, mine.public_signing, mine.public_sealing, asked["console_id"], asked["identity_key"],
                asked["nonce"],
            )  # fmt: skip
            request = RegistrationRequest(
                pairing_key=stored,
                signing_key=mine.public_signing,
                sealing_key=mine.public_sealing,
                nonce=asked["nonce"],
                pairing_signature=signatures.sign(pairing, signatures.REGISTER, *parts),
                possession_signature=signatures.sign(mine.signing, signatures.REGISTER, *parts),
                installer_name="thief",
                software="",
            )
            answer = await client.post("/gateway/v1/register", json=request.model_dump())
            assert (answer.status_code, answer.json()["reason"]) == (403, "bad-signature")
    assert (await scene.console.get(f"/gateways/{scene.unused_gateway}"))["state"] == "awaiting-registration"


async def test_a_gateway_cannot_be_played_with_its_public_keys(scene: Scene, tmp_path: Path):
    stolen = scene.steal(tmp_path / "stolen")
    identity = json.loads((stolen / "identity.json").read_text())
    (row,) = [item for item in rows(stolen, "gateways") if item["id"] == scene.gateway_id]
    url = f"wss://127.0.0.1:{scene.console.relay.port}/gateway/v1/session"
    context = Trust.only_ca(scene.console.ca).context()
    for key in (row["signing_key"], row["sealing_key"], identity["identity-key"]):
        async with connect(url, ssl=context, proxy=None) as connection:
            hello = frames.Hello(versions=(1, 1), gateway_id=scene.gateway_id, nonce=signatures.new_nonce())
            await connection.send(frames.encode(hello))
            challenge = frames.decode(await connection.recv())
            assert isinstance(challenge, frames.Challenge)
            parts = signatures.session_parts(1, hello.gateway_id, challenge.console_id, hello.nonce, challenge.nonce)
            thief = SigningKey(encoding.decode(key))
            signature = signatures.sign(thief, signatures.SESSION_GATEWAY, *parts)
            await connection.send(frames.encode(frames.Proof(signature=signature, term=0, writer="thief")))
            refusal = frames.decode(await connection.recv())
            assert isinstance(refusal, frames.Refusal)
            assert refusal.reason == "bad-proof"
    assert scene.gateway.session.connected


async def test_hashes_are_no_keys_and_no_cookies(scene: Scene, tmp_path: Path):
    stolen = scene.steal(tmp_path / "stolen")
    (user,) = rows(stolen, "users")
    hashes = [row["key_hash"] for row in rows(stolen, "api_keys")] + [row["id"] for row in rows(stolen, "api_keys")]
    hashes += [row["token_hash"] for row in rows(stolen, "web_sessions")]
    hashes += [str(row["value"]) for row in rows(stolen, "settings")]
    jet = [row["jet_token_hash"] for row in rows(stolen, "gateways") if row["jet_token_hash"]]
    assert len(hashes) >= 4
    assert len(jet) == 1
    for value in (*hashes, *jet, user["password_hash"]):
        for headers in ({"authorization": f"Bearer {value}"}, {"cookie": f"{SESSION_COOKIE}={value}"}):
            async with stranger(scene.console, **headers) as client:
                assert (await client.get("/api/v1/gateways")).status_code == 401
                answer = await client.post("/gateway/v1/jet", json={"version": "1"})
                assert (answer.status_code, answer.json()["reason"]) == (401, "token-rejected")
    with pytest.raises(CredentialsRejected):
        await scene.console.service.accounts.check_password(user["email"], user["password_hash"])
    # What the hashes are of does open the doors, at the very same console.
    async with stranger(scene.console, authorization=f"Bearer {scene.api_key}") as client:
        assert (await client.get("/api/v1/gateways")).status_code == 200
    async with stranger(scene.console, authorization=f"Bearer {scene.jet_token.decode()}") as client:
        assert (await client.post("/gateway/v1/jet", json={"version": "1"})).status_code == 200


_THUMBPRINT = ":".join(["AB"] * 32)
_ELSEWHERE: list[dict[str, Any]] = [
    {"address": "127.0.0.1:9666"},
    {"username": "svc-pcg-2"},
    {"trust": {"thumbprint": _THUMBPRINT}},
    {"trust": {"ca": "-----BEGIN CERTIFICATE-----\nthief\n-----END CERTIFICATE-----\n"}},
]


@pytest.mark.parametrize("changes", _ELSEWHERE, ids=["address", "account", "thumbprint", "ca"])
async def test_a_configuration_edited_on_disk_does_not_lead_the_password_elsewhere(
    scene: Scene, changes: dict[str, Any], tmp_path: Path
):
    edited = {**CONFIGURATION, "vcenter": {**CONFIGURATION["vcenter"], **changes}}
    tamper(
        scene.console,
        "UPDATE gateways SET configuration = ?, generation = generation + 1 WHERE id = ?",
        json.dumps(edited),
        scene.gateway_id,
    )
    scene.console.relay.cut()
    await until(lambda: scene.gateway.wanted[-1].generation > 2, "the edited configuration")
    told = scene.gateway.wanted[-1]
    assert told.configuration is not None
    assert told.credentials is not None
    credentials = open_credentials(scene.gateway.keys.opening, told.credentials.ciphertext)
    assert not credentials.fits(scene.gateway_id, told.configuration.vcenter)
    assert (credentials.address, credentials.username) == ("127.0.0.1:9443", "svc-pcg")


async def test_the_password_is_not_opened_when_it_is_called_jets_token(scene: Scene):
    """Jet's token goes back to the console: a password that were opened as one would be told to the thief."""
    tamper(
        scene.console,
        "UPDATE gateways SET jet_token_sealed = credentials_ciphertext, generation = generation + 1 WHERE id = ?",
        scene.gateway_id,
    )
    scene.console.relay.cut()
    await until(lambda: scene.gateway.wanted[-1].generation > 2, "the edited token")
    told = scene.gateway.wanted[-1]
    assert told.credentials is not None
    assert told.jet_token == told.credentials.ciphertext
    with pytest.raises(InvalidInput) as caught:
        open_sealed(scene.gateway.keys.opening, told.jet_token)
    assert VCENTER_PASSWORD not in str(caught.value)


async def test_a_password_of_another_gateway_is_not_used(scene: Scene):
    other = seal_credentials(
        scene.gateway.keys.public_sealing, "another gateway", scene.gateway.wanted[-1].configuration.vcenter, "p"  # type: ignore[union-attr]
    )  # fmt: skip
    tamper(scene.console, "UPDATE gateways SET credentials_ciphertext = ? WHERE id = ?", other, scene.gateway_id)
    scene.console.relay.cut()
    await until(lambda: scene.gateway.wanted[-1].credentials.ciphertext == other, "the other one")  # type: ignore[union-attr]
    told = scene.gateway.wanted[-1]
    assert told.configuration is not None
    assert not open_credentials(scene.gateway.keys.opening, other).fits(scene.gateway_id, told.configuration.vcenter)


async def test_a_backup_without_its_passphrase_is_noise(scene: Scene, tmp_path: Path):
    file = tmp_path / "backup"
    backup(file, scene.console.data, "four words are enough", SystemClock(), cost=Cost(1, 64, 1))
    content = {"backup": file.read_bytes()}
    certificates = scene.console.service.certificates
    more = {"identity": bytes(certificates.identity), "console id": certificates.console_id.encode()}
    more |= {"public": scene.gateway.keys.public_sealing.encode(), "gateway id": scene.gateway_id.encode()}
    assert found_in(content, {**scene.secrets(), **more, "SQLite": b"SQLite format 3"}) == []


async def test_what_a_thief_can_read(scene: Scene, tmp_path: Path):
    """Said plainly in docs/security.md: what is no secret of the console's is not encrypted. A password that somebody
    writes into the configuration itself, as of a proxy, is no exception."""
    document = {**CONFIGURATION, "proxy": {"https": "http://user:proxy-password@127.0.0.1:3128"}}
    answer = await scene.console.client.put(f"/gateways/{scene.gateway_id}/configuration", json=document)
    assert answer.status_code == 200, answer.text
    content = files_of(scene.steal(tmp_path / "stolen"))
    readable = {"e-mail": EMAIL, "vCenter": "127.0.0.1:9443", "event": "it began", "proxy": "proxy-password"}
    found = found_in(content, {name: text.encode() for name, text in readable.items()})
    assert {item.partition(" in ")[0] for item in found} == set(readable)


# What the thief can do: he has the keys with which the console proves itself.


async def _thief(console: Console, folder: Path) -> Console:
    """A console of his own from the stolen folder, to which the network now leads. The true one is away, because two
    in one process would take each other's signals."""
    await console.stop()
    thief = Console(folder, console.relay)
    await thief.start()
    return thief


async def test_with_the_keys_he_is_the_console_to_gateways_on_his_network(scene: Scene, tmp_path: Path):
    """Said plainly in docs/security.md."""
    thief = await _thief(scene.console, scene.steal(tmp_path / "stolen"))
    try:
        scene.gateway.happen("told to the thief")
        await until(lambda: thief.service.presence.connected(scene.gateway_id), "the gateway at the thief's console")
        await until(lambda: not scene.gateway.store.pending()[1], "an acknowledgement by the thief")
        assert (await thief.messages(scene.gateway_id))[-1] == "told to the thief"
    finally:
        await thief.stop()


async def test_a_new_identity_and_pairing_anew_shut_the_thief_out(scene: Scene, make: Make, tmp_path: Path):
    """The remedy: a folder without the stolen keys, and every gateway paired anew with the new pin."""
    console, stolen = scene.console, scene.steal(tmp_path / "stolen")
    old_pin = console.pin
    await console.stop()
    for name in ("identity.json", *(path.name for path in console.data.glob("ca*.pem"))):
        (console.data / name).unlink()
    await console.start()
    assert console.pin != old_pin
    answer = await console.client.post(f"/gateways/{scene.gateway_id}/pairing-code")
    assert answer.status_code in (200, 201), answer.text
    folder = tmp_path / "anew"
    shutil.copytree(scene.gateway.folder, folder)
    anew = Gateway(console, folder)
    await anew.register(answer.json()["pairing_code"])
    anew.start()
    await anew.up()
    assert anew.registration.gateway_id == scene.gateway_id

    before = len(anew.said)
    thief = await _thief(console, stolen)
    try:
        await until(lambda: any("certificate" in line for line in anew.said[before:]), "a refusal")
        assert not anew.session.connected
        assert not thief.service.presence.connected(scene.gateway_id)
    finally:
        await thief.stop()
        await anew.kill()
