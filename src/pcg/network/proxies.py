"""The proxies on the way out, as a person gives them: parsed strictly before any network call, then asked for each URL.

Only what was given here counts; HTTP_PROXY and its like in the environment are never read. As with Go and curl, the
URL's scheme decides: `https` and `wss` go through the HTTPS proxy, `http` and `ws` through the HTTP proxy, and neither
stands in for the other. Used by the installer, by jet, and by `http` and `websocket`.
"""

from __future__ import annotations

import ipaddress
import re
import ssl
from dataclasses import dataclass, field
from urllib.parse import quote, unquote_to_bytes, urlsplit

from pcg.errors import InvalidInput
from pcg.network.no_proxy import Entry, check_name, parse_no_proxy, split
from pcg.network.trust import Trust

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_USER_INFORMATION = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*")
"""of RFC 3986, 3.2.1, without the colon that divides user and password"""

_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}

_OTHERS = {
    "socks": "SOCKS is not spoken; give the address of an HTTP proxy that allows CONNECT",
    "ntlm": "NTLM is not spoken; use an account with Basic, or a relay that speaks NTLM for us (for example cntlm)",
    "pac": "a PAC file is not read; give the address of the proxy that it names for the console",
}


@dataclass(frozen=True)
class Proxies:
    """`http` and `https` are URLs with a port, and with user and password if any: neither printed nor logged."""

    http: str | None = field(default=None, repr=False)
    https: str | None = field(default=None, repr=False)
    no: tuple[Entry, ...] = ()
    ca: str | None = field(default=None, repr=False)
    """PEM of what proves an `https://` proxy, beside the system's CAs; it proves nobody else"""

    def proxy_for(self, url: str) -> str | None:
        """The proxy for an http, https, ws or wss URL, with its credentials; None: directly."""
        parts = urlsplit(url)
        proxy = self.https if parts.scheme in ("https", "wss") else self.http
        if proxy is None:
            return None
        port = parts.port or _PORTS[parts.scheme]
        if any(entry.matches(parts.hostname or "", port) for entry in self.no):
            return None
        return proxy

    def context_for(self, proxy: str) -> ssl.SSLContext | None:
        """For TLS to the proxy itself; None when that is plain."""
        return Trust.system_and(self.ca).context() if proxy.startswith("https:") else None

    def environment(self) -> dict[str, str]:
        """For a child of ours (jet), which gives it to `parse_proxies`. With credentials."""
        given = {
            "PCG_HTTP_PROXY": self.http,
            "PCG_HTTPS_PROXY": self.https,
            "PCG_NO_PROXY": ",".join(map(str, self.no)),
            "PCG_PROXY_CA_PEM": self.ca,
        }
        return {name: value for name, value in given.items() if value}


NO_PROXIES = Proxies()


def parse_proxies(
    http: str | None, https: str | None, no: str | None, ca: str | None = None
) -> tuple[Proxies, list[str]]:
    """The proxies and the notices of what was normalised.

    Raises InvalidInput with the field (http-proxy, https-proxy, no-proxy, proxy-ca); no text of it holds a password.
    """
    notices: list[str] = []
    entries, told = parse_no_proxy(no or "")
    made = Proxies(
        http=_proxy(http, "http-proxy", notices), https=_proxy(https, "https-proxy", notices), no=entries, ca=ca or None
    )
    if made.ca:
        _check_ca(made.ca)
    notices += told
    if made.http and not made.https:
        notices.append(
            "only --http-proxy was given: it serves http:// URLs, and the console's is https://, which goes directly"
        )
    if made.no and not (made.http or made.https):
        notices.append("no-proxy was given without a proxy: it changes nothing")
    return made, notices


