"""The commands of a person at a terminal, run as they are run, against a console that holds only hostile names."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from integration.gateway_console.conftest import Console, serving
from pcg.model.records import FINDING_CLOSED, GatewayStatus
from pcg.model.states import Role
from pcg.wire import frames

from .hostile import PAYLOADS, event_of, status_of, unseemly

COMMANDS = (
    "gateway list", "gateway show one", "gateway events one", "gateway machines one", "gateway steps one",
    "gateway findings one", "gateway findings one --all", "user list", "key list",
)  # fmt: skip


# Every test only reads, so all of them ask one console.
pytestmark = pytest.mark.shared


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def told(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Console]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        async with serving(tmp_path_factory.mktemp("told") / "console", monkeypatch) as made:
            await _tell(made)
            yield made


async def _tell(served: Console) -> None:
    """A gateway that has told every hostile name in every field, and people who used them too."""
    made = (await served.create())["gateway"]["id"]
    reports = served.service.reports
    events = [
        frames.Report.model_validate({"writer": "w", "number": number, "event": event_of(text)})
        for number, text in enumerate(PAYLOADS.values(), start=1)
    ]
    await reports.store_reports(made, events)
    statuses = [status_of(text) for text in PAYLOADS.values()]
    over = [
        {**event_of(text), "reason": FINDING_CLOSED, "finding": told["findings"][0]}
        for text, told in zip(PAYLOADS.values(), statuses, strict=True)
    ]
    await reports.store_reports(
        made,
        [
            frames.Report.model_validate({"writer": "findings", "number": number, "event": event})
            for number, event in enumerate(over, start=1)
        ],
    )
    steps = [
        {**statuses[0]["steps"][index], "task": text[:512]} for index, text in enumerate(list(PAYLOADS.values())[:10])
    ]
    problem = {**statuses[0]["steps"][0]["last_error"], "evidence": [text[:1000] for text in PAYLOADS.values()]}
    steps[3] = {**steps[3], "last_error": problem}
    whole = {
        **statuses[0],
        "steps": steps,
        "machines": [machine for told in statuses for machine in told["machines"]],
        "findings": [told["findings"][0] for told in statuses],
    }
    await reports.store_status(made, 1, 1, GatewayStatus.model_validate(whole))
    for number, text in enumerate(PAYLOADS.values()):
        answer = await served.client.post("/keys", json={"name": text[:128]})
        assert answer.status_code in (201, 422)
        email = f"{text[:20]}{number}@people.example"
        answer = await served.client.post("/users", json={"email": email, "password": "correct horse battery"})
        assert answer.status_code in (201, 422)


@pytest.mark.parametrize("command", COMMANDS)
async def test_no_name_moves_the_terminal(command: str, told: Console, tmp_path: Path) -> None:
    for form in ("text", "json"):
        code, out, errors = await _run(told, tmp_path, *command.split(), "--output", form)
        assert code == 0, errors
        assert not errors
        assert not unseemly(out.replace("\n", "")), form
        if form == "json":
            assert json.loads(out)
        elif command == "gateway events one":
            # One event, one line, whatever it says; beside a finding one of evidence and one of what to do.
            assert len(out.splitlines()) == len(PAYLOADS) + 3 * len(PAYLOADS)
        elif command == "gateway findings one --all":
            assert out.count(", over since 2026-") == len(PAYLOADS)
        elif command == "gateway machines one":
            assert len(out.splitlines()) == len(PAYLOADS) + 1


async def test_what_is_not_found_is_named_harmlessly(told: Console, tmp_path: Path) -> None:
    for name in ("terminal", "eight-bit-terminal", "bidi", "lines", "controls"):
        text = PAYLOADS[name]
        code, out, errors = await _run(told, tmp_path, "gateway", "show", "--", text)
        assert (code, out) == (1, "")
        assert not unseemly(errors.replace("\n", ""))
        assert all(line.startswith(("error:", "  ")) for line in errors.splitlines())


async def _run(served: Console, folder: Path, *arguments: str) -> tuple[int, str, str]:
    admin = await served.service.accounts.check_password("admin@example.com", "correct horse battery")
    assert admin.role is Role.ADMIN
    key = await served.service.accounts.create_key(admin, "terminal")
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONUTF8": "1",
        "PCG_CONSOLE": served.url, "PCG_CA_PIN": served.pin, "PCG_API_KEY": key.key,
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pcg.cli.main", *arguments,
        env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(60):
        out, told = await process.communicate()
    return process.returncode or 0, out.decode(), told.decode()
