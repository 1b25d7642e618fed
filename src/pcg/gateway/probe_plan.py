"""Whom to ask about what on this machine, by what is known of its installer. Each part is a chain of probes.

Nobody is asked without a reason: a step that is done needs its image no more, and an address is asked for only while
none of our machines has it. Called by `this_machine`, which runs all parts side by side.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pcg.diagnosis.probes.address import probe_address
from pcg.diagnosis.probes.answer import About, ProbeAnswer, in_one_line
from pcg.diagnosis.probes.api_server import PORT as API_PORT
from pcg.diagnosis.probes.api_server import probe_api_server
from pcg.diagnosis.probes.console import ConsoleWay, probe_console
from pcg.diagnosis.probes.dhcp import adapter_answer, probe_dhcp
from pcg.diagnosis.probes.disk import probe_disk
from pcg.diagnosis.probes.first_hops import Heard
from pcg.diagnosis.probes.image import probe_image
from pcg.diagnosis.probes.sntp import probe_ntp_server
from pcg.diagnosis.probes.vcenter import probe_hosts, probe_vcenter
from pcg.errors import InvalidInput
from pcg.gateway.machine_knowledge import Given, Knowledge
from pcg.model.configuration import Configuration, shown_url
from pcg.model.states import StepName
from pcg.network.endpoint import parse_endpoint
from pcg.network.interfaces import Adapter
from pcg.network.name_queries import NameServer
from pcg.network.pins import parse_pin
from pcg.network.proxies import NO_PROXIES, Proxies, parse_proxies


@dataclass(frozen=True)
class Part:
    about: About
    target: str
    """told where the part did not come to its end"""
    work: Coroutine[Any, Any, None]


def plan(
    known: Knowledge,
    given: Given,
    own_adapters: list[Adapter],
    servers: tuple[NameServer, ...],
    logs: Path | None,
    heard: Heard,
) -> Iterator[Part]:
    """`servers` are name servers."""
    proxies = NO_PROXIES
    configuration = known.desired.configuration if known.desired and known.desired.mode == "run" else None
    if known.start is not None:
        typed = ProbeAnswer(About.CONSOLE, "settings", "what the installer is told")
        try:
            proxies, _ = parse_proxies(known.http_proxy, known.https_proxy, known.start.no_proxy, known.start.proxy_ca)
            way = _way(known, proxies, servers)
            yield Part(About.CONSOLE, way.endpoint.url, probe_console(way, heard))
        except InvalidInput as error:
            heard(typed.failing(_KINDS.get(error.reason, "proxy-invalid"), in_one_line(error)))
    if configuration is not None:
        yield from _of_configuration(configuration, known, proxies, servers, heard)
    if given.hosts:
        yield Part(About.HOSTS, ", ".join(given.hosts), probe_hosts(given.hosts, servers, heard))
    for adapter in own_adapters:
        heard(adapter_answer(adapter))
    # The nodes' network is mostly the installer's own, so an offer here says much; that there is none says nothing.
    leased = configuration is not None and configuration.network.addresses.dhcp is not None
    wanted = leased and not known.done(StepName.MACHINES)
    for adapter in own_adapters if given.dhcp else ():
        if adapter.up and adapter.carrier and (wanted or not adapter.address):
            yield Part(About.ADDRESSES, adapter.name, _one(probe_dhcp(adapter.name), heard))
    for path in dict.fromkeys([given.state, *([logs] if logs else [])]):
        yield Part(About.DISK, str(path), _one(probe_disk(path), heard))


_KINDS = {"endpoint-invalid": "endpoint-invalid", "ca-pin-invalid": "certificate-not-trusted"}
"""reason of a refusal: kind of failure; any other is about a proxy"""


def _way(known: Knowledge, proxies: Proxies, servers: tuple[NameServer, ...]) -> ConsoleWay:
    """Raises InvalidInput."""
    assert known.start is not None
    endpoint, _ = parse_endpoint(known.start.endpoint)
    through = proxies.proxy_for(endpoint.url)
    return ConsoleWay(
        endpoint=endpoint,
        proxies=proxies,
        ca=known.start.ca,
        pin=parse_pin(known.start.ca_pin) if known.start.ca_pin else None,
        servers=servers,
        proxy_credentials_withheld=known.start.proxy_has_password and through is not None and "@" not in through,
    )


def _of_configuration(
    configuration: Configuration, known: Knowledge, proxies: Proxies, servers: tuple[NameServer, ...], heard: Heard
) -> Iterator[Part]:
    vcenter, network, image = configuration.vcenter, configuration.network, configuration.template.image
    yield Part(About.VCENTER, vcenter.address, probe_vcenter(vcenter, servers, heard))
    if "://" in image and not known.done(StepName.TEMPLATE):
        yield Part(About.IMAGE, shown_url(image), _one(probe_image(image, proxies), heard))
    for server in network.ntp_servers:
        yield Part(About.TIME, server, probe_ntp_server(server, servers, heard))
    shared, standing = network.control_plane_address, known.cluster.standing
    # An address that a machine of ours may have already would only answer that it is ours.
    wanted = [slot.address for slot in known.cluster.slots if slot.address and slot.phase == "wanted"]
    for address in [*([shared] if shared and not standing else []), *wanted]:
        yield Part(About.ADDRESSES, address, _one(probe_address(address), heard))
    host = shared or next((slot.address for slot in standing if slot.address), known.first_address)
    if host and known.cluster.formed:
        work = probe_api_server(host, API_PORT, known.cluster_ca, servers, heard)
        yield Part(About.API_SERVER, host, work)


async def _one(probe: Coroutine[Any, Any, ProbeAnswer], heard: Heard) -> None:
    heard(await probe)
