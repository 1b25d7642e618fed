"""A gateway's whole state directory in a thief's hands. He has its keys, so he has what they open, as docs/security.md
says. What pairing anew takes from him, and what he never gets."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from integration.attack.scene import VCENTER_PASSWORD, configure, secrets_of_code, stranger
from integration.attack.searching import files_of, found_in
from integration.gateway_console.conftest import Console, Gateway, until
from pcg.clock import SystemClock
from pcg.gateway.identity import StateDirectory
from pcg.gateway.reconciler import Reconciler
from pcg.gateway.steps.outcome import JetEndpoint
from pcg.model.desired import DesiredState
from pcg.sealing.boxes import open_credentials, open_sealed
from pcg.sealing.keys import GatewayKeys
from pcg.wire import frames


def desired_of(folder: Path) -> DesiredState:
    database = sqlite3.connect(folder / "gateway.db")
    try:
        (text,) = database.execute("SELECT value FROM memory WHERE key = 'desired'").fetchone()
    finally:
        database.close()
    return DesiredState.model_validate_json(text)


async def _working(console: Console, folder: Path) -> tuple[Gateway, str]:
    """A gateway that keeps on disk what a true one keeps."""
    state, code = StateDirectory(folder), (await console.create())["pairing_code"]
    with state.locked():
        gateway = Gateway(console, folder, keys=state.keys())
        state.register(await gateway.register(code))
    gateway.start()
    await gateway.up()
    await configure(console, gateway)
    reconciler = Reconciler(
        gateway_id=gateway.registration.gateway_id,
        gateway_name="one",
        jet=JetEndpoint(console.url, console.ca),
        keys=gateway.keys,
        store=gateway.store,
        clock=SystemClock(),
    )
    reconciler.want(gateway.wanted[-1])
    sealed = gateway.wanted[-1].jet_token
    assert sealed is not None
    state.put_jet_token(open_sealed(gateway.keys.opening, sealed))
    return gateway, code


async def test_what_a_thief_finds_and_what_pairing_anew_takes_from_him(console: Console, tmp_path: Path):
    gateway, code = await _working(console, tmp_path / "state")
    stolen = Path(shutil.copytree(gateway.folder, tmp_path / "stolen"))
    # The password stands there sealed, and the key that opens it beside it: he can read it.
    content = files_of(stolen)
    assert found_in(content, {"password": VCENTER_PASSWORD.encode(), **secrets_of_code("used", code)}) == []
    keys = GatewayKeys.from_json(json.loads((stolen / "keys.json").read_text()))
    kept = desired_of(stolen)
    assert kept.credentials is not None
    assert open_credentials(keys.opening, kept.credentials.ciphertext).password == VCENTER_PASSWORD
    token = (stolen / "jet" / "token").read_text()

    # He can take the gateway's place, and the true one is told that another process has taken over.
    thief = Gateway(console, stolen, keys=keys)
    thief.registration = gateway.registration
    thief.start()
    await thief.up()
    assert isinstance(await gateway.ended(), frames.Superseded)

    # A person pairs anew, with new keys: the thief is out, and what is entered from then on is not for his keys.
    gateway_id = gateway.registration.gateway_id
    answer = await console.client.post(f"/gateways/{gateway_id}/pairing-code")
    folder = tmp_path / "anew"
    folder.mkdir()
    anew = Gateway(console, folder)
    await anew.register(answer.json()["pairing_code"])
    ending = await thief.ended()
    assert isinstance(ending, frames.Farewell)
    assert ending.reason == "revoked"
    anew.start()
    await anew.up()
    await configure(console, anew)
    told = anew.wanted[-1]
    assert told.credentials is not None
    assert told.jet_token is not None
    for box in (told.credentials.ciphertext, told.jet_token):
        with pytest.raises(Exception, match="cannot be opened"):
            open_sealed(keys.opening, box)
    async with stranger(console, authorization=f"Bearer {token}") as client:
        answer = await client.post("/gateway/v1/jet", json={"version": "1"})
        assert (answer.status_code, answer.json()["reason"]) == (401, "token-rejected")
    for process in (gateway, thief, anew):
        await process.kill()


async def test_one_gateways_keys_are_worth_nothing_for_another(console: Console, tmp_path: Path):
    mine, _ = await _working(console, tmp_path / "mine")
    folder = tmp_path / "other"
    folder.mkdir()
    other = Gateway(console, folder)
    await other.register((await console.create("two"))["pairing_code"])
    other.start()
    await other.up()
    # The thief gives the other's id with the keys that he has.
    impostor = Gateway(console, tmp_path / "mine", keys=mine.keys)
    impostor.registration = other.registration
    impostor.start()
    await until(lambda: any("was not made with the key" in line for line in impostor.said), "a refusal")
    assert not impostor.session.was_connected.is_set()
    assert other.session.connected
    impostor.happen("written by another")
    other.happen("written by itself")
    await until(lambda: not other.store.pending()[1], "an acknowledgement")
    assert await console.messages(other.registration.gateway_id) == ["written by itself"]
    for process in (impostor, mine, other):
        await process.kill()


def test_nobody_else_on_the_machine_can_read_it(tmp_path: Path):
    state = StateDirectory(tmp_path / "state")
    with state.locked():
        state.keys()
        state.put_jet_token(b"token")
    assert (tmp_path / "state").stat().st_mode & 0o077 == 0
    for path in (tmp_path / "state").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
