"""A console that was restored from a backup, and gateways that have gone on since."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pcg.cli.gateway import gateway as gateway_command
from pcg.clock import SystemClock
from pcg.console.backup import backup
from pcg.console.backup_format import Cost
from pcg.console.restore import restore
from pcg.console.store.models import Gateway as Row
from pcg.model.records import GatewayStatus

from .conftest import Console, Gateway, Make, until

PASSPHRASE = "four words are enough"
CONFIGURATION: dict[str, Any] = {
    "cloud": "simulated",
    "vcenter": {"address": "127.0.0.1:9443", "username": "svc-pcg"},
    "placement": [{"datacenter": "dc-1", "cluster": "c-1", "datastore": "ds-1", "network": "VM Network"}],
    "template": {"image": "https://127.0.0.1/node-1.30.ova"},
    "nodes": {"count": 1, "size": "small"},
}


@pytest.fixture(params=["websocket", "polling"])
def way(request: pytest.FixtureRequest) -> str:
    """Nothing of this depends on the transport."""
    return str(request.param)


async def _backup(console: Console, file: Path) -> Path:
    await asyncio.to_thread(backup, file, console.data, PASSPHRASE, SystemClock(), cost=Cost(1, 64, 1))
    return file


async def _restore(console: Console, file: Path) -> None:
    """The console is stopped already."""
    restored = await asyncio.to_thread(restore, file, console.data, PASSPHRASE, SystemClock(), replace=True)
    assert restored.kept is not None
    # Its name holds seconds only: another restore within this one must find it gone.
    restored.kept.rename(file.with_name(f"{file.name}-was-replaced-by"))
    await console.start()


async def _told(console: Console, gateway_id: str, count: int) -> list[str]:
    async with asyncio.timeout(20):
        while len(messages := await console.messages(gateway_id)) < count:
            await asyncio.sleep(0.02)
    return messages


async def _stays(console: Console, gateway_id: str, messages: list[str]) -> None:
    await asyncio.sleep(0.2)
    assert await console.messages(gateway_id) == messages


async def _configure(console: Console, gateway: Gateway, size: str = "small") -> None:
    document = {**CONFIGURATION, "nodes": {"count": 1, "size": size}}
    answer = await console.client.put(f"{_path(gateway)}/configuration", json=document)
    assert answer.status_code == 200, answer.text


async def _carried_out(console: Console, gateway: Gateway, generation: int, incarnation: int = 1) -> None:
    """The gateway was sent it, and tells so."""
    want = (generation, incarnation)
    await until(
        lambda: gateway.wanted and (gateway.wanted[-1].generation, gateway.wanted[-1].incarnation) == want,
        f"generation {generation}, was sent {[state.generation for state in gateway.wanted]}",
    )
    gateway.observed.tell(GatewayStatus(generation=generation, incarnation=incarnation))
    told = gateway.observed.now.model_dump(mode="json")
    async with asyncio.timeout(20):
        while await _status(console, gateway) != told:
            await asyncio.sleep(0.02)


async def _status(console: Console, gateway: Gateway) -> dict[str, Any] | None:
    async with console.service.database.read() as session:
        row = await session.get(Row, _id(gateway))
        return None if row is None else row.status


def _id(gateway: Gateway) -> str:
    return gateway.registration.gateway_id


def _path(gateway: Gateway) -> str:
    return f"/gateways/{_id(gateway)}"


async def _conditions(console: Console, gateway: Gateway) -> dict[str, str]:
    seen = await console.get(_path(gateway))
    return {item["name"]: item["message"] for item in seen["conditions"]}


async def _is_ahead(console: Console, gateway: Gateway) -> str:
    async with asyncio.timeout(20):
        while "console-restored" not in (found := await _conditions(console, gateway)):
            await asyncio.sleep(0.02)
    return found["console-restored"]


async def _agree(console: Console, gateway: Gateway) -> dict[str, Any]:
    answer = await console.client.post(f"{_path(gateway)}/agree-restored")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


# Events


async def test_a_gateway_sends_again_what_the_restored_console_has_not(console: Console, make: Make, tmp_path: Path):
    gateway = await make()
    await gateway.up()
    for number in range(3):
        gateway.happen(f"before {number}")
    before = await _told(console, _id(gateway), 3)
    file = await _backup(console, tmp_path / "backup")

    # Some of what follows is acknowledged by the console that will be lost, the rest stays in the gateway's outbox.
    gateway.happen("acknowledged, then lost with the console")
    await _told(console, _id(gateway), 4)
    await until(lambda: not gateway.store.pending()[1], "an acknowledgement")
    identity, pin = gateway.registration.identity_key, console.pin
    await console.stop()
    for number in range(3):
        gateway.happen(f"after {number}")
    await _restore(console, file)
    assert (console.service.certificates.identity_key, console.pin) == (identity, pin)

    lost = "acknowledged, then lost with the console"
    assert await _told(console, _id(gateway), 7) == [*before, lost, "after 0", "after 1", "after 2"]
    await gateway.up()
    # Another process takes over, although the restored console knows lower terms than it once gave.
    second = await make(process_of=gateway, disk="second")
    await second.up()
    second.happen("taken over")
    assert (await _told(console, _id(gateway), 8))[-1] == "taken over"
    await asyncio.sleep(0.1)
    assert len(await console.messages(_id(gateway))) == 8


async def test_events_of_processes_that_came_and_went_after_the_backup_come_again_once(
    console: Console, make: Make, tmp_path: Path
):
    """The restored console has never heard of their writers, and restores of restores change nothing of it."""
    gateway = await make()
    await gateway.up()
    gateway.happen("before")
    await _told(console, _id(gateway), 1)
    first = await _backup(console, tmp_path / "first")
    messages = ["before"]
    for number in range(3):
        await gateway.kill()
        gateway = await make(process_of=gateway)
        await gateway.up()
        for part in range(100):
            gateway.happen(f"process {number}, {part}")
            messages.append(f"process {number}, {part}")
        await _told(console, _id(gateway), len(messages))
    await until(lambda: not gateway.store.pending()[1], "an acknowledgement")

    await console.stop()
    await _restore(console, first)
    assert await _told(console, _id(gateway), len(messages)) == messages
    second = await _backup(console, tmp_path / "second")
    gateway.happen("after the first restore")
    messages.append("after the first restore")
    await _told(console, _id(gateway), len(messages))
    for file in (second, first):
        await console.stop()
        file = file.rename(file.with_name(f"{file.name}-again"))
        await _restore(console, file)
        assert await _told(console, _id(gateway), len(messages)) == messages
    console.relay.cut()
    await _stays(console, _id(gateway), messages)
    await until(lambda: not gateway.store.pending()[1], "all of it acknowledged again")


# What is wanted


async def test_a_newer_generation_waits_for_a_person_and_then_for_what_they_save(
    console: Console, make: Make, tmp_path: Path
):
    gateway = await make()
    await gateway.up()
    await _configure(console, gateway, "small")
    await _carried_out(console, gateway, 1)
    file = await _backup(console, tmp_path / "backup")
    for generation, size in ((2, "medium"), (3, "large")):
        await _configure(console, gateway, size)
        await _carried_out(console, gateway, generation)
    assert "console-restored" not in await _conditions(console, gateway)

    await console.stop()
    sent = len(gateway.wanted)
    await _restore(console, file)
    told = await _is_ahead(console, gateway)
    assert "newer desired state (generation 3) than this restored console knows (1)" in told
    for method, path in (("PUT", "/configuration"), ("POST", "/reset"), ("DELETE", ""), ("DELETE", "?force=true")):
        body = CONFIGURATION if method == "PUT" else None
        answer = await console.client.request(method, f"{_path(gateway)}{path}", json=body)
        assert (answer.status_code, answer.json()["reason"]) == (409, "console-restored"), path
        assert "pcg gateway agree" in " ".join(answer.json()["remedy"])

    seen = await _agree(console, gateway)
    assert (seen["generation"], seen["incarnation"], seen["agreed_unsaved"]) == (3, 1, True)
    assert "console-restored" not in await _conditions(console, gateway)
    known = await console.get(f"{_path(gateway)}/configuration")
    assert known["configuration"]["nodes"]["size"] == "small"
    console.relay.cut()
    await until(lambda: not gateway.session.connected, "the cut is noticed")
    await gateway.up()
    await asyncio.sleep(0.2)
    assert gateway.wanted[sent:] == [], "what runs there stays"

    await _configure(console, gateway, "small")
    await _carried_out(console, gateway, 4)
    assert gateway.wanted[-1].configuration is not None
    assert gateway.wanted[-1].configuration.nodes.size == "small"
    assert (await console.get(_path(gateway)))["agreed_unsaved"] is False
    assert "console-restored" not in await _conditions(console, gateway)


async def test_a_gateway_without_anything_newer_goes_on_by_itself(console: Console, make: Make, tmp_path: Path):
    gateway = await make()
    await gateway.up()
    await _configure(console, gateway)
    await _carried_out(console, gateway, 1)
    file = await _backup(console, tmp_path / "backup")
    await console.stop()
    gateway.wanted.clear()
    await _restore(console, file)
    await _carried_out(console, gateway, 1)
    assert "console-restored" not in await _conditions(console, gateway)
    await _configure(console, gateway, "medium")
    await _carried_out(console, gateway, 2)


async def test_two_restores_in_a_row_to_before_the_agreement(console: Console, make: Make, tmp_path: Path):
    gateway = await make()
    await gateway.up()
    await _configure(console, gateway, "small")
    await _carried_out(console, gateway, 1)
    file = await _backup(console, tmp_path / "backup")
    assert (await console.client.post(f"{_path(gateway)}/reset")).status_code == 200
    await _carried_out(console, gateway, 2, 2)
    generation = 2
    for _ in range(2):
        await console.stop()
        file = file.rename(file.with_name(f"{file.name}-again"))
        await _restore(console, file)
        told = await _is_ahead(console, gateway)
        assert f"(generation {generation} of incarnation 2) than this restored console knows (1 of 1)" in told
        await _agree(console, gateway)
        await _configure(console, gateway, "large")
        generation += 1
        await _carried_out(console, gateway, generation, 2)


async def test_a_gateway_that_was_offline_is_asked_about_when_it_comes(console: Console, make: Make, tmp_path: Path):
    """What is saved meanwhile reaches its generation, and must not pass for what it has."""
    gateway = await make()
    await gateway.up()
    await _configure(console, gateway, "small")
    await _carried_out(console, gateway, 1)
    file = await _backup(console, tmp_path / "backup")
    await _configure(console, gateway, "medium")
    await _carried_out(console, gateway, 2)
    observed = gateway.observed
    await gateway.kill()
    await console.stop()
    await _restore(console, file)
    assert "console-restored" not in await _conditions(console, gateway)
    await _configure(console, gateway, "large")
    assert (await console.get(_path(gateway)))["generation"] == 2

    gateway = await make(process_of=gateway)
    gateway.observed.tell(observed.now)
    await gateway.up()
    assert "(generation 2)" in await _is_ahead(console, gateway)
    await _agree(console, gateway)
    assert gateway.wanted == []
    await _configure(console, gateway, "large")
    await _carried_out(console, gateway, 3)
    assert gateway.wanted[-1].configuration is not None
    assert gateway.wanted[-1].configuration.nodes.size == "large"


# Unknown gateways


async def test_a_gateway_made_after_the_backup_keeps_trying_and_says_why(console: Console, make: Make, tmp_path: Path):
    file = await _backup(console, tmp_path / "backup")
    gateway = await make()
    await gateway.up()
    gateway.happen("one")
    await _told(console, _id(gateway), 1)
    whole = await _backup(console, tmp_path / "whole")
    await console.stop()
    await _restore(console, file)
    for _ in range(2):
        gateway.said.clear()
        await until(lambda: any("next try" in line for line in gateway.said), "it tries again")
    assert any("does not know this gateway. The console was restored from a backup" in line for line in gateway.said)
    assert not gateway.running.done()
    assert (await console.client.get(_path(gateway))).status_code == 404

    # The right backup was found: it is there again, with all that it has told and tells.
    gateway.happen("two")
    await console.stop()
    await _restore(console, whole)
    assert await _told(console, _id(gateway), 2) == ["one", "two"]


async def test_the_agreement_by_command(console: Console, make: Make, monkeypatch: pytest.MonkeyPatch):
    gateway = await make()
    await gateway.up()
    await _configure(console, gateway)
    await _carried_out(console, gateway, 1)
    environment = {
        "PCG_CONSOLE": console.url,
        "PCG_CA_PIN": console.pin,
        "PCG_API_KEY": console.client.headers["authorization"].removeprefix("Bearer "),
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    for generation, said in ((1, "nothing to agree to"), (8, "agreed; what runs there stays")):
        gateway.observed.tell(GatewayStatus(generation=generation, incarnation=1))
        if generation == 8:
            await _is_ahead(console, gateway)
        done = await asyncio.to_thread(CliRunner().invoke, gateway_command, ["agree", "one", "--yes"])
        assert (done.exit_code, said in done.output) == (0, True), done.output
    assert (await console.get(_path(gateway)))["generation"] == 8
