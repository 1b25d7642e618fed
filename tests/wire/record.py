"""Writes the transcripts of the present version: `PYTHONPATH=tests python -m wire.record`. Not run by the tests.

Each scene is what a gateway says, in order; whatever the console answers is recorded and read over by a person before
it is kept.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from doubles.gateway import ADMIN, Line, line, registration
from pcg.console.api.gateway_side import router
from pcg.console.api.problems import register_problems
from pcg.console.hub import Hub
from pcg.console.releases import Releases
from pcg.errors import Unreachable
from pcg.sealing import signatures
from pcg.wire import versions
from pcg.wire.registration import ConsoleIdentity
from wire import stage

FOLDER = Path(__file__).parent / f"v{versions.CURRENT}"
HELLO = {
    "type": "hello",
    "versions": [1, 1],
    "gateway_id": stage.GATEWAY_ID,
    "nonce": "Z2F0ZXdheQ",
    "software": "pcg 1",
}
EVENT = {
    "at": "2026-06-01T11:59:00Z",
    "severity": "info",
    "reason": "StepDone",
    "message": "The step connect is done.",
    "step": "connect",
    "machine": None,
    "fields": {"seconds": "1.5"},
}


def proof(number: int = 1, term: int = 0, hello: dict[str, Any] = HELLO) -> dict[str, Any]:
    parts = signatures.session_parts(1, hello["gateway_id"], stage.CONSOLE_ID, hello["nonce"], stage.NONCE)
    signature = signatures.sign(stage.keys(number).signing, signatures.SESSION_GATEWAY, *parts)
    return {"type": "proof", "signature": signature, "term": term, "writer": "a1b2c3"}


def reports(*numbers: int) -> dict[str, Any]:
    return {"type": "reports", "reports": [{"writer": "a1b2c3", "number": n, "event": EVENT} for n in numbers]}


def status(generation: int, revision: int, **parts: Any) -> dict[str, Any]:
    steps = [{"name": "connect", "state": "done", "since": "2026-06-01T11:58:00Z", "task": "", "seconds": 1.5}]
    whole = {"generation": generation, "incarnation": 1, "steps": steps, "machines": [], "conditions": [], **parts}
    return {"type": "status", "term": 1, "revision": revision, "status": {**whole, "findings": []}}


STRANGER = {**HELLO, "gateway_id": "00000000-0000-4000-8000-000000000000"}
FUTURE = {"of-a-newer-gateway": {"a": [1]}}

SESSIONS: dict[str, tuple[str, str, list[Any]]] = {
    "first": ("After pairing: nothing is wanted yet.", "paired", [HELLO, proof(), {"type": "heartbeat"}, "close"]),
    "work": (
        "A configured gateway: what is wanted, status, events, one of them twice, a request, then a reset.",
        "configured",
        [
            HELLO, proof(), status(3, 1), reports(1, 2), reports(2, 3), "ask inventory",
            {"type": "response", "id": "request-1", "ok": True, "body": {"machines": []}}, "person reset", "close",
        ],
    ),
    "newer": (
        "A newer gateway sends fields that this version does not know.", "configured",
        [
            {**HELLO, "versions": [1, 9], **FUTURE}, {**proof(), **FUTURE}, {**status(3, 1), **FUTURE},
            {**reports(1), **FUTURE}, "close",
        ],
    ),
    "back": ("The same process comes back with its term.", "taken-over", [HELLO, proof(term=5), reports(1), "close"]),
    "superseded": ("Another process has taken over.", "taken-over", [HELLO, proof(term=4)]),
    "revoked": ("Another installer was paired with the gateway.", "replaced", [HELLO, proof()]),
    "deleting": ("A clean gateway gets its farewell.", "deleting", [HELLO, proof(), status(4, 1, clean=True)]),
    "forced": ("Deleted by force while away: clean up first.", "deleted", [HELLO, proof(), status(4, 1, clean=True)]),
    "gone": ("It missed its farewell.", "gone", [HELLO, proof()]),
    "unknown-gateway": ("A restored console may not know it.", "unknown", [STRANGER, proof(hello=STRANGER)]),
    "bad-proof": ("Another's keys.", "paired", [HELLO, proof(3)]),
    "version": ("No common version.", "paired", [{**HELLO, "versions": [1000, 1001]}]),
    "out-of-order": ("Reports before the proof.", "paired", [reports(1)]),
    "unknown-type": ("A type of frame that nobody knows.", "paired", [{"type": "surprise"}]),
}  # fmt: skip


async def record_session(folder: Path, what: str, given: str, says: list[Any]) -> dict[str, Any]:
    async with stage.stage(folder, given) as service:
        hub, (mine, theirs), lines = Hub(service), line(), []
        serving = asyncio.create_task(hub.serve(theirs, "192.0.2.1"))
        asked: asyncio.Task[Any] | None = None
        for say in says:
            if say == "close":
                await mine.close()
                break
            if isinstance(say, dict):
                lines.append({"gateway": say})
                await mine.send(json.dumps(say))
            elif say.startswith("ask "):
                lines.append({"ask": say.removeprefix("ask ")})
                asked = asyncio.create_task(hub.request(stage.GATEWAY_ID, say.removeprefix("ask "), {}, ADMIN))
            else:
                lines.append({"person": say.removeprefix("person ")})
                await stage.act(service, say.removeprefix("person "))
            lines += [{"console": frame} async for frame in _answers(mine)]
        if asked is not None:
            lines.append({"answered": await asked})
        await serving
    return {
        "version": versions.CURRENT,
        "what": what,
        "given": given,
        "lines": lines,
        "console_ends": says[-1] != "close",
    }


async def _answers(mine: Line) -> AsyncIterator[Any]:
    """Whatever comes before it is quiet for a moment."""
    while True:
        try:
            async with asyncio.timeout(0.5):
                yield json.loads(await mine.receive())
        except (TimeoutError, Unreachable):
            return


async def record_registration(folder: Path) -> list[dict[str, Any]]:
    """Each exchange: path, headers and body in; status and answer out."""
    exchanges: list[dict[str, Any]] = []
    async with stage.stage(folder, "codes") as service:
        app = FastAPI()
        releases = Releases(folder / "artifacts", service.certificates)
        app.include_router(router(service, Hub(service), releases))
        register_problems(app)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://console.test") as client:

            async def exchange(method: str, path: str, body: Any = None, token: str = "") -> Any:
                headers = {"authorization": f"Bearer {token}"} if token else {}
                answer = await client.request(method, path, json=body, headers=headers)
                exchanges.append(
                    {"method": method, "path": path, "headers": headers, "body": body}
                    | {"status": answer.status_code, "answer": answer.json()}
                )
                return answer.json()

            async def register(code: str, number: int, **changed: Any) -> None:
                identity = ConsoleIdentity.model_validate(await exchange("GET", "/gateway/v1/identity"))
                request = registration(code, stage.keys(number), identity, **changed)
                await exchange("POST", "/gateway/v1/register", request.model_dump(mode="json"))
                # Chance is fixed, so the next nonce must differ by its time.
                await service.clock.advance(1)  # type: ignore[attr-defined]

            await register(stage.UNKNOWN_CODE, 1)
            await register(stage.EXPIRED_CODE, 1)
            await register(stage.REPLACED_CODE, 1)
            await register(stage.CODE, 1, pairing_signature="A" * 86)
            await register(stage.CODE, 1)
            await register(stage.CODE, 1)
            await register(stage.CODE, 2)
            used = exchanges[-3]["body"]
            await exchange("POST", "/gateway/v1/register", used)
            await exchange("POST", "/gateway/v1/jet", {"node": "n", "instance": "i", "place": "cluster"}, "jet_wrong")
    return exchanges


async def main() -> None:
    for name, (what, given, says) in SESSIONS.items():
        with tempfile.TemporaryDirectory() as folder:
            _write(name, await record_session(Path(folder), what, given, says))
    with tempfile.TemporaryDirectory() as folder:
        _write("registration", await record_registration(Path(folder)))


def _write(name: str, document: Any) -> None:
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.json").write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    with pytest.MonkeyPatch.context() as patched:
        stage.fix_chance(patched)
        asyncio.run(main())
