"""Jet: unhealthy without a token and says why, healthy with one, and never pays for more than it needs."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from pcg.clock import LoopClock, SystemClock
from pcg.gateway import jet
from pcg.wire.registration import JetAnswer, JetRegistration


class Console:
    """A mock of the console's jet endpoint."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.answer: Callable[[httpx.Request], httpx.Response] = lambda request: httpx.Response(
            200, json=JetAnswer(gateway_id="g-1", heartbeat_seconds=20).model_dump()
        )

    def client(self, url: str, ca: str) -> httpx.AsyncClient:
        def handle(request: httpx.Request) -> httpx.Response:
            self.requests.append(request)
            return self.answer(request)

        return httpx.AsyncClient(base_url=url, transport=httpx.MockTransport(handle))


class Run:
    def __init__(self, tmp_path: Path, token: str | None = "secret-token") -> None:
        self.console = Console()
        self.lines: list[str] = []
        self.readiness: list[bool] = []
        self.env = {
            "PCG_ENDPOINT": "https://console",
            "PCG_CA_PEM": "pem",
            "PCG_JET_TOKEN_FILE": str(tmp_path / "token"),
            "NODE_NAME": "node-1",
        }
        if token is not None:
            (tmp_path / "token").write_text(token)

    async def __call__(self) -> int:
        return await jet.run_jet(
            self.env,
            clock=LoopClock(),
            http_client_factory=self.console.client,
            log=self.lines.append,
            on_ready=self.readiness.append,
            serve=False,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Task[int]]:
        task = asyncio.create_task(self())
        yield task
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("token,why", [(None, "does not exist"), ("", "empty"), ("\n", "empty"), ("a\x00b", "damaged")])
async def test_without_a_token_it_says_why_and_ends(tmp_path: Path, token: str | None, why: str) -> None:
    run = Run(tmp_path, token)
    assert await run() == 1
    assert len(run.lines) == 1
    assert "no authorization token" in run.lines[0]
    assert why in run.lines[0]
    assert run.console.requests == []


@pytest.mark.parametrize("name", ["PCG_ENDPOINT", "PCG_CA_PEM", "PCG_JET_TOKEN_FILE"])
async def test_without_its_settings_it_names_them(tmp_path: Path, name: str) -> None:
    run = Run(tmp_path)
    del run.env[name]
    assert await run() == 1
    assert name in run.lines[-1]


@pytest.mark.looptime
async def test_it_registers_becomes_ready_and_keeps_it_fresh(tmp_path: Path) -> None:
    run = Run(tmp_path)
    async with run.running() as task:
        await asyncio.sleep(65)
        assert not task.done()
        assert run.readiness == [True]
    assert run.readiness == [True, False]
    assert len(run.console.requests) == 4
    assert {request.headers["authorization"] for request in run.console.requests} == {"Bearer secret-token"}
    # What it sends is the wire's message, though it does not import it.
    sent = [JetRegistration.model_validate(json.loads(request.content)) for request in run.console.requests]
    assert {(body.node, body.place) for body in sent} == {("node-1", "cluster")}
    assert len({body.instance for body in sent}) == 1
    assert set(json.loads(run.console.requests[0].content)) == set(JetRegistration.model_fields)
    assert run.lines == [f"{jet.REGISTERED_LINE} with the console, gateway g-1"]
    assert "secret-token" not in "".join(run.lines)


@pytest.mark.looptime
@pytest.mark.parametrize("registered_before", [False, True])
async def test_a_refused_token_ends_it(tmp_path: Path, registered_before: bool) -> None:
    run = Run(tmp_path)
    async with run.running() as task:
        if registered_before:
            await asyncio.sleep(1)
        run.console.answer = lambda request: httpx.Response(401, json={"reason": "token-rejected"})
        assert await task == 1
    assert "token-rejected" in run.lines[-1]
    assert run.readiness == ([True, False] if registered_before else [])


def _refuse(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused")


@pytest.mark.looptime
async def test_an_unreachable_console_ends_it_at_the_start_naming_the_hop(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.console.answer = _refuse
    assert await run() == 1
    assert len(run.console.requests) == jet.TRIES
    assert "hop=connect" in run.lines[0]


@pytest.mark.looptime
@pytest.mark.parametrize(
    "answer", [httpx.Response(503, json={}), httpx.Response(200, text="<html>portal</html>"), httpx.Response(404)]
)
async def test_an_answer_that_is_no_consoles_is_unreachable_too(tmp_path: Path, answer: httpx.Response) -> None:
    run = Run(tmp_path)
    run.console.answer = lambda request: answer
    assert await run() == 1
    assert "hop=http" in run.lines[0]


@pytest.mark.looptime
async def test_once_registered_an_absent_console_makes_it_unready_and_not_ended(tmp_path: Path) -> None:
    run = Run(tmp_path)
    async with run.running() as task:
        await asyncio.sleep(1)
        good, run.console.answer = run.console.answer, _refuse
        await asyncio.sleep(3600)
        assert not task.done()
        assert run.readiness == [True, False]
        run.console.answer = good
        await asyncio.sleep(20)
        assert run.readiness == [True, False, True]


async def test_health_is_served_for_probes(tmp_path: Path) -> None:
    run = Run(tmp_path)
    readiness = jet.Readiness(lambda ready: None)
    server = await jet._health_server("127.0.0.1:0", readiness)
    async with server, httpx.AsyncClient(trust_env=False) as client:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        assert (await client.get(f"{url}/healthz")).status_code == 200
        assert (await client.get(f"{url}/readyz")).status_code == 503
        readiness.set(True)
        assert (await client.get(f"{url}/readyz?verbose")).status_code == 200
        assert (await client.get(f"{url}/")).status_code == 404
        reader, writer = await asyncio.open_connection("127.0.0.1", server.sockets[0].getsockname()[1])
        writer.write(b"x" * 10000)
        assert await reader.read() == b""
        writer.close()
    run.env["PCG_JET_LISTEN"] = "127.0.0.1:no-port"
    exit_code = await jet.run_jet(run.env, clock=SystemClock(), log=run.lines.append)
    assert (exit_code, "cannot listen" in run.lines[-1]) == (1, True)


def _modules(code: str) -> set[str]:
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(ran.stdout.split())


def test_it_starts_with_few_imports() -> None:
    listing = "print(' '.join(sorted(sys.modules)))"
    heavy = {"pydantic", "websockets", "cryptography", "nacl", "sqlite3", "yaml", "rich"}
    assert not _modules(f"import sys, pcg.gateway.jet; {listing}") & {"httpx", *heavy}
    assert not _modules(f"import sys, pcg.gateway.jet, pcg.network.http; {listing}") & heavy
