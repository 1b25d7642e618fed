"""The probe `name`: which name server answers what for a name, each asked alone; and the hosts file before them.

A literal address needs nobody. Asked with the queries that the gateway itself uses (`pcg.network.name_queries`), so UDP
first and TCP for what was cut off. Called by the chains of `first_hops`.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

from pcg.diagnosis.probes.answer import About, ProbeAnswer, bounded
from pcg.network.addresses import is_address
from pcg.network.machine_names import hosts_file_addresses
from pcg.network.name_queries import NameServer, Resolver

SECONDS = 3.0
"""for one name server, its silence included"""

_KINDS = (
    ("NXDOMAIN", "name-unknown"),
    ("SERVFAIL", "name-server-failed"),
    ("REFUSED", "name-server-refused"),
    ("did not answer", "name-server-silent"),
    ("could not be asked", "name-server-unreachable"),
    ("cannot be read", "name-server-failed"),
    ("no IPv", "name-unknown"),
)
"""words of `name_queries`: the kind"""


async def ask_names(
    about: About, name: str, servers: Sequence[NameServer], *, seconds: float = SECONDS
) -> tuple[list[ProbeAnswer], list[str]]:
    """One answer for each server, all asked side by side, and the addresses that were found."""
    question = ProbeAnswer(about, "name", name)
    if is_address(name):
        return [question.passed("an address: no name server is needed")], [name]
    known = await asyncio.to_thread(hosts_file_addresses, name)
    if known:
        return [question.passed(", ".join(known), asked="the hosts file")], known
    if not servers:
        return [question.failing("no-name-server", "this machine has no name server (resolv.conf names none)")], []
    found: dict[NameServer, list[str]] = {}

    async def ask(server: NameServer) -> ProbeAnswer:
        host, port = server
        asked = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

        async def look(question: ProbeAnswer) -> ProbeAnswer:
            loop = asyncio.get_running_loop()
            # Its own patience ends first, for its words say more than ours.
            resolver = Resolver([server], seconds * 0.9, seconds * 0.9, loop.time)
            try:
                found[server] = await resolver.addresses(name, ("A", "AAAA"))
            except socket.gaierror as error:
                told = str(error.strerror or error)
                kind = next((kind for words, kind in _KINDS if words in told), "name-not-resolved")
                return question.failing(kind, told)
            return question.passed(", ".join(found[server]))

        asking = ProbeAnswer(about, "name", name, asked=f"name server {asked}")
        return await bounded(asking, look, seconds, silence="name-server-silent")

    answers = await asyncio.gather(*(ask(server) for server in servers))
    return list(answers), list(dict.fromkeys(address for server in servers for address in found.get(server, [])))
