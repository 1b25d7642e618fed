"""The libraries' network errors as `Unreachable`, with the hop that failed: name, connect, proxy, tls, http, websocket.

A person must see at which hop it failed, with whom, and what was answered; so every edge of `network` translates here.
"""

from __future__ import annotations

import errno
import socket
import ssl

from pcg.errors import Unreachable
from pcg.network.proxies import without_credentials

_REMEDIES = {
    "name": ["Check the host name, and that this machine's name server can resolve it."],
    "connect": ["Check that a firewall lets this machine connect out to that address and port."],
    "proxy": ["Check the proxy's address and that it lets this machine connect to the console."],
    "tls": ["Check the CA (or pin), and that nothing between here and there opens TLS; check this machine's clock."],
    "http": ["Check that the endpoint is the console's own address."],
    "websocket": ["Check that what stands between here and the console lets WebSockets through and keeps them open."],
}

_WORDS = {
    "name": "its name could not be resolved",
    "connect": "no connection could be made",
    "proxy": "the proxy did not connect us",
    "tls": "TLS failed",
    "http": "it did not answer as it should",
    "websocket": "the WebSocket failed",
}


_EXACTLY = {
    "name-not-resolved": (
        "its name could not be resolved",
        "Check the host name, and that this machine's name server knows it (for example: getent hosts NAME).",
    ),
    "connection-refused": (
        "the connection was refused",
        "Nothing listens at that address and port, or a firewall rejects it: check that the console runs there, and "
        "allow this machine to connect out to it.",
    ),
    "connection-timed-out": (
        "nothing answered in time",
        "A firewall on the way may drop it: allow this machine to connect out to that address and port (TCP).",
    ),
    "no-route": (
        "this machine has no route to it",
        "Check this machine's address, subnet prefix and gateway.",
    ),
}
"""reason: what a person reads, and what to do first"""

_NO_ROUTE = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN}


def unreachable(
    target: str, hop: str, evidence: list[str], *, reason: str = "", after: float | None = None
) -> Unreachable:
    """`target` is an address or URL without secrets."""
    error = Unreachable(
        f"{target} cannot be reached: {_WORDS[hop]}.",
        reason=reason or f"unreachable-{hop}",
        evidence=[f"tried: {target}", *evidence],
        remedy=list(_REMEDIES[hop]),
        fields={"hop": hop, "target": target},
    )
    error.after = after
    return error


def translate(target: str, error: BaseException, *, otherwise: str, proxy: str | None = None) -> Unreachable:
    """From a library's exception, by what lies in its chain; `otherwise` is the hop when nothing tells.

    `proxy` had opened the tunnel when it failed: what failed before is told by `proxy_failures`.
    """
    chain = causes(error)
    text = next((str(item) for item in reversed(chain) if str(item)), type(error).__name__)
    hop, evidence = _hop(chain, otherwise), [f"{type(chain[-1]).__name__}: {text}"]
    if proxy:
        evidence.insert(0, f"through the proxy {without_credentials(proxy)}")
    failed = unreachable(target, hop, evidence)
    if hop in ("name", "connect"):
        in_words(failed, chain)
    return failed


def in_words(failed: Unreachable, chain: list[BaseException]) -> None:
    """Tell apart how a name or a connection failed, because each sends a person elsewhere."""
    reason = _reason(chain)
    words, remedy = _EXACTLY.get(reason, ("", ""))
    if words:
        failed.reason, failed.remedy = reason, [remedy]
        failed.what = f"{failed.fields['target']} cannot be reached: {words}."


def causes(error: BaseException) -> list[BaseException]:
    """The error and what caused it, the first cause last."""
    found: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in found:
        found.append(current)
        if isinstance(current, BaseExceptionGroup):
            current = current.exceptions[0]
        else:
            current = current.__cause__ or current.__context__
    return found


def _reason(chain: list[BaseException]) -> str:
    if any(isinstance(item, socket.gaierror) for item in chain):
        return "name-not-resolved"
    if any(isinstance(item, ConnectionRefusedError) for item in chain):
        return "connection-refused"
    if any(isinstance(item, OSError) and item.errno in _NO_ROUTE for item in chain):
        return "no-route"
    timed_out = any(isinstance(item, TimeoutError) for item in chain)
    return "connection-timed-out" if timed_out or "ConnectTimeout" in {type(item).__name__ for item in chain} else ""


def _hop(chain: list[BaseException], otherwise: str) -> str:
    # By name, because importing httpx and websockets only to name their errors would cost every jet its start.
    names = {type(item).__name__ for item in chain}
    if names & {"ProxyError", "InvalidProxy", "InvalidProxyMessage", "InvalidProxyStatus"}:
        return "proxy"
    if any(isinstance(item, socket.gaierror) for item in chain):
        return "name"
    if any(isinstance(item, ssl.SSLError) for item in chain):
        return "tls"
    if names & {"ConnectError", "ConnectTimeout"}:
        return "connect"
    if names & {"InvalidStatus", "InvalidHandshake", "InvalidUpgrade", "InvalidMessage", "InvalidHeader"}:
        return "websocket"
    if names & {"ReadTimeout", "ReadError", "WriteError", "RemoteProtocolError", "PoolTimeout", "DecodingError"}:
        return "http"
    if any(isinstance(item, ConnectionResetError | BrokenPipeError) for item in chain):
        return otherwise
    if any(isinstance(item, OSError | TimeoutError) for item in chain):
        return "connect"
    return otherwise
