"""The way to the console, hop by hop: name, route, TCP, proxy, TLS, HTTP, its clock, and the upgrade to a WebSocket.

Asked with the same client, proxies and trust as the installer and the gateway use, so what passes here passes there.
Nothing secret is sent: each request is the public one for the console's CA, and the WebSocket is closed before hello.
The console is never needed for an answer. Called by the plan of the live diagnosis.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from urllib.parse import urlsplit

from pcg.diagnosis.log_network import INTERCEPTING
from pcg.diagnosis.probes.answer import About, Outcome, ProbeAnswer, bounded, in_one_line
from pcg.diagnosis.probes.failure_kinds import kind_of_error
from pcg.diagnosis.probes.first_hops import Heard, first_hops
from pcg.errors import InvalidInput, Unreachable
from pcg.network.endpoint import Endpoint
from pcg.network.http import CA_PATH, ServedCa, call, fetch_ca, http_client, served_certificate
from pcg.network.name_queries import NameServer
from pcg.network.pins import pinned_certificate, spki_pin, spki_pins
from pcg.network.proxies import Proxies, without_credentials
from pcg.network.served_certificate import certificate_words
from pcg.network.trust import Trust
from pcg.network.websocket import open_websocket

SECONDS = 4.0
"""for each hop beyond TCP"""
CLOCK_TOLERANCE_SECONDS = 300.0
"""as in the installer's bootstrap: certificates of ours are dated a day back"""

_INTERCEPTING = re.compile(INTERCEPTING, re.IGNORECASE)


@dataclass(frozen=True)
class ConsoleWay:
    """`ca` (PEM) or `pin` proves the console; neither: it cannot be told who answers."""

    endpoint: Endpoint
    proxies: Proxies
    ca: str | None = None
    pin: str | None = None
    servers: Sequence[NameServer] = ()
    proxy_credentials_withheld: bool = False
    """the running installer has a user and password for its proxy which this process could not read"""


async def probe_console(way: ConsoleWay, heard: Heard) -> None:
    url, through = way.endpoint.url, way.proxies.proxy_for(way.endpoint.url)
    first = urlsplit(without_credentials(through) if through else url)
    failing_as = "proxy-unreachable" if through else ""
    host, port = first.hostname or "", first.port or 443
    if await first_hops(About.CONSOLE, host, port, way.servers, heard, failing_as=failing_as) is None:
        return
    served = await _probe_handshake(way, through, heard)
    if served is None:
        return
    heard(_clock(url, served, datetime.now(UTC)))
    trust = await _probe_trust(way, served, heard)
    if trust is None:
        return
    upgrade = ProbeAnswer(About.CONSOLE, "websocket", f"{way.endpoint.websocket_url}/gateway/v1/session")

    async def look(question: ProbeAnswer) -> ProbeAnswer:
        try:
            transport = await open_websocket(question.target, trust.context(), proxies=way.proxies)
        except Unreachable as error:
            # HTTPS has just passed, so whatever fails now is about the upgrade.
            return question.failing("websocket-blocked", in_one_line(error))
        await transport.close()
        return question.passed("the upgrade passes")

    heard(await bounded(upgrade, look, SECONDS, silence="websocket-blocked"))


