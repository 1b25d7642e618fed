"""What an installer is told, checked before any network call: endpoint, pairing code, pin or CA, proxy, limits.

`pcg install` builds the settings from options, environment or OVF properties; the agent and bootstrap use them.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pcg.errors import InvalidInput
from pcg.gateway.dialing import TRY_UPGRADE_SECONDS
from pcg.model.states import REGISTRATION_OVERDUE_SECONDS
from pcg.network.endpoint import Endpoint, parse_endpoint
from pcg.network.name_servers import loop_factory, parse_name_servers
from pcg.network.pins import parse_pin, spki_pin
from pcg.network.proxies import Proxies, parse_proxies
from pcg.network.trust import Trust
from pcg.sealing import pairing_code


@dataclass(frozen=True)
class InstallSettings:
    """As typed. `give_up_after` in seconds; None: bootstrap is retried for ever. `jet_speed` divides jet's back-off."""

    endpoint: str
    state: Path
    pairing_code: str | None = field(default=None, repr=False)
    ca_pin: str | None = None
    ca: str | None = None
    """PEM, when a CA file was given instead of a pin"""
    http_proxy: str | None = field(default=None, repr=False)
    https_proxy: str | None = field(default=None, repr=False)
    """http://[USER:PASSWORD@]HOST:PORT, or https:// for a proxy by TLS; the console is reached through this one"""
    no_proxy: str | None = None
    """what is reached directly: names, .suffixes, addresses, CIDRs"""
    proxy_ca: str | None = None
    """PEM that proves a proxy by TLS, beside the system's CAs"""
    name_servers: str | None = None
    """ADDRESS[:PORT], separated by commas: asked instead of this machine's own"""
    give_up_after: float | None = None
    installer_name: str = field(default_factory=socket.gethostname)
    jet_speed: float = 1.0
    machine_speed: float = 1.0
    """how many times faster than real life the cloud's machines are: divides how long is waited for them"""
    overdue_after: float = REGISTRATION_OVERDUE_SECONDS
    """seconds without a registration after which a person is told"""
    try_upgrade_after: float = TRY_UPGRADE_SECONDS
    """seconds of polling after which a WebSocket is tried again the first time"""


@dataclass(frozen=True)
class Plan:
    """The settings after their check. Exactly one of `pin` and `ca` is set; `code` is None when none was given."""

    endpoint: Endpoint
    state: Path
    code: str | None = field(repr=False)
    pin: str | None
    ca: str | None
    proxies: Proxies
    name_servers: str | None
    give_up_after: float | None
    installer_name: str
    jet_speed: float
    machine_speed: float
    overdue_after: float
    try_upgrade_after: float
    notices: list[str]


def loop_of(settings: InstallSettings) -> Callable[[], asyncio.AbstractEventLoop]:
    """What makes the event loop in which the gateway resolves names as it was told. Raises InvalidInput."""
    return loop_factory(parse_name_servers(settings.name_servers) if settings.name_servers else ())


def check(settings: InstallSettings) -> Plan:
    """Raises InvalidInput for the first wrong value, with its field; makes no network call."""
    endpoint, notices = parse_endpoint(settings.endpoint)
    proxies, told = parse_proxies(settings.http_proxy, settings.https_proxy, settings.no_proxy, settings.proxy_ca)
    if (settings.ca_pin is None) == (settings.ca is None):
        raise InvalidInput(
            "Give the console's CA pin or its CA file: one of the two, and not both.",
            reason="ca-pin-missing" if settings.ca is None else "ca-pin-and-file",
            field_name="ca-pin",
            remedy=["Copy --ca-pin from the console's page or from `pcg gateway create`."],
        )
    if settings.ca is not None:
        spki_pin(settings.ca)
        Trust.only_ca(settings.ca).context()
    if settings.give_up_after is not None and not settings.give_up_after > 0:
        raise InvalidInput(
            "give-up-after must be more than nothing.", "give-up-after-invalid", field_name="give-up-after"
        )
    if not settings.overdue_after > 0:
        raise InvalidInput(
            "overdue-after must be more than nothing.", "overdue-after-invalid", field_name="overdue-after"
        )
    if not settings.try_upgrade_after > 0:
        raise InvalidInput(
            "try-upgrade-after must be more than nothing.", "try-upgrade-after", field_name="try-upgrade-after"
        )
    if not settings.jet_speed > 0:
        raise InvalidInput("The speed of jet's restarts must be above 0.", "jet-speed-invalid", field_name="jet-speed")
    if not settings.machine_speed > 0:
        raise InvalidInput(
            "The speed of machines must be above 0.", "machine-speed-invalid", field_name="machine-speed"
        )
    return Plan(
        endpoint=endpoint,
        state=settings.state,
        code=pairing_code.parse(settings.pairing_code) if settings.pairing_code else None,
        pin=parse_pin(settings.ca_pin) if settings.ca_pin is not None else None,
        ca=settings.ca,
        proxies=proxies,
        name_servers=settings.name_servers,
        give_up_after=settings.give_up_after,
        installer_name=settings.installer_name[:253],
        jet_speed=settings.jet_speed,
        machine_speed=settings.machine_speed,
        overdue_after=settings.overdue_after,
        try_upgrade_after=settings.try_upgrade_after,
        notices=[*notices, *told],
    )
