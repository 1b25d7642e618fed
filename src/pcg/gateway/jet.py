"""Jet: the agent that is healthy only with an authorization token from the console (`pcg jet`).

Without a token it says why and ends with 1, so that whoever runs it (a kubelet, the installer) restarts it under
Kubernetes' policy: CrashLoopBackOff is what a gateway that is not configured yet looks like. With a token it registers
at the console, keeps that registration fresh, and answers /readyz.

It starts often, so it imports little: the messages are those of `wire.registration` (a test compares), written here
without their classes, and httpx only once there is something to send.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pcg.clock import Clock, SystemClock
from pcg.errors import GiveUp, InvalidInput, Unreachable

if TYPE_CHECKING:
    import httpx

REGISTERED_LINE = "jet: registered"
"""what its output begins with when it becomes healthy; the installer's supervisor looks for it"""

TRIES = 5
"""failed tries in a row, after which jet ends (never registered yet) or is no longer ready (registered before)"""

Log = Callable[[str], None]
HttpClientFactory = Callable[[str, str], "httpx.AsyncClient"]
"""From the console's URL and its CA as PEM."""


async def run_jet(
    env: Mapping[str, str],
    *,
    clock: Clock,
    http_client_factory: HttpClientFactory | None = None,
    log: Log,
    on_ready: Callable[[bool], None] = lambda ready: None,
    serve: bool = True,
) -> int:
    """Run until a reason to end; the exit code. Environment: PCG_ENDPOINT, PCG_CA_PEM or PCG_CA_FILE,
    PCG_JET_TOKEN_FILE, and optionally PCG_JET_LISTEN (HOST:PORT for /readyz), NODE_NAME, PCG_JET_PLACE (installer or
    cluster), PCG_HTTPS_PROXY, PCG_HTTP_PROXY, PCG_NO_PROXY, PCG_PROXY_CA_PEM.

    `on_ready` hears each change of readiness; with `serve` False nothing listens (a test in simulated time).
    """
    token = _read_token(env.get("PCG_JET_TOKEN_FILE", ""), log)
    endpoint, ca = env.get("PCG_ENDPOINT", "").rstrip("/"), _ca(env)
    if token is None:
        return 1
    if not endpoint or not ca:
        log("jet: PCG_ENDPOINT and PCG_CA_PEM (or PCG_CA_FILE) must be set")
        return 1
    readiness = Readiness(on_ready)
    try:
        async with contextlib.AsyncExitStack() as stack:
            if serve and env.get("PCG_JET_LISTEN"):
                await stack.enter_async_context(await _health_server(env["PCG_JET_LISTEN"], readiness))
                log(f"jet: health is served on {env['PCG_JET_LISTEN']}")
            code = None
            while code is None:
                client = http_client_factory(endpoint, ca) if http_client_factory else _http_client(endpoint, ca, env)
                async with client:
                    code = await _stay_registered(client, ca, token, env, clock, readiness, log)
                ca = _ca(env) or ca
            return code
    except GiveUp as error:
        log(f"jet: {error.what} {'; '.join(error.evidence)}")
        return 1
    finally:
        readiness.set(False)


class Readiness:
    def __init__(self, on_change: Callable[[bool], None]) -> None:
        self.ready = False
        self._on_change = on_change

    def set(self, ready: bool) -> None:
        if ready != self.ready:
            self.ready = ready
            self._on_change(ready)


async def _stay_registered(
    client: httpx.AsyncClient, ca: str, token: str, env: Mapping[str, str], clock: Clock, readiness: Readiness, log: Log
) -> int | None:
    """None: another CA is to be trusted from now on."""
    body = {
        "node": env.get("NODE_NAME", ""),
        "instance": secrets.token_hex(8),
        "place": env.get("PCG_JET_PLACE", "cluster"),
    }
    failures, was_registered = 0, readiness.ready
    while True:
        if _ca(env) not in ("", ca):
            log("jet: the console's CA has changed; going on with the new one")
            return None
        try:
            status, answer = await _post(client, token, body)
        except Unreachable as error:
            failures += 1
            log(f"jet: {error.what} hop={error.fields['hop']} {'; '.join(error.evidence)}")
            if failures >= TRIES and not was_registered:
                log(f"jet: the console was unreachable {failures} times; ending, to be started afresh")
                return 1
            if failures >= TRIES:
                # It has its token and was accepted: a console that is away is no reason to crash.
                readiness.set(False)
            await clock.sleep(min(2.0 ** (failures - 1), 8.0))
            continue
        if status == 401:
            log(f"jet: the console does not accept the authorization token ({_reason(answer)})")
            return 1
        failures, was_registered = 0, True
        if not readiness.ready:
            log(f"{REGISTERED_LINE} with the console, gateway {answer.get('gateway_id', '')}")
            readiness.set(True)
        await clock.sleep(_heartbeat(answer))


