"""How this machine itself resolves names, asked without blocking: its hosts file, then its name servers.

The system's resolver cannot be cancelled: with silent name servers it holds a thread for half a minute, and a program
that shall end within seconds would wait for it. Used by the live diagnosis.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pcg.network.name_queries import NameServer, Resolver
from pcg.network.name_servers import MAXIMUM, ResolvingLoop

RESOLV_CONF = Path("/etc/resolv.conf")
HOSTS = Path("/etc/hosts")

_MOST_BYTES = 1 << 20
_NOBODY = [("127.0.0.1", 9)]
"""a port where nobody listens stands in for no server: it answers at once that nobody is there"""


def name_servers_of_machine(path: Path = RESOLV_CONF) -> tuple[NameServer, ...]:
    """Of resolv.conf(5), port 53; empty where it names none or cannot be read."""
    found: list[NameServer] = []
    for line in _lines(path):
        words = line.split()
        if len(words) < 2 or words[0] != "nameserver":
            continue
        try:
            # An interface after % (link-local) is kept away: such a server cannot be asked by address alone.
            found.append((str(ipaddress.ip_address(words[1].partition("%")[0])), 53))
        except ValueError:
            continue
    return tuple(dict.fromkeys(found))[:MAXIMUM]


def hosts_file_addresses(name: str, path: Path = HOSTS) -> list[str]:
    """Of hosts(5), in its order."""
    wanted, found = name.rstrip(".").lower(), []
    for line in _lines(path):
        words = line.partition("#")[0].lower().split()
        if wanted in words[1:]:
            try:
                found.append(str(ipaddress.ip_address(words[0])))
            except ValueError:
                continue
    return list(dict.fromkeys(found))


def machine_loop(seconds: float) -> Callable[[], MachineLoop]:
    """For `asyncio.Runner(loop_factory=…)`: this machine's own name servers, `seconds` at most for a name."""
    return lambda: MachineLoop(name_servers_of_machine(), seconds)


class MachineLoop(ResolvingLoop):
    """Resolves by the hosts file, and else by the servers; none of it holds a thread for long."""

    def __init__(self, name_servers: Sequence[NameServer], seconds: float) -> None:
        super().__init__(name_servers or _NOBODY, try_seconds=seconds / 2, all_seconds=seconds)
        self._seconds = seconds

    def ask(self, name_servers: Sequence[NameServer]) -> None:
        """These, from now on."""
        self._resolver = Resolver(name_servers or _NOBODY, self._seconds / 2, self._seconds, self.time)

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> list[Any]:
        """As the system's. Raises socket.gaierror."""
        name = host.decode("ascii", "replace") if isinstance(host, bytes) else host
        known = await self.run_in_executor(None, hosts_file_addresses, name) if name else []
        family = options.get("family", 0)
        fitting = [one for one in known if family in (0, socket.AF_INET6 if ":" in one else socket.AF_INET)]
        if not fitting:
            return await super().getaddrinfo(host, port, **options)
        found: list[Any] = []
        for one in fitting:
            found += await super().getaddrinfo(one, port, **options)
        return found


def _lines(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            return file.read(_MOST_BYTES).decode(errors="replace").splitlines()
    except OSError:
        return []
