"""The ways that nodes will need, tried from the gateway's machine before there is any node: time servers, name servers,
the nodes' proxy, and the control-plane address, which nobody else may have.

Nodes often stand in another network than the gateway. So only what would be the same for them is called wrong; what
merely did not answer from here cannot be told. Called by `preflight_checks.py`.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from pcg.clock import MOST_OFFSET
from pcg.clouds.base import Check
from pcg.diagnosis.probes import sntp
from pcg.diagnosis.probes.answer import About, Outcome, ProbeAnswer
from pcg.diagnosis.probes.console import ConsoleWay, probe_console
from pcg.diagnosis.probes.name import ask_names
from pcg.errors import AskPerson
from pcg.gateway.address_claims import AskWhoHas
from pcg.model.configuration import Configuration
from pcg.network.address_in_use import Presence, address_in_use
from pcg.network.addresses import is_address
from pcg.network.endpoint import parse_endpoint
from pcg.network.machine_names import name_servers_of_machine
from pcg.network.proxies import parse_proxies, without_credentials

SECONDS = 6.0
"""for all of them together, side by side"""

NAME_SERVER_PORT = 53
_NOBODYS_NAME = "gateway.invalid"
"""no name server knows it (RFC 6761, 6.4), so each that answers says so"""

_UNKNOWN = "name-unknown"
"""it answers, and says that there is no such name"""


@dataclass(frozen=True)
class Ahead:
    """What is to be tried. `standing`: there are machines already, and one of them may have the shared address."""

    configuration: Configuration
    console_url: str
    console_ca: str
    """PEM"""
    standing: bool


LookAhead = Callable[[Ahead], Awaitable[list[Check]]]


async def ways_ahead(
    ahead: Ahead,
    *,
    ask_who_has: AskWhoHas = address_in_use,
    seconds: float = SECONDS,
    ntp_port: int = sntp.PORT,
    dns_port: int = NAME_SERVER_PORT,
) -> list[Check]:
    """One check for each way. Raises nothing that can be foreseen."""
    network = ahead.configuration.network
    host = urlsplit(ahead.console_url).hostname or ""
    ways: dict[str, Coroutine[Any, Any, Check]] = {
        **{f"time server {server}": _time_server(server, ntp_port) for server in network.ntp_servers},
        **{f"name server {server}": _name_server(server, dns_port, host) for server in network.name_servers},
    }
    if ahead.configuration.proxy.http or ahead.configuration.proxy.https:
        ways["nodes' proxy"] = _proxy(ahead)
    if network.control_plane_address is not None and not ahead.standing:
        ways["control-plane address"] = _shared_address(network.control_plane_address, ask_who_has)
    return list(await asyncio.gather(*(_bounded(name, way, seconds) for name, way in ways.items())))


async def _bounded(name: str, way: Coroutine[Any, Any, Check], seconds: float) -> Check:
    try:
        async with asyncio.timeout(seconds):
            return await way
    except TimeoutError:
        return _untold(name, f"The {name} did not answer this machine within {seconds:g} s.", [])


async def _time_server(server: str, port: int) -> Check:
    name = f"time server {server}"
    try:
        found = await asyncio.get_running_loop().getaddrinfo(server, port, type=socket.SOCK_DGRAM)
    except OSError as error:
        return _untold(name, f"The name of the {name} is not known on this machine.", [str(error)])
    answer = await sntp.probe_sntp(server, str(found[0][4][0]), port=port, tolerance=MOST_OFFSET)
    if answer.answer is Outcome.PASSED:
        return Check(name, True, answer.detail)
    if answer.kind == "clock-wrong":
        wrong = AskPerson(
            f"The clocks do not agree: {answer.detail}.",
            reason="clock-wrong",
            evidence=[f"asked: {answer.asked} (SNTP)"],
            cause="One of the two is wrong. Nodes take their time from the server, certificates theirs from here.",
            remedy=["Let this machine keep its time by the same servers, and see whether these have the right time."],
            fields={"server": server, "allowed": f"{MOST_OFFSET:.0f}"},
        )
        return Check(name, False, wrong.what, wrong)
    remedy = "Open UDP 123 from the nodes' network to it, or give another time server."
    return _untold(name, f"The {name} gave no good time to this machine.", [_told(answer)], remedy)


async def _name_server(server: str, port: int, host: str) -> Check:
    """Any answer will do but that it does not know the console, which nodes look for."""
    name = f"name server {server}"
    literal = is_address(host)
    wanted = _NOBODYS_NAME if literal else host
    answers, _ = await ask_names(About.CONSOLE, wanted, [(server, port)])
    answer = answers[-1]
    if answer.answer is Outcome.PASSED or (literal and answer.kind == _UNKNOWN):
        return Check(name, True, f"the {name} answers this machine")
    if answer.kind == _UNKNOWN:
        remedy = "Let it know the console's name, or let the nodes use a proxy, which asks by itself."
        return _untold(name, f"The {name} does not know the console's name {host}.", [_told(answer)], remedy)
    remedy = "Open UDP and TCP 53 from the nodes' network to it, or give another name server."
    return _untold(name, f"The {name} gave this machine no answer.", [_told(answer)], remedy)


async def _proxy(ahead: Ahead) -> Check:
    """The way by which jet will reach the console. Whether the proxy accepts its user is the same from everywhere."""
    name, given = "nodes' proxy", ahead.configuration.proxy
    proxies, _ = parse_proxies(given.http, given.https, ",".join(given.no), given.ca)
    endpoint, _ = parse_endpoint(ahead.console_url)
    through = proxies.proxy_for(endpoint.url)
    if through is None:
        return Check(name, True, f"nodes reach {endpoint.url} directly")
    shown, answers = without_credentials(through), list[ProbeAnswer]()
    await probe_console(
        ConsoleWay(endpoint, proxies, ca=ahead.console_ca, servers=name_servers_of_machine()), answers.append
    )
    failed = [answer for answer in answers if answer.failed]
    if not failed:
        return Check(name, True, f"{shown} opens the way to {endpoint.url}")
    evidence = [_told(answer) for answer in failed]
    if any(answer.kind == "proxy-authentication-required" for answer in failed):
        wrong = AskPerson(
            f"The nodes' proxy {shown} does not accept its user and password.",
            reason="nodes-proxy-refuses",
            evidence=evidence,
            remedy=["Correct proxy.https and proxy.http: USER:PASSWORD@ before the proxy's host."],
            fields={"hop": "proxy", "target": endpoint.url, "proxy": shown},
        )
        return Check(name, False, wrong.what, wrong)
    remedy = f"Let the proxy open {endpoint.url} (CONNECT) for the nodes' network."
    return _untold(name, f"From this machine {endpoint.url} is not reached through {shown}.", evidence, remedy)


async def _shared_address(address: str, ask_who_has: AskWhoHas) -> Check:
    name = "control-plane address"
    answer = await ask_who_has(address)
    if answer.presence is Presence.FREE:
        return Check(name, True, answer.evidence)
    if answer.presence is Presence.CANNOT_TELL:
        return _untold(
            name, f"Whether somebody has the control-plane address {address} cannot be told.", [answer.evidence]
        )
    return Check(name, False, (taken := address_taken(address, answer.evidence, answer.mac)).what, taken)


def address_taken(address: str, evidence: str, mac: str) -> AskPerson:
    """The same words in preflight and in the step `addresses`, which looks once more."""
    return AskPerson(
        f"The control-plane address {address} is in use by somebody else.",
        reason="address-in-use",
        evidence=[evidence],
        remedy=["Take the address away from whoever has it, or configure another controlPlaneAddress."],
        fields={"resource": "control-plane-address", "where": address, "address": address, "mac": mac},
    )


def _untold(name: str, what: str, evidence: list[str], remedy: str = "") -> Check:
    unsure = AskPerson(
        what,
        reason="not-told-from-here",
        evidence=evidence,
        cause="The nodes' network may have another way than this machine.",
        remedy=[remedy] if remedy else [],
    )
    return Check(name, None, what, unsure)


def _told(answer: ProbeAnswer) -> str:
    asked = f" (asked: {answer.asked})" if answer.asked else ""
    return f"{answer.probe} of {answer.target}{asked}: {answer.detail}"
