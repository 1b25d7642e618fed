"""What surrounds every request to the installer's own page: the Host it may name, a bound on bodies, strict headers.

Plain ASGI, because streams must pass through untouched. `application.py` puts it round the routes.
"""

from __future__ import annotations

import socket

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pcg.network.addresses import is_address

MAXIMUM_BODY = 16 * 1024
"""bytes; the largest form holds a password"""

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""No Strict-Transport-Security: with it a browser would not let a person accept this machine's own certificate."""


class Surrounded:
    """`names`: host names besides this machine's own under which the page may be asked for."""

    def __init__(self, app: ASGIApp, names: tuple[str, ...] = ()) -> None:
        self._app = app
        self._names = {
            name.lower().rstrip(".") for name in ("localhost", socket.gethostname(), socket.getfqdn(), *names)
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refusal(Headers(scope=scope))
        if refusal is not None:
            await refusal(scope, receive, send_with_headers)
            return
        await self._app(scope, receive, send_with_headers)

    def _refusal(self, headers: Headers) -> PlainTextResponse | None:
        if not self._is_ours(headers.getlist("host")):
            text = "This machine is not called that. Use its address, or start the page with --name NAME.\n"
            return PlainTextResponse(text, 421)
        length = headers.get("content-length", "0")
        if "transfer-encoding" in headers or not length.isdecimal() or int(length[:20]) > MAXIMUM_BODY:
            return PlainTextResponse(f"A body has a length, and at most {MAXIMUM_BODY} bytes.\n", 413)
        return None

    def _is_ours(self, hosts: list[str]) -> bool:
        """An address is always this machine's own. Another name would be one that somebody else has pointed here, so
        that a page of theirs could read ours (DNS rebinding)."""
        if len(hosts) != 1:
            return False
        host = hosts[0].lower()
        name = host[1:].partition("]")[0] if host.startswith("[") else host.rpartition(":")[0] or host
        return is_address(name) or name.rstrip(".") in self._names


def from_our_page(headers: Headers) -> bool:
    """Browsers send Origin with every form; one of another origin, or none, is not ours."""
    return headers.get("origin", "").lower() == f"https://{headers.get('host', '').lower()}"
