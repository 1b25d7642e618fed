"""The DHCP server of a simulated network: a scope of addresses, and a lease for each card that asked.

Leases outlive the server's process: whoever made it is told of each change and hands them back at the next start.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from pcg.clouds.guest.hypervisor import Lease


@dataclass(frozen=True)
class DhcpScope:
    """Addresses from `first` to `last`, both included, on one network."""

    first: str
    last: str
    prefix: int = 24
    gateway: str = ""
    name_servers: tuple[str, ...] = ()
    server: str = ""

    def addresses(self) -> list[str]:
        first, last = ipaddress.IPv4Address(self.first), ipaddress.IPv4Address(self.last)
        return [str(ipaddress.IPv4Address(number)) for number in range(int(first), int(last) + 1)]


class DhcpServer:
    """`refused` counts how often somebody asked while no address was free."""

    def __init__(
        self,
        scope: DhcpScope,
        leases: Mapping[str, str] | None = None,
        on_change: Callable[[Mapping[str, str]], None] = lambda leases: None,
    ) -> None:
        self.scope = scope
        self.leases = dict(leases or {})
        """address by the card's MAC"""
        self.refused = 0
        self.running = True
        """False: nobody answers"""
        self.unheard = 0
        """how often somebody asked while the server did not run"""
        self._on_change = on_change

    @property
    def free(self) -> list[str]:
        taken = set(self.leases.values())
        return [address for address in self.scope.addresses() if address not in taken]

    def count_free(self) -> int | None:
        """As a person asks the server, None: it does not run. Asking while nothing is free counts as a refusal too."""
        if not self.running:
            self.unheard += 1
            return None
        free = len(self.free)
        self.refused += not free
        return free

    def discover(self, mac: str) -> Lease | None:
        """The card's lease, renewed or new; without an address when none is free. None: the server does not run."""
        if not self.running:
            self.unheard += 1
            return None
        address = self.leases.get(mac)
        if address is None:
            address = next(iter(self.free), None)
            if address is None:
                self.refused += 1
            else:
                self.take({mac: address})
        return Lease(
            address=address,
            prefix=self.scope.prefix,
            gateway=self.scope.gateway,
            name_servers=self.scope.name_servers,
            server=self.scope.server,
        )

    def take(self, leases: Mapping[str, str]) -> None:
        self.leases |= leases
        self._on_change(self.leases)

    def release(self, macs: Collection[str]) -> None:
        """Forget their leases; unknown ones are no matter."""
        if not self.leases.keys().isdisjoint(macs):
            self.leases = {mac: address for mac, address in self.leases.items() if mac not in macs}
            self._on_change(self.leases)
