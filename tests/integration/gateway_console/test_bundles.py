"""Logs of a gateway on their way to the console, by the real parts of both: collected, carried, compared, looked at."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import stat
import subprocess
import sys
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from pcg.clock import SystemClock
from pcg.gateway.bundle_answer import BundleAnswer
from pcg.gateway.identity import StateDirectory
from pcg.model.configuration import Vcenter
from pcg.sealing.boxes import seal_credentials

from .conftest import Console, Gateway, Make, until

SECRET = "q7h3-only-this-gateway-knows"
FULL = "Feb  3 07:11:00 node-a app[1]: write /var/lib/x: no space left on device\n"


class Machine:
    """A gateway with its machine's logs; `answer` belongs to the process, sessions come and go."""

    def __init__(self, gateway: Gateway, root: Path) -> None:
        self.gateway = gateway
        self.root = root
        self.answer: BundleAnswer
        self._running: asyncio.Task[Any]

    def start(self) -> None:
        self.answer = BundleAnswer(StateDirectory(self.gateway.folder), SystemClock(), root=self.root)
        self._running = asyncio.create_task(self.answer.run())
        self.gateway.requests["bundle"] = self.answer.answer

    async def stop(self) -> None:
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)


@pytest.fixture
async def machine(make: Make, tmp_path: Path) -> AsyncIterator[Machine]:
    gateway = await make()
    logs = tmp_path / "machine/var/log"
    logs.mkdir(parents=True)
    (logs / "syslog").write_text(f"Feb  3 07:10:00 node-a app[1]: password={SECRET}\n" + FULL)
    noise = os.urandom(1 << 20).hex()
    (logs / "kern.log").write_text("\n".join(noise[at : at + 100] for at in range(0, len(noise), 100)))
    made = Machine(gateway, tmp_path / "machine")
    made.start()
    await gateway.up()
    yield made
    await made.stop()


async def followed(console: Console, bundle: dict[str, Any], *states: str) -> dict[str, Any]:
    async with asyncio.timeout(60):
        while True:
            now = await console.get(f"/bundles/{bundle['id']}")
            if now["state"] in (states or ("ready", "failed")):
                return dict(now)
            await asyncio.sleep(0.02)


async def away(console: Console, machine: Machine) -> str:
    """The gateway's path, once the console knows that it is gone."""
    await machine.gateway.kill()
    path = f"/gateways/{machine.gateway.registration.gateway_id}"
    while (await console.get(path))["connected"]:
        await asyncio.sleep(0.01)
    return path


async def asked(console: Console, machine: Machine, **wish: Any) -> dict[str, Any]:
    path = f"/gateways/{machine.gateway.registration.gateway_id}/bundles"
    answer = await console.client.post(path, json=wish or None)
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"/api/v1/bundles/{answer.json()['id']}"
    return dict(answer.json())


async def test_asked_for_carried_and_looked_at(console: Console, machine: Machine) -> None:
    bundle = await asked(console, machine)
    ready = await followed(console, bundle)
    assert ready["state"] == "ready", ready
    assert [found["scenario"] for found in ready["analysis"]["findings"]] == ["disk-full"]
    assert {"name": "tmp/kubelet.log"}.items() <= next(
        item for item in ready["analysis"]["missing"] if "kubelet" in item["name"]
    ).items()
    answer = await console.client.get(f"/bundles/{bundle['id']}/archive")
    assert answer.status_code == 200
    assert answer.headers["content-disposition"] == f'attachment; filename="{ready["name"]}"'
    assert (len(answer.content), hashlib.sha256(answer.content).hexdigest()) == (ready["size"], ready["sha256"])
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as tar:
        names = tar.getnames()
        texts = [tar.extractfile(name).read() for name in names]  # type: ignore[union-attr]
    assert {"var/log/syslog", "pcg/steps.json", "pcg/findings.json", "pcg/settings.json", "manifest.json"} <= {*names}
    assert not [name for name, text in zip(names, texts, strict=True) if SECRET.encode() in text]
    folder = console.data / "bundles" / bundle["id"]
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes == {"archive.tgz": 0o600, "bundle.json": 0o600}
    assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700
    await until(lambda: not (machine.gateway.folder / "bundle").exists(), "the gateway let it go")
    audited = [entry["action"] for entry in (await console.get("/audit"))["items"]]
    assert audited.count("bundle-asked") == audited.count("bundle-downloaded") == 1
    assert "gateway-asked" not in audited


async def test_one_at_a_time_and_the_last_three_are_kept(console: Console, machine: Machine) -> None:
    path = f"/gateways/{machine.gateway.registration.gateway_id}/bundles"
    first = await asked(console, machine, pseudonyms=True)
    again = await console.client.post(path)
    assert (again.status_code, again.json()["reason"]) == (409, "bundle-under-way")
    (machine.root / "var/log/kern.log").unlink()
    last = first
    for _ in range(3):
        await followed(console, last)
        last = await asked(console, machine)
    await followed(console, last)
    kept = [item["id"] for item in (await console.get(path))["items"]]
    assert len(kept) == 3 and kept[0] == last["id"]
    assert (await console.client.get(f"/bundles/{first['id']}")).status_code == 404
    assert {item.name for item in (console.data / "bundles").iterdir()} == {*kept}


