"""The REST client of every command, and where a person's login is kept. Problems become errors of `pcg.errors`."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pcg.errors import Conflict, GiveUp, InvalidInput, NotFound, PcgError, Refused, SetupMissing, Unreachable
from pcg.network.endpoint import parse_endpoint
from pcg.network.failures import translate
from pcg.network.http import fetch_ca, http_client
from pcg.network.pins import parse_pin, pinned_certificate
from pcg.network.plain_httpx import httpx
from pcg.network.trust import Trust

TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True)
class Login:
    """How to reach a console: its URL, its CA's pin, and an API key."""

    url: str
    ca_pin: str
    api_key: str


def login_path() -> Path:
    home = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(home) / "pcg" / "login.json"


def save_login(login: Login) -> Path:
    """Readable by this user alone."""
    path = login_path()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump({"url": login.url, "ca_pin": login.ca_pin, "api_key": login.api_key}, file)
    return path


def load_login() -> Login:
    """From PCG_CONSOLE, PCG_CA_PIN and PCG_API_KEY, or else from what `pcg login` kept."""
    environment = (os.environ.get("PCG_CONSOLE"), os.environ.get("PCG_CA_PIN"), os.environ.get("PCG_API_KEY"))
    if all(environment):
        return Login(*(str(value) for value in environment))
    try:
        return Login(**json.loads(login_path().read_text()))
    except (OSError, ValueError, TypeError):
        raise SetupMissing(
            "This command does not know which console to talk to.",
            reason="not-logged-in",
            remedy=[
                "Run `pcg login URL --ca-pin PIN` once.",
                "In scripts set PCG_CONSOLE, PCG_CA_PIN and PCG_API_KEY.",
            ],
        ) from None


class ConsoleClient:
    """One console, one API key. Every method raises errors of `pcg.errors` only."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def call(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        """The JSON answer, or None for an empty one."""
        try:
            answer = await self._client.request(method, f"/api/v1{path}", json=body, **options)
        except httpx.HTTPError as error:
            raise translate(str(self._client.base_url), error, otherwise="http") from error
        if answer.is_error:
            raise problem(answer)
        return answer.json() if answer.content else None

    async def metrics(self) -> str:
        """What `/metrics` tells, in Prometheus' text format."""
        try:
            answer = await self._client.get("/metrics")
        except httpx.HTTPError as error:
            raise translate(str(self._client.base_url), error, otherwise="http") from error
        if answer.is_error:
            raise problem(answer)
        return answer.text

    async def content(self, path: str) -> AsyncIterator[bytes]:
        """A file, in pieces."""
        try:
            async with self._client.stream("GET", f"/api/v1{path}") as answer:
                if answer.is_error:
                    await answer.aread()
                    raise problem(answer)
                async for chunk in answer.aiter_bytes():
                    yield chunk
        except httpx.HTTPError as error:
            raise translate(str(self._client.base_url), error, otherwise="http") from error

    async def items(self, path: str, **parameters: Any) -> list[dict[str, Any]]:
        """All pages of a list."""
        found: list[dict[str, Any]] = []
        after: Any = None
        while True:
            page = await self.call("GET", path, params={**parameters, **({"after": after} if after else {})})
            found += page["items"]
            after = page.get("next")
            if not after:
                return found

    async def gateway(self, name: str) -> dict[str, Any]:
        """By name or id. Raises NotFound with the names that exist."""
        gateways = await self.items("/gateways")
        for gateway in gateways:
            if name in (gateway["id"], gateway["name"]):
                return gateway
        raise NotFound(
            f"There is no gateway {name!r}.",
            reason="gateway-unknown",
            evidence=["gateways: " + (", ".join(sorted(gateway["name"] for gateway in gateways)) or "none")],
        )

    async def follow_events(self, gateway_id: str, after: int = 0) -> AsyncIterator[dict[str, Any]]:
        """Events as they come, from the position `after` on, until the connection ends."""
        headers = {"Accept": "text/event-stream"}
        path = f"/api/v1/gateways/{gateway_id}/events"
        try:
            async with self._client.stream(
                "GET", path, params={"after": after}, headers=headers, timeout=httpx.Timeout(TIMEOUT_SECONDS, read=None)
            ) as answer:
                if answer.is_error:
                    await answer.aread()
                    raise problem(answer)
                async for line in answer.aiter_lines():
                    if line.startswith("data:"):
                        yield json.loads(line[5:])
        except httpx.HTTPError as error:
            raise translate(str(self._client.base_url), error, otherwise="http") from error


@asynccontextmanager
async def open_console(login: Login | None = None) -> AsyncIterator[ConsoleClient]:
    """The console of `login` (default: what this user logged in to), its CA fetched and compared with the pin."""
    login = login or load_login()
    trust, url = await trusted(login.url, login.ca_pin)
    async with http_client(trust, base_url=url, timeout=TIMEOUT_SECONDS) as client:
        client.headers["Authorization"] = f"Bearer {login.api_key}"
        yield ConsoleClient(client)


async def trusted(url: str, ca_pin: str) -> tuple[Trust, str]:
    """The console's CA, fetched without secrets and compared with the pin, and the normalised URL.

    Raises Refused when another CA was served: somebody may stand in between, so nothing else is said to it.
    """
    endpoint, _ = parse_endpoint(url)
    pem = pinned_certificate((await fetch_ca(endpoint)).pem, parse_pin(ca_pin))
    if pem is None:
        raise Refused(
            f"The CA served by {endpoint.url} is not the one of the pin.",
            reason="ca-pin-mismatch",
            remedy=["Compare the pin with the console's page; if it is right, something opens TLS on the way."],
        )
    return Trust.only_ca(pem), endpoint.url


def problem(answer: httpx.Response) -> PcgError:
    """Problem details (RFC 9457) as the error that fits its status."""
    try:
        body = answer.json()
    except ValueError:
        body = {}
    what = str(body.get("detail") or body.get("title") or f"The console answered {answer.status_code}.")
    parts: dict[str, Any] = {
        "reason": str(body.get("reason") or "console-error"),
        "evidence": [str(item) for item in body.get("evidence") or []],
        "remedy": [str(item) for item in body.get("remedy") or []],
        "link": str(body.get("link") or ""),
    }
    if answer.status_code in (400, 422):
        return InvalidInput(what, field_name=str(body.get("field") or ""), **parts)
    if answer.status_code in (401, 403):
        return Refused(what, **parts)
    if answer.status_code == 404:
        return NotFound(what, **parts)
    if answer.status_code in (409, 412):
        return Conflict(what, **parts)
    return Unreachable(what, **parts) if answer.status_code >= 500 else GiveUp(what, **parts)
