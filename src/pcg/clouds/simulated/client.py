"""HTTP with the data center: one session, renewed once when it is lost; refusals become the contract's errors."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from pcg.clouds.base import Login
from pcg.clouds.simulated.errors import translate
from pcg.clouds.simulated.refusals import Refusal
from pcg.errors import CredentialsRejected, PcgError, Unreachable
from pcg.network.plain_httpx import httpx

CALL_SECONDS = 30.0
LOG_OUT_SECONDS = 3.0
_REMEDIES = {
    "name": "Check the data center's host name and the name servers of this machine.",
    "connect": "Check that this machine may connect to the data center's address and port.",
    "tls": "Check the trust (thumbprint or CA) against the data center's certificate, and this machine's clock.",
    "http": "Check that the address is the data center's and that it runs.",
}
_log = logging.getLogger(__name__)


class ApiClient:
    def __init__(self, http: httpx.AsyncClient, address: str, login: Login) -> None:
        self.address = address
        self.account = login.username
        self._http = http
        self._login = login
        self._token = ""
        self._rejected: CredentialsRejected | None = None
        self._entering = asyncio.Lock()

    async def log_in(self) -> None:
        """Raises CredentialsRejected or Unreachable. A rejected password is tried once, however many calls want in."""
        if self._rejected is not None:
            raise self._rejected
        credentials = {"username": self._login.username, "password": self._login.password}
        answer = await self._send("POST", "/api/session", json=credentials)
        try:
            self._token = self._read(answer)["token"]
        except CredentialsRejected as error:
            self._rejected = error
            raise

    async def log_out(self) -> None:
        try:
            async with asyncio.timeout(LOG_OUT_SECONDS):
                await self._send("DELETE", "/api/session")
        except (PcgError, TimeoutError) as error:
            _log.debug("the session was not ended: %s", error)  # it ends by itself with the data center's process

    async def get(self, path: str, *, patience: float = 0.0, **parameters: str) -> Any:
        return await self._call("GET", path, patience, params=parameters)

    async def post(self, path: str, body: Any) -> Any:
        return await self._call("POST", path, json=body)

    async def delete(self, path: str, **parameters: str) -> Any:
        return await self._call("DELETE", path, params=parameters)

    async def _call(self, method: str, path: str, patience: float = 0.0, **arguments: Any) -> Any:
        used = self._token
        answer = await self._send(method, path, patience, **arguments)
        if answer.status_code == 401:
            # An unauthenticated call is refused before anything is done, so calling again is safe.
            async with self._entering:
                if self._token == used:
                    await self.log_in()
            answer = await self._send(method, path, patience, **arguments)
        return self._read(answer)

    async def _send(self, method: str, path: str, patience: float = 0.0, **arguments: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        timeout = httpx.Timeout(CALL_SECONDS, read=CALL_SECONDS + patience)
        try:
            return await self._http.request(method, path, headers=headers, timeout=timeout, **arguments)
        except httpx.HTTPError as error:
            hop = "connect" if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout) else "http"
            raise unreachable(self.address, hop, error) from error

    def _read(self, answer: httpx.Response) -> Any:
        if answer.status_code == 204:
            return None
        try:
            document = answer.json()
            if answer.is_success:
                return document
            refusal = Refusal.of(document)
        except (ValueError, KeyError, TypeError) as error:
            words = f"HTTP {answer.status_code}: {answer.text[:200]}"
            raise unreachable(self.address, "http", ValueError(words)) from error
        raise translate(refusal, self.address, self.account) from refusal


def unreachable(address: str, hop: str, error: Exception, *, reason: str = "") -> Unreachable:
    """`hop` is one of name, connect, tls, http."""
    return Unreachable(
        f"The data center {address} cannot be reached.",
        reason=reason or f"data-center-unreachable-{hop}",
        evidence=[f"tried: {address}", f"{type(error).__name__}: {str(error)[:300]}"],
        remedy=[_REMEDIES[hop]],
        fields={"hop": hop, "target": address},
    )