async def _post(client: httpx.AsyncClient, token: str, body: dict[str, str]) -> tuple[int, dict[str, Any]]:
    """Status 200 or 401 and the answer; anything else is Unreachable: it may pass."""
    from pcg.network.http import call, not_a_console

    path = "/gateway/v1/jet"
    answer = await call(client, "POST", path, json=body, headers={"Authorization": f"Bearer {token}"})
    try:
        document = json.loads(answer.content)
    except (ValueError, RecursionError):
        document = None
    if answer.status_code not in (200, 401) or not isinstance(document, dict):
        raise not_a_console(f"{str(client.base_url).rstrip('/')}{path}", answer)
    return answer.status_code, document


def _reason(answer: dict[str, Any]) -> str:
    return str(answer.get("reason") or answer.get("detail") or "HTTP 401")[:200]


def _heartbeat(answer: dict[str, Any]) -> float:
    seconds = answer.get("heartbeat_seconds")
    return min(max(float(seconds), 1.0), 300.0) if isinstance(seconds, int | float) else 20.0


def _ca(env: Mapping[str, str]) -> str:
    """The file is newer where both are given: it comes with the token, once the console has changed its CA."""
    fixed = env.get("PCG_CA_PEM", "")
    if "PCG_CA_FILE" not in env:
        return fixed
    try:
        return Path(env["PCG_CA_FILE"]).read_text() or fixed
    except (OSError, UnicodeDecodeError):
        return fixed  # the caller says what must be set


def _read_token(path: str, log: Log) -> str | None:
    if not path:
        log("jet: no authorization token: PCG_JET_TOKEN_FILE is not set")
        return None
    try:
        token = Path(path).read_text().strip()
    except FileNotFoundError:
        log(
            f"jet: no authorization token: {path} does not exist; it comes from the console once the gateway is "
            "configured and registered"
        )
        return None
    except (OSError, UnicodeDecodeError) as error:
        log(f"jet: no authorization token: {path} cannot be read: {type(error).__name__}")
        return None
    if not token or not token.isascii() or not token.isprintable():
        log(f"jet: no authorization token: {path} is empty or damaged")
        return None
    return token


def _http_client(url: str, ca: str, env: Mapping[str, str]) -> httpx.AsyncClient:
    """Raises InvalidInput for a proxy or a CA that cannot be read."""
    from pcg.network.http import http_client
    from pcg.network.proxies import parse_proxies
    from pcg.network.trust import Trust

    names = ("PCG_HTTP_PROXY", "PCG_HTTPS_PROXY", "PCG_NO_PROXY", "PCG_PROXY_CA_PEM")
    proxies, _ = parse_proxies(*map(env.get, names))
    return http_client(Trust.only_ca(ca), base_url=url, proxies=proxies)


async def _health_server(listen: str, readiness: Readiness) -> asyncio.Server:
    """Two fixed answers for a kubelet's probe: /healthz while the process lives, /readyz while it is registered."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(5):
                line = (await reader.readuntil(b"\r\n")).split()
                while (await reader.readuntil(b"\r\n")) != b"\r\n":
                    continue
                writer.write(_health_answer(line[1] if len(line) == 3 else b"", readiness.ready))
                await writer.drain()
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):
            return  # not a probe
        finally:
            writer.close()

    host, _, port = listen.rpartition(":")
    try:
        return await asyncio.start_server(answer, host.strip("[]"), int(port), limit=4096)
    except (OSError, ValueError) as error:
        raise InvalidInput(f"It cannot listen on {listen}.", "jet-listen", evidence=[str(error)]) from error


def _health_answer(path: bytes, ready: bool) -> bytes:
    status, body = b"404 Not Found", b"not found\n"
    if path.split(b"?")[0] == b"/healthz" or (path.split(b"?")[0] == b"/readyz" and ready):
        status, body = b"200 OK", b"ok\n"
    elif path.split(b"?")[0] == b"/readyz":
        status, body = b"503 Service Unavailable", b"not registered\n"
    head = b"HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
    return head % (status, len(body)) + body


async def main() -> int:
    """`pcg jet`: by this process's environment, told on stdout."""
    return await run_jet(dict(os.environ), clock=SystemClock(), log=lambda line: print(line, flush=True))  # noqa: T201