async def _probe_handshake(way: ConsoleWay, through: str | None, heard: Heard) -> ServedCa | None:
    """Proxy, TLS with whoever answers, and HTTP, in one request of which each hop gets its answer."""
    url = way.endpoint.url
    proxy = ProbeAnswer(About.CONSOLE, "proxy", url, asked=without_credentials(through) if through else "")
    tls, http = ProbeAnswer(About.CONSOLE, "tls", url), ProbeAnswer(About.CONSOLE, "http", f"{url}{CA_PATH}")
    served: list[ServedCa] = []
    hop: list[str] = []

    async def look(question: ProbeAnswer) -> ProbeAnswer:
        try:
            served.append(await fetch_ca(way.endpoint, proxies=way.proxies, timeout=SECONDS * 0.9))
        except Unreachable as error:
            hop.append(error.fields.get("hop", "http"))
            if hop[0] in ("connect", "tls"):
                # TCP was accepted before: what fails now is the negotiation of TLS.
                if kind_of_error(error) == "connection-timed-out":
                    return question.failing("tls-silent", "connections are accepted, but nobody speaks TLS with us")
                return question.failing("tls-failed", in_one_line(error))
            status = next((words for words in error.evidence if words.startswith("answer: HTTP 5")), "")
            if error.reason == "not-a-console" and status:
                return question.failing("http-unavailable", f"{question.target}: {status}")
            raise
        return question.passed("answers as a console does")

    answer = await bounded(http, look, SECONDS, silence="http-silent")
    if hop and hop[0] == "proxy":
        failed = replace(answer, probe="proxy", target=url, asked=proxy.asked)
        if failed.kind == "proxy-authentication-required" and way.proxy_credentials_withheld:
            failed = failed.unknown(failed.detail, needs="the proxy's user and password (--https-proxy-file)")
        heard(failed)
        return None
    if through:
        heard(replace(proxy.passed("opened the way (CONNECT)"), seconds=answer.seconds))
    if hop and hop[0] in ("connect", "tls"):
        heard(replace(answer, probe=tls.probe, target=tls.target))
        return None
    if answer.answer is not Outcome.PASSED:
        heard(answer)
        return None
    return served[0]


async def _probe_trust(way: ConsoleWay, served: ServedCa, heard: Heard) -> Trust | None:
    """Who answers, and whether that is the console; then HTTP with the trust that the gateway has."""
    url = way.endpoint.url
    tls = ProbeAnswer(About.CONSOLE, "tls", url)
    words = await _served_words(way)
    if way.ca is None and way.pin is None:
        heard(tls.unknown(words, needs="the console's CA pin (--ca-pin) or file"))
        return None
    try:
        ca = way.ca or pinned_certificate(served.pem, way.pin or "")
        shown = spki_pins(served.pem)
    except InvalidInput as error:
        heard(tls.failing("not-a-console", in_one_line(error)))
        return None
    if ca is None:
        told = f"the CA that it serves is not the pinned one; pinned {way.pin}, served {spki_pin(served.pem)} · {words}"
        heard(tls.failing("certificate-not-trusted", told))
        return None
    trust = Trust.only_ca(ca)
    http = ProbeAnswer(About.CONSOLE, "http", f"{url}{CA_PATH}")
    trusted: list[bool] = []

    async def look(question: ProbeAnswer) -> ProbeAnswer:
        async with http_client(trust, base_url=url, proxies=way.proxies, timeout=SECONDS * 0.9) as client:
            answer = await call(client, "GET", CA_PATH)
        trusted.append(True)
        if answer.status_code >= 500:
            return question.failing("http-unavailable", f"answered HTTP {answer.status_code}")
        return question.passed(f"answered HTTP {answer.status_code}")

    answer = await bounded(http, look, SECONDS, silence="http-silent")
    if not trusted:
        # The console's own CA came through, yet what TLS shows is not by it: somebody in between opens TLS.
        opened = answer.kind == "certificate-not-trusted" and (
            bool(set(shown) & set(spki_pins(ca))) or bool(_INTERCEPTING.search(words))
        )
        kind = "tls-intercepted" if opened else answer.kind
        heard(replace(answer, probe="tls", target=url, kind=kind))
        return None
    heard(replace(tls.passed(words), seconds=answer.seconds))
    heard(answer)
    return None if answer.failed else trust


async def _served_words(way: ConsoleWay) -> str:
    try:
        shown = await served_certificate(way.endpoint.url, way.proxies, timeout=SECONDS / 2)
    except Unreachable as error:
        return f"the served certificate could not be looked at: {error.what}"
    return " · ".join(certificate_words(shown)) if shown else ""


def _clock(url: str, served: ServedCa, now: datetime) -> ProbeAnswer:
    """This machine's clock by the answer's Date, which is of whole seconds (RFC 9110, 6.6.1)."""
    question = ProbeAnswer(About.TIME, "clock", "this machine's clock", asked=url)
    if served.date is None:
        return question.unknown("the answer bears no time")
    ahead = (now - served.date).total_seconds()
    told = f"{abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} the console's"
    return question.failing("clock-wrong", told) if abs(ahead) > CLOCK_TOLERANCE_SECONDS else question.passed(told)
