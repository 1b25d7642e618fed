"""What machines find around and in themselves: the node image, the services on it, the network between them.

All is well unless whoever has the data center in hand changes it, also while machines run. Guests, nodes and their
listeners look here as a real one would meet its disk, its cable or its neighbours; nobody tells them why.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Surroundings:
    # The node image, met while a machine boots.
    data_source: bool = True
    """cloud-init's VMware data source is in it"""
    network_configuration: bool = True
    """cloud-init may configure the network; False: it is switched off in /etc/cloud, and netplan asks for nothing"""
    writable: bool = True
    """the root file system can be written when cloud-init runs"""
    agents_run: bool = True
    """open-vm-tools"""

    # What happens to machines that run.
    cards_connected: bool = True
    kubelets_run: bool = True
    api_servers_run: bool = True
    disks_have_room: bool = True
    tokens_valid: bool = True
    """False: the bootstrap tokens of every cluster have run out"""

    # The network.
    announcements: bool = True
    """the switch lets a machine answer for an address that is not its own (forged transmits)"""
    routed: bool = True
    """packets from outside come to the machines' network and back"""
    closed_ports: frozenset[int] = frozenset()
    """of the machines, which a packet filter drops"""
    intercepted_ports: frozenset[int] = frozenset()
    """something between opens TLS there, with a certificate of its own"""

    counters: list[Callable[[str], int]] = field(default_factory=list)
    """of parts that count themselves, while they last, how often what is not well was met: by the attribute's name"""
    _met: Counter[str] = field(default_factory=Counter)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def next_change(self) -> asyncio.Event:
        return self._changed

    def change(self, **values: bool | frozenset[int]) -> None:
        for name, value in values.items():
            setattr(self, name, value)
        self._changed.set()
        self._changed = asyncio.Event()

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await self._changed.wait()

    def well(self, name: str) -> bool:
        """Whether it is, asked by one who depends on it."""
        is_well = bool(getattr(self, name))
        self.meet(name, not is_well)
        return is_well

    def meet(self, name: str, times: int = 1) -> None:
        """Somebody met that it is not well."""
        self._met[name] += times

    def times_met(self, name: str) -> int:
        return self._met[name] + sum(counter(name) for counter in self.counters)
