"""`pcg doctor` without a path, as a person runs it: real processes, on machines that are well and that are not."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pcg.cli.client import open_console
from pcg.cli.demo_stack import Stack

BENCH = Path(__file__).parents[2] / "bench" / "bench_doctor_live.py"
NOBODY = "127.0.0.1:9"
"""a port where nobody listens"""


async def doctor(*arguments: str | Path) -> tuple[int, dict[str, Any], str]:
    """Exit code, the result, and what was shown meanwhile. It sends nothing beyond this machine."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PCG_")}
    command = [sys.executable, "-m", "pcg.cli.main", "doctor", *map(str, arguments), "--no-dhcp", "--output", "json"]
    asked = await asyncio.create_subprocess_exec(
        *command, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(60):
        told, shown = await asked.communicate()
    return asked.returncode or 0, json.loads(told) if told else {}, shown.decode()


def found(told: dict[str, Any]) -> list[str]:
    return [f"{finding['scenario']}/{finding['cause']}" for finding in told["findings"]]


async def test_a_healthy_installer_and_one_whose_console_is_away(tmp_path: Path) -> None:
    stack = Stack(cloud="simulated", speed=20, folder=tmp_path / "stack")
    state, logs = stack.folder / "gateway", tmp_path / "logs"
    logs.mkdir()
    try:
        await stack.start_console()
        async with open_console(await stack.login()) as console:
            created = await console.call("POST", "/gateways", {"name": "one", "cloud": "simulated"})
        await stack.start_installer(created["pairing_code"])
        log = stack.parts["installer"].log
        async with asyncio.timeout(60):
            while not log.exists() or "manager: done" not in log.read_text():
                await asyncio.sleep(0.05)
        shutil.copy(log, logs / "cloud-init-output.log")

        code, told, shown = await doctor("--state", state, "--logs", logs)
        assert (code, found(told)) == (0, []), told
        ways = {probe["probe"]: probe["answer"] for probe in told["probes"] if probe["about"] == "console"}
        assert ways == dict.fromkeys(["name", "route", "tcp", "tls", "http", "websocket"], "passed")
        assert "console websocket" in shown
        assert not [one for one in told["checked"] if one["answer"] == "cannot-tell"]

        await stack.parts["console"].kill()
        await stack.parts["installer"].kill()
        code, told, _ = await doctor("--state", state, "--logs", logs)
        assert (code, found(told)) == (1, ["gateway-disconnected/connection-refused"])

        before = sorted(path.name for path in state.iterdir())
        await doctor("--state", state, "--logs", logs)
        assert sorted(path.name for path in state.iterdir()) == before, "it only looks"
    finally:
        await stack.close()


@pytest.mark.parametrize(
    "options,code,findings",
    [
        ([], 3, []),
        (["--endpoint", f"https://{NOBODY}"], 1, ["installer-not-registered/connection-refused"]),
        (
            ["--endpoint", "https://console.example.com", "--name-servers", NOBODY],
            1,
            ["installer-not-registered/name-not-resolved"],
        ),
        (
            ["--endpoint", "https://console.example.com", "--https-proxy", f"http://{NOBODY}"],
            1,
            ["installer-not-registered/proxy-unreachable"],
        ),
    ],
)
async def test_a_machine_before_its_installer(
    tmp_path: Path, options: list[str], code: int, findings: list[str]
) -> None:
    told = await doctor("--state", tmp_path / "none", "--logs", tmp_path, *options)
    assert (told[0], found(told[1])) == (code, findings)
    assert "Traceback" not in told[2]
    assert not (tmp_path / "none").exists()


def test_a_person_sees_each_hop_and_what_to_do(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pcg.cli.main", "doctor", "--no-dhcp", "--state", str(tmp_path / "none")]
    ended = subprocess.run(
        [*command, "--logs", str(tmp_path), "--endpoint", f"https://{NOBODY}"],
        env={name: value for name, value in os.environ.items() if not name.startswith("PCG_")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    lines = ended.stdout.splitlines()
    assert lines[0].split() == ["ABOUT", "HOP", "TARGET", "ANSWER", "SECONDS", "TOLD"]
    assert any(line.split()[:4] == ["console", "tcp", NOBODY, "connection-refused"] for line in lines)
    assert "error: installer-not-registered/connection-refused" in lines
    assert any(line.startswith("  remedy ") for line in lines)
    assert "  disk-full" not in ended.stdout, "there is room here, whether an installer is or not"
    assert f"console tcp {NOBODY}: failed connection-refused" in ended.stderr


@pytest.mark.parametrize(
    "options,reason",
    [
        (["--endpoint", "https://console.example.com/x"], "endpoint"),
        (["--ca-pin", "sha256:12"], "ca-pin"),
        (["--https-proxy", "socks5://127.0.0.1:1080"], "proxy"),
        (["--name-servers", "ns.example.com"], "name servers"),
        (["--esxi-host", "esxi:port"], "esxi host"),
    ],
)
async def test_what_is_typed_wrongly_is_refused(tmp_path: Path, options: list[str], reason: str) -> None:
    code, told, shown = await doctor("--state", tmp_path, "--logs", tmp_path, *options)
    assert (code, told) == (2, {})
    assert reason in shown.lower()
    assert "Traceback" not in shown


def _can_make_namespaces() -> bool:
    if os.geteuid() != 0 or not all(shutil.which(tool) for tool in ("unshare", "ip")):
        return False
    command = ["unshare", "--net", "ip", "link", "add", "a0", "type", "veth", "peer", "name", "b0"]
    return subprocess.run(command, capture_output=True, timeout=20, check=False).returncode == 0


@pytest.mark.skipif(not _can_make_namespaces(), reason="network namespaces need root, unshare and ip")
def test_with_everything_unreachable_it_ends_in_time() -> None:
    ended = subprocess.run([sys.executable, BENCH], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert told["ratio"] < 1
    assert told["exit"] == 1
    assert told["findings"] == ["gateway-disconnected/connection-timed-out"]
    everybody = {"console", "vcenter", "esxi-hosts", "image", "time", "addresses", "api-server", "disk"}
    assert set(told["asked_about"]) == everybody