def without_credentials(proxy: str) -> str:
    """A proxy as it may be shown."""
    parts = urlsplit(proxy)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _proxy(typed: str | None, flag: str, notices: list[str]) -> str | None:
    text = (typed or "").strip()
    if not text:
        return None
    if not text.isprintable() or any(symbol.isspace() for symbol in text):
        raise _invalid(flag, "it has a blank or a control character inside")
    scheme = _SCHEME.match(text)
    if scheme is None:
        if "//" in text or "\\" in text:
            raise _invalid(flag, _backslash(text) or "what stands before // is not a scheme")
        notices.append(f"{flag}: no scheme was given: http:// is used")
    name, rest = (scheme[1].lower(), text[scheme.end() :]) if scheme else ("http", text)
    if name not in ("http", "https"):
        why = next((words for known, words in _OTHERS.items() if name.startswith(known)), "only HTTP proxies are used")
        raise _invalid(flag, f"its scheme is {name}: {why}")
    plain = rest.rstrip("/")
    if plain != rest:
        notices.append(f"{flag}: a trailing slash was taken off")
    user_information, at, authority = plain.rpartition("@")
    return f"{name}://{_credentials(user_information, flag) if at else ''}{_authority(authority, flag)}"


def _authority(text: str, flag: str) -> str:
    if text.lower().endswith((".pac", ".dat")):
        raise _invalid(flag, _OTHERS["pac"])
    for symbol, what in (("/", "a path"), ("?", "a query"), ("#", "a fragment")):
        if symbol in text:
            hint = "in a user or password, / ? # @ : and % are written %2F %3F %23 %40 %3A and %25"
            raise _invalid(flag, f"it has {what}: only HOST:PORT may follow ({hint})")
    try:
        host, port = split(text.lower())
        if ":" in host or re.fullmatch(r"[0-9.]+", host):
            host = str(ipaddress.ip_address(host))
        else:
            host = host.removesuffix(".")
            check_name(host)
    except ValueError as error:
        raise _invalid(flag, str(error)) from None
    if port is None:
        raise _invalid(flag, "its port is missing (3128 and 8080 are usual)")
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _credentials(text: str, flag: str) -> str:
    """Normalised, with the @. What Basic cannot carry (RFC 7617, 2) is refused."""
    user, colon, password = text.partition(":")
    if not colon:
        raise _invalid(flag, "it has a user without a password (USER:PASSWORD@; an empty password is USER:@)")
    for part in (user, password):
        if not _USER_INFORMATION.fullmatch(part):
            hint = _backslash(part) or "in a user or password, other symbols than letters and digits are written %XX"
            raise _invalid(flag, hint)
    try:
        plain = [unquote_to_bytes(part).decode() for part in (user, password)]
    except UnicodeDecodeError:
        raise _invalid(flag, "its user or password is not UTF-8 behind %XX") from None
    if not plain[0] or ":" in plain[0]:
        raise _invalid(flag, "its user is empty or has a colon, which Basic authentication cannot carry")
    if not all(part.isprintable() for part in plain):
        raise _invalid(flag, "its user or password has a control character")
    return f"{quote(plain[0], safe='')}:{quote(plain[1], safe='')}@"


def _backslash(text: str) -> str:
    if "\\" not in text:
        return ""
    return (
        "DOMAIN\\USER is an account for NTLM or Kerberos, which are not spoken; if the proxy takes it by Basic, write "
        "DOMAIN%5CUSER, else use a relay that speaks NTLM for us (for example cntlm)"
    )


def _check_ca(pem: str) -> None:
    """Raises InvalidInput with the field `proxy-ca`."""
    try:
        Trust.system_and(pem).context()
    except InvalidInput as error:
        error.field_name = "proxy-ca"
        raise


def _invalid(flag: str, why: str) -> InvalidInput:
    return InvalidInput(
        f"The proxy is wrong: {why}.",
        reason="proxy-invalid",
        field_name=flag,
        remedy=["Give it as http://HOST:PORT or http://USER:PASSWORD@HOST:PORT (https:// for a proxy by TLS)."],
    )
