"""A session's frames by HTTPS long polling: the same small transport as a WebSocket's, for networks that block those.

One request at a time is held open for what the console has to say; each frame of ours is a request of its own. Whatever
fails ends the transport, as a broken WebSocket does: what was not acknowledged is sent again by the next session.
"""

from __future__ import annotations

import json
from typing import Any

from pcg.errors import Unreachable
from pcg.network.failures import unreachable
from pcg.network.http import call, http_client, not_a_console
from pcg.network.plain_httpx import httpx
from pcg.network.proxies import NO_PROXIES, Proxies
from pcg.network.trust import Trust
from pcg.network.websocket import Transport
from pcg.wire.frames import MAXIMUM_FRAME_BYTES

PATH = "/gateway/v1/poll"
WAIT_SECONDS = 25.0
"""how long the console holds an answer back"""

_CONNECT_SECONDS = 15.0
_CLOSE_SECONDS = 2.0


async def open_polling(origin: str, trust: Trust, *, proxies: Proxies = NO_PROXIES) -> Transport:
    """`origin` is https://HOST[:PORT]. Raises Unreachable with the hop that failed."""
    client = http_client(
        trust, base_url=origin, proxies=proxies, timeout=_CONNECT_SECONDS, answer_within=WAIT_SECONDS + 15.0, kept=2
    )
    try:
        answer = await call(client, "POST", PATH)
        token = _token(f"{origin}{PATH}", answer)
    except BaseException:
        await client.aclose()
        raise
    return _PollingTransport(f"{origin}{PATH}", client, token)


class _PollingTransport:
    def __init__(self, url: str, client: httpx.AsyncClient, token: str) -> None:
        self._url = url
        self._client = client
        self._headers = {"Authorization": f"Bearer {token}"}
        self._closed = False

    async def send(self, text: str) -> None:
        headers = {**self._headers, "Content-Type": "application/json"}
        self._check(await self._ask("POST", "/frames", content=text.encode(), headers=headers))

    async def receive(self) -> str:
        while True:
            answer = await self._ask("GET", f"/frames?wait={WAIT_SECONDS:g}", headers=self._headers)
            self._check(answer)
            if answer.status_code == 200:
                return answer.text

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            await call(self._client, "DELETE", PATH, headers=self._headers, timeout=_CLOSE_SECONDS)
        except Unreachable:
            pass  # the console notices by itself that nobody asks any more
        finally:
            await self._client.aclose()

    async def _ask(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        if self._closed:
            raise unreachable(self._url, "http", ["it was closed here"], reason="session-closed")
        try:
            return await call(self._client, method, f"{PATH}{path}", limit=MAXIMUM_FRAME_BYTES, **arguments)
        except RuntimeError as error:
            # The client was closed by another task in the midst of this request.
            raise unreachable(self._url, "http", [str(error)], reason="session-closed") from error

    def _check(self, answer: httpx.Response) -> None:
        if answer.status_code in (200, 204):
            return
        if answer.status_code in (404, 410):
            raise unreachable(self._url, "http", ["the console has ended this session"], reason="session-closed")
        raise not_a_console(self._url, answer)


def _token(url: str, answer: httpx.Response) -> str:
    try:
        token = json.loads(answer.content)["session"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise not_a_console(url, answer) from None
    if answer.status_code != 200 or not isinstance(token, str) or not token.isascii() or not token.isprintable():
        raise not_a_console(url, answer)
    return token
