"""Every recorded transcript again: the console must still answer what it answered then, or more."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from doubles.gateway import ADMIN, Line, line
from pcg.console.api.gateway_side import router
from pcg.console.api.problems import register_problems
from pcg.console.hub import Hub
from pcg.console.releases import Releases
from pcg.wire import versions
from wire import stage

HERE = Path(__file__).parent
SESSIONS = sorted(path for path in HERE.glob("v*/*.json") if path.stem != "registration")
REGISTRATIONS = sorted(HERE.glob("v*/registration.json"))

_FOR_PEOPLE = {"message", "detail", "title", "evidence", "cause", "remedy", "link"}
"""words may be improved"""


def _still_says(now: Any, then: Any, where: str = "") -> None:
    """All that was said then; what was added since does not disturb an older gateway."""
    if isinstance(then, dict):
        assert isinstance(now, dict), where
        for key in then.keys() - _FOR_PEOPLE:
            assert key in now, f"{where}.{key} is missing"
            _still_says(now[key], then[key], f"{where}.{key}")
    elif isinstance(then, list):
        assert isinstance(now, list), where
        assert len(now) == len(then), where
        for place, (one, other) in enumerate(zip(now, then, strict=True)):
            _still_says(one, other, f"{where}[{place}]")
    else:
        assert now == then, where


async def _next(end: Line) -> Any:
    async with asyncio.timeout(10):
        return json.loads(await end.receive())


@pytest.mark.parametrize("path", SESSIONS, ids=lambda path: f"{path.parent.name}-{path.stem}")
async def test_a_session(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    transcript = json.loads(path.read_text())
    stage.fix_chance(monkeypatch)
    async with stage.stage(tmp_path, transcript["given"]) as service:
        hub, (mine, theirs) = Hub(service), line()
        serving = asyncio.create_task(hub.serve(theirs, "192.0.2.1"))
        asked: asyncio.Task[Any] | None = None
        for number, spoken in enumerate(transcript["lines"]):
            ((who, what),) = spoken.items()
            if who == "gateway":
                await mine.send(json.dumps(what))
            elif who == "console":
                _still_says(await _next(mine), what, f"line {number}")
            elif who == "ask":
                asked = asyncio.create_task(hub.request(stage.GATEWAY_ID, what, {}, ADMIN))
            elif who == "person":
                await stage.act(service, what)
            else:
                assert asked is not None
                assert (who, await asked) == ("answered", what)
        if not transcript["console_ends"]:
            await mine.close()
        async with asyncio.timeout(10):
            await serving
        # Nothing more was said than then.
        assert mine.inbox.get_nowait() is None


@pytest.mark.parametrize("path", REGISTRATIONS, ids=lambda path: path.parent.name)
async def test_registration_and_jet(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    stage.fix_chance(monkeypatch)
    async with stage.stage(tmp_path, "codes") as service:
        app = FastAPI()
        releases = Releases(tmp_path / "artifacts", service.certificates)
        app.include_router(router(service, Hub(service), releases))
        register_problems(app)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://console.test") as client:
            for number, exchange in enumerate(json.loads(path.read_text())):
                where = f"exchange {number}: {exchange['path']}"
                answer = await client.request(
                    exchange["method"], exchange["path"], json=exchange["body"], headers=exchange["headers"]
                )
                assert answer.status_code == exchange["status"], where
                _still_says(answer.json(), exchange["answer"], where)
                if answer.status_code != 200:
                    assert answer.headers["content-type"] == "application/problem+json"
                if exchange["path"].endswith("/register"):
                    await service.clock.advance(1)  # type: ignore[attr-defined]


async def test_every_version_that_is_spoken_has_its_transcripts():
    recorded = {int(path.parent.name.removeprefix("v")) for path in SESSIONS} & {
        int(path.parent.name.removeprefix("v")) for path in REGISTRATIONS
    }
    assert recorded >= set(range(versions.LOWEST, versions.CURRENT + 1))
