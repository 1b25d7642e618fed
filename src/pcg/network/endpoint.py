"""The console's address as a person types it, checked strictly before any network call.

Seed: an endpoint with a trailing slash was a common cause of installers that could not register. Used by the installer
and by jet.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from pcg.errors import InvalidInput
from pcg.model.configuration import split_host_port

TRAILING_SLASH = "a trailing slash was taken off the endpoint"

_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*)://")


@dataclass(frozen=True)
class Endpoint:
    """`host` is without brackets, in lower case."""

    host: str
    port: int = 443

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == 443 else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """Never ends with a slash."""
        return f"https://{self.authority}"

    @property
    def websocket_url(self) -> str:
        return f"wss://{self.authority}"


def parse_endpoint(typed: str) -> tuple[Endpoint, list[str]]:
    """The endpoint and the notices of what was normalised. Raises InvalidInput (reason `endpoint-invalid`)."""
    notices = []
    text = typed.strip()
    if text != typed:
        notices.append("blanks around the endpoint were taken off")
    if any(symbol.isspace() or ord(symbol) < 32 for symbol in text):
        raise _invalid(typed, "it has a blank inside")
    scheme = _SCHEME.match(text)
    if scheme is None:
        if "//" in text:
            raise _invalid(typed, "what stands before // is not a scheme")
        notices.append("no scheme was given: https:// is used")
        rest = text
    else:
        rest = text[scheme.end() :]
        if scheme[1].lower() != "https":
            raise _invalid(typed, f"its scheme is {scheme[1]}, and only https is spoken")
        if _SCHEME.match(rest):
            raise _invalid(typed, "its scheme was typed twice")
    plain = rest.rstrip("/")
    if plain != rest:
        notices.append(TRAILING_SLASH)
    return _authority(typed, plain), notices


def _authority(typed: str, text: str) -> Endpoint:
    for symbol, what in (("@", "a user name or password"), ("?", "a query"), ("#", "a fragment"), ("/", "a path")):
        if symbol in text:
            raise _invalid(typed, f"it has {what}: only host or host:port may follow the scheme", show=symbol != "@")
    if not text:
        raise _invalid(typed, "it has no host")
    try:
        host, port = split_host_port(text, 443)
    except ValueError as error:
        raise _invalid(typed, str(error)) from None
    if not host:
        raise _invalid(typed, "it has no host")
    if host.endswith(".") or (":" in host and "%" in host):
        raise _invalid(typed, "its host ends with a dot or names an interface")
    if ":" in host:
        host = str(ipaddress.IPv6Address(host))
    return Endpoint(host.lower(), port)


def _invalid(typed: str, why: str, *, show: bool = True) -> InvalidInput:
    return InvalidInput(
        f"The console's endpoint is wrong: {why}.",
        reason="endpoint-invalid",
        field_name="endpoint",
        evidence=[f"typed: {typed[:200]!r}"] if show else [],
        remedy=["Give it as https://HOST or https://HOST:PORT, exactly as the console shows it."],
    )
