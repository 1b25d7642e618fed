"""What the hosts are like now: their clocks, and whether the data center reaches them. Kept by `datacenter.py`."""

from __future__ import annotations

from dataclasses import dataclass, field

from pcg.clouds.simulated.inventory import HOSTS
from pcg.clouds.simulated.refusals import Refusal


@dataclass
class Hosts:
    ahead: dict[str, float] = field(default_factory=dict)
    """seconds by host; those that are not here are right"""
    connected: bool = True
    asked: int = 0
    """how often a wrong clock was read"""
    failed: int = 0
    """how often a host was needed that could not be reached"""

    def clocks(self) -> dict[str, float]:
        """Seconds that each host's clock is ahead of the data center's."""
        self.asked += bool(self.ahead)
        return {host.name: self.ahead.get(host.name, 0.0) for host in HOSTS}

    def demand(self) -> None:
        """Raises Refusal `host-not-responding`."""
        if not self.connected:
            self.failed += 1
            name = HOSTS[0].name
            message = f"The host {name} does not respond: the connection with its management agent was lost."
            raise Refusal("host-not-responding", message, {"object": name, "fault": "HostNotResponding"})