async def test_a_session_that_breaks_goes_on_where_it_was(console: Console, machine: Machine) -> None:
    console.relay.cut_after = 600 * 1024
    bundle = await asked(console, machine)
    ready = await followed(console, bundle)
    assert (ready["state"], ready["problem"]) == ("ready", None)
    assert ready["size"] > 900 * 1024
    assert console.relay.connections > 3


async def test_a_console_that_is_started_anew_goes_on(console: Console, machine: Machine) -> None:
    console.relay.cut_after = 700 * 1024
    bundle = await asked(console, machine)
    receiving = await followed(console, bundle, "receiving")
    while not receiving["received"]:
        receiving = await followed(console, bundle, "receiving")
    await console.stop()
    begun = (console.data / "bundles" / bundle["id"] / "archive.part").stat().st_size
    assert 0 < begun < receiving["size"]
    console.relay.cut_after = None
    asked_for = list[Any]()
    answer = machine.gateway.requests["bundle"]

    async def noted(arguments: dict[str, Any]) -> dict[str, Any]:
        asked_for.append((arguments["action"], arguments["offset"]))
        return await answer(arguments)

    machine.gateway.requests["bundle"] = noted
    await console.start()
    ready = await followed(console, bundle)
    assert ready["state"] == "ready", ready
    assert min(offset for action, offset in asked_for if action == "chunk") >= begun


async def test_a_gateway_that_is_started_anew_has_none_any_longer(console: Console, machine: Machine) -> None:
    console.relay.cut_after = 700 * 1024
    bundle = await asked(console, machine)
    await followed(console, bundle, "receiving")
    await machine.stop()
    machine.start()
    failed = await followed(console, bundle)
    assert (failed["state"], failed["problem"]["reason"]) == ("failed", "bundle-unknown")
    assert failed["problem"]["remedy"]
    assert (await console.client.get(f"/bundles/{bundle['id']}/archive")).status_code == 409
    console.relay.cut_after = None
    assert (await followed(console, await asked(console, machine)))["state"] == "ready"


async def test_a_gateway_that_is_away_is_not_asked(console: Console, machine: Machine) -> None:
    path = await away(console, machine)
    answer = await console.client.post(f"{path}/bundles")
    assert (answer.status_code, answer.json()["reason"]) == (503, "gateway-away")
    assert (await console.get(f"{path}/bundles"))["items"] == []


async def test_the_command_saves_it_and_tells_what_it_shows(console: Console, machine: Machine, tmp_path: Path) -> None:
    key = console.client.headers["authorization"].removeprefix("Bearer ")
    environment = {**os.environ, "PCG_CONSOLE": console.url, "PCG_CA_PIN": console.pin, "PCG_API_KEY": key}
    command = [sys.executable, "-m", "pcg.cli.main", "gateway", "bundle", "one", "--output-dir", str(tmp_path)]

    async def run(*options: str) -> tuple[int, str, str]:
        child = await asyncio.create_subprocess_exec(
            *command, *options, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        out, err = await child.communicate()
        return child.returncode or 0, out.decode(), err.decode()

    code, out, err = await run()
    assert code == 0, err
    saved = Path(out.strip())
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600
    assert "error: disk-full/node-disk-full" in err and "tmp/kubelet.log" in err
    saved.unlink()
    code, out, err = await run("--pseudonyms", "--output", "json")
    assert code == 0, err
    told = json.loads(out)
    assert (told["state"], told["pseudonyms"], Path(told["path"]).stat().st_size) == ("ready", True, told["size"])
    await away(console, machine)
    code, _, err = await run()
    assert code and "no session with the console" in err and "Traceback" not in err


async def test_a_machine_s_own_command_with_what_its_gateway_knows(machine: Machine, tmp_path: Path) -> None:
    """Beside the running gateway and without root: `pcg bundle create` reads this very machine, whatever is on it."""
    gateway = machine.gateway
    keys = StateDirectory(gateway.folder).keys()
    vcenter = Vcenter.model_validate({"address": "vc.example.com", "username": "u", "trust": {}})
    sealed = seal_credentials(keys.public_sealing, "g", vcenter, SECRET)
    gateway.store.put("desired", json.dumps({"mode": "run", "credentials": {"ciphertext": sealed, "version": "1"}}))
    problem = {"reason": "x", "what": f"refused with {SECRET}", "at": "2026-06-01T12:00:00Z"}
    steps = {"generation": 1, "steps": [{"name": "connect", "state": "failed", "last_error": problem}]}
    gateway.store.put("steps", json.dumps(steps))
    made = await asyncio.to_thread(
        subprocess.run,
        [
            *(sys.executable, "-m", "pcg.cli.main", "bundle", "create", "--state", str(gateway.folder)),
            *("--output-dir", str(tmp_path), "--output", "json", "--support-address", "support@example.com"),
        ],
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert made.returncode == 0, made.stderr
    told = json.loads(made.stdout)
    assert told["support_address"] == "support@example.com"
    items = {item["name"]: item for item in told["manifest"]["items"]}
    for name in ("steps", "findings", "events", "settings", "probes"):
        assert not items[f"pcg/{name}.json"]["skipped"], items
    with tarfile.open(told["path"]) as tar:
        texts = {member.name: tar.extractfile(member).read() for member in tar if member.isfile()}  # type: ignore[union-attr]
    assert b"refused with" in texts["pcg/steps.json"]
    assert not [name for name, text in texts.items() if SECRET.encode() in text or sealed.encode() in text]
