"""What a proxy answered, or did not, as a person's words: the hop `proxy` with its status, cause and a way out.

`Answer` is what `http` and `websocket` caught of the proxy's refusal; both libraries' errors alone say less.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from pcg.errors import Unreachable
from pcg.network.failures import unreachable
from pcg.network.proxies import without_credentials

_TELLING = ("x-squid-error", "server", "via")
_QUOTED = re.compile(r'"(?:[^"\\\\]|\\\\.)*"')
_SCHEME = re.compile(r"(?:^|,)\s*([A-Za-z][A-Za-z0-9-]*)(?=\s*(?:$|,|\s[^=,\s]+=|\s[A-Za-z0-9+/=]+\s*(?:$|,)))")
"""a scheme at the start of the header or after a comma: `Basic realm="x", NTLM` (RFC 9110, 11.6.1)"""


@dataclass(frozen=True)
class Answer:
    """The proxy's refusal of CONNECT. Header names in lower case."""

    status: int
    phrase: str
    headers: Mapping[str, list[str]]

    @classmethod
    def of(cls, status: int, phrase: str, headers: Iterable[tuple[str, str]]) -> Answer:
        found: dict[str, list[str]] = {}
        for name, value in headers:
            found.setdefault(name.lower(), []).append(value)
        return cls(status, phrase, found)

    @property
    def offers(self) -> list[str]:
        """The schemes of Proxy-Authenticate, as the proxy writes them."""
        # Without what is quoted: a realm may be any text, and hold commas.
        values = [_QUOTED.sub('""', value) for value in self.headers.get("proxy-authenticate", [])]
        return [scheme for value in values for scheme in _SCHEME.findall(value)]


def refused(target: str, proxy: str, answer: Answer) -> Unreachable:
    """CONNECT was answered with something else than 2xx (RFC 9110, 9.3.6)."""
    evidence = [_through(proxy), f"the proxy answered: HTTP {answer.status} {_short(answer.phrase)}".rstrip()]
    for name in _TELLING:
        evidence += [f"{name}: {_short(value)}" for value in answer.headers.get(name, [])]
    if answer.status == 407:
        return _authentication(target, proxy, answer, evidence)
    where = _authority(target)
    if answer.status in (401, 403, 451):
        return _error(
            target,
            evidence,
            "proxy-refuses",
            f"the proxy {_shown(proxy)} forbids it",
            f"Let the proxy's rules allow CONNECT to {where}; if it is reached directly, name it in no-proxy.",
        )
    if answer.status in (502, 503, 504):
        if _is_about_names([answer.phrase, *answer.headers.get("x-squid-error", [])]):
            return _error(
                target,
                evidence,
                "proxy-cannot-resolve",
                f"the proxy {_shown(proxy)} cannot resolve its name",
                f"Check the endpoint's name, and that the proxy's name server knows {urlsplit(target).hostname}.",
            )
        return _error(
            target,
            evidence,
            "proxy-cannot-connect",
            f"the proxy {_shown(proxy)} could not connect to it",
            f"Check that the proxy's name server knows it and that a firewall lets the proxy connect to {where}.",
        )
    if answer.status in (400, 404, 405, 501) or answer.status < 400:
        return _error(
            target,
            evidence,
            "proxy-is-none",
            f"what answers at {_shown(proxy)} is not a proxy that allows CONNECT",
            "Check the proxy's host and port: another service seems to listen there.",
        )
    return _error(
        target,
        evidence,
        "unreachable-proxy",
        f"the proxy {_shown(proxy)} did not connect us",
        "Check the proxy's own log.",
    )


