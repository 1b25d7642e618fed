"""Whether the hosts' clocks are right and kept right: machines take their first time from them.

Used by `capacity.py` in preflight. A clock that is wrong makes every certificate look expired or not valid yet. One
bulk read for how the time is kept, and one call a host (at most 16, side by side) for the clock itself.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC

from pcg.clock import MOST_OFFSET
from pcg.clouds.base import Check
from pcg.clouds.vsphere.inventory import Properties, moid, plain_name, read
from pcg.clouds.vsphere.session import VsphereSession
from pcg.clouds.vsphere.vmomi import vim
from pcg.errors import AskPerson, PcgError

MOST_HOSTS = 16
MOST_SECONDS = 15.0
"""for all clocks; vCenter asks the host itself, and one that hangs must not hold up the rest"""
PATHS = ["name", "config.dateTimeInfo", "config.service", "configManager.dateTimeSystem"]
_SERVICES = {"ntp": "ntpd", "ptp": "ptpd"}


@dataclass(frozen=True)
class HostTime:
    """How one host keeps its time; None where the account may not see it."""

    name: str
    servers: list[str] | None
    running: bool | None
    offset: float | None
    """seconds that the host's clock is ahead of this gateway's"""

    @property
    def kept(self) -> bool:
        return bool(self.servers) and self.running is True


async def check(session: VsphereSession, hosts: Sequence[Properties]) -> list[Check]:
    """One check when all is right, else one for each host that is not."""
    asked = sorted(hosts, key=lambda host: plain_name(host["name"]))[:MOST_HOSTS]
    if not asked:
        return []
    found = await session.run(_read, session, asked)
    told = await asyncio.gather(*(_host_time(session, item) for item in found))
    failed = [check for host in told if (check := judge(host)) is not None]
    if failed:
        return failed
    offsets = [abs(host.offset) for host in told if host.offset is not None]
    clocks = f"clocks differ from this machine's by at most {max(offsets):.1f} s" if offsets else "NTP runs"
    more = f" ({len(hosts)} in all)" if len(hosts) > len(asked) else ""
    return [Check("time", True, f"time on {len(told)} hosts{more}: {clocks}")]


def judge(host: HostTime) -> Check | None:
    """None: right, and kept right."""
    name, where = f"time of {host.name}", {"host": host.name}
    if host.offset is not None and abs(host.offset) > MOST_OFFSET:
        ahead = "ahead of" if host.offset > 0 else "behind"
        wrong = AskPerson(
            f"The clock of host {host.name} is {abs(host.offset):.0f} s {ahead} this machine's.",
            reason="host-clock-wrong",
            evidence=[f"NTP servers of the host: {', '.join(host.servers or []) or 'none'}", _service(host)],
            cause="One of the two clocks is wrong; nodes begin with the host's, and certificates with this machine's.",
            remedy=[
                "Set NTP servers on the host (Configure, Time Configuration) and start the service; check that UDP "
                "123 passes; then compare with this machine's clock."
            ],
            fields={**where, "offset": f"{host.offset:.1f}", "allowed": f"{MOST_OFFSET:.0f}"},
        )
        return Check(name, False, wrong.what, wrong)
    if host.kept:
        return None
    now = "its clock is right now" if host.offset is not None else "its clock could not be read"
    lacks = "has no time server" if host.servers == [] else "does not run its time service"
    if host.servers is None:
        lacks = "does not show how it keeps its time"
    unsure = AskPerson(
        f"Host {host.name} {lacks}; {now}.",
        reason="host-time-not-kept",
        evidence=[f"NTP servers: {', '.join(host.servers or []) or 'none'}", _service(host)],
        remedy=[f"Set NTP servers on {host.name} and start the service with the host."],
        fields=where,
    )
    return Check(name, None, unsure.what, unsure)


def _service(host: HostTime) -> str:
    return f"time service: {'unknown' if host.running is None else 'running' if host.running else 'not running'}"


def _read(session: VsphereSession, hosts: Sequence[Properties]) -> list[Properties]:
    return read(session, [(host["object"], (), False) for host in hosts], [(vim.HostSystem, PATHS)])


async def _host_time(session: VsphereSession, item: Properties) -> HostTime:
    info, services = item.get("config.dateTimeInfo"), item.get("config.service")
    servers = None if info is None else list(getattr(info.ntpConfig, "server", None) or [])
    protocol = getattr(info, "systemClockProtocol", None) or "ntp"
    if protocol == "ptp":
        servers = ["PTP"]  # it needs no list of servers
    running = None
    if services is not None:
        running = any(one.key == _SERVICES.get(protocol, "ntpd") and one.running for one in services.service or [])
    return HostTime(plain_name(item.get("name", moid(item["object"]))), servers, running, await _offset(session, item))


async def _offset(session: VsphereSession, item: Properties) -> float | None:
    """None: the account lacks Host.Config.DateTime (most do), or the host does not answer."""
    if item.get("configManager.dateTimeSystem") is None:
        return None
    try:
        async with asyncio.timeout(MOST_SECONDS):
            return await session.run(_ask, item)
    except (PcgError, TimeoutError):
        return None  # how the time is kept says enough, or says itself that it cannot be told


def _ask(item: Properties) -> float | None:
    before = time.time()
    try:
        told = item["configManager.dateTimeSystem"].QueryDateTime()
    except vim.fault.NoPermission:
        return None
    between = (before + time.time()) / 2
    return float((told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp() - between)