def broke(target: str, proxy: str, chain: list[BaseException]) -> Unreachable:
    """No answer that could be read came to CONNECT; `chain` is the error and its causes."""
    # By name, because importing the libraries only to name their errors would cost every jet its start.
    names = {base.__name__ for error in chain for base in type(error).__mro__}
    text = next((str(error) for error in reversed(chain) if str(error)), "no more is known")
    shown = _shown(proxy)
    evidence = [_through(proxy), f"{type(chain[-1]).__name__}: {text}"]
    lower = text.lower()
    if "gaierror" in names:
        return _error(
            target,
            evidence,
            "proxy-name",
            f"the name of the proxy {shown} could not be resolved",
            "Check the proxy's host name, and that this machine's name server knows it.",
        )
    if "SSLError" in names:
        remedy = "Give the CA that proves the proxy with --proxy-ca-file, and check this machine's clock."
        if "wrong_version_number" in lower or "wrong version number" in lower or "record layer" in lower:
            remedy = "The proxy does not speak TLS at that port: give it with http://, or its port for TLS."
        return _error(target, evidence, "proxy-tls", f"TLS to the proxy {shown} failed", remedy)
    if names & {"TimeoutError", "TimeoutException"}:
        return _error(
            target,
            evidence,
            "proxy-silent",
            f"the proxy {shown} did not answer in time",
            "Check that the proxy runs, and that a firewall lets this machine connect to its port.",
        )
    closed = names & {"EOFError", "ReadError", "WriteError", "ConnectionResetError", "BrokenPipeError"}
    if not closed and names & {"ConnectError", "OSError"}:
        return _error(
            target,
            evidence,
            "unreachable-proxy",
            f"no connection to the proxy {shown} could be made",
            "Check the proxy's address, that it runs, and that a firewall lets this machine connect to its port.",
        )
    if closed or "disconnected" in lower:
        return _error(
            target,
            evidence,
            "proxy-closed",
            f"the proxy {shown} closed the connection without an answer that can be read",
            "Check the proxy's log; one that wants TLS is given with https://.",
        )
    return _error(
        target,
        evidence,
        "proxy-is-none",
        f"what answers at {shown} is not an HTTP proxy",
        "Check the proxy's host and port: another service seems to listen there.",
    )


def _authentication(target: str, proxy: str, answer: Answer, evidence: list[str]) -> Unreachable:
    offers, shown = answer.offers, _shown(proxy)
    evidence.append(f"it offers: {', '.join(offers) or 'no scheme'}")
    if "basic" not in [offer.lower() for offer in offers]:
        return _error(
            target,
            evidence,
            "proxy-authentication-unsupported",
            f"the proxy {shown} wants {' or '.join(offers) or 'an unnamed'} authentication, and only Basic is spoken",
            "Let the proxy's administrator allow Basic, or this machine without authentication; or use a relay that "
            "speaks it for us (for example cntlm).",
        )
    if "@" in urlsplit(proxy).netloc:
        return _error(
            target,
            evidence,
            "proxy-credentials-wrong",
            f"the proxy {shown} does not accept the user and password that were given",
            "Check user and password of the proxy (symbols are written %XX), and that the account is not locked.",
        )
    return _error(
        target,
        evidence,
        "proxy-authentication-needed",
        f"the proxy {shown} asks for a user and a password, and none were given",
        "Give the proxy as http://USER:PASSWORD@HOST:PORT by PCG_HTTPS_PROXY or --https-proxy-file.",
    )


def _error(target: str, evidence: list[str], reason: str, words: str, remedy: str) -> Unreachable:
    error = unreachable(target, "proxy", evidence, reason=reason)
    error.what = f"{target} cannot be reached: {words}."
    error.remedy = [remedy]
    return error


def _is_about_names(told: list[str]) -> bool:
    text = " ".join(told).lower()
    return any(word in text for word in ("dns", "resolve", "unknown host", "host not found"))


def _through(proxy: str) -> str:
    return f"through the proxy {_shown(proxy)}"


def _shown(proxy: str) -> str:
    return without_credentials(proxy)


def _authority(target: str) -> str:
    parts = urlsplit(target)
    return f"{parts.netloc}" if parts.port else f"{parts.netloc}:443"


def _short(text: str) -> str:
    """What a stranger wrote, on one line and without what a terminal would obey."""
    return "".join(symbol if symbol.isprintable() else "?" for symbol in text)[:160]
