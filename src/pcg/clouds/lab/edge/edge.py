"""The edge between the gateways of a data center and one console: name server, forward proxy, relay, TLS terminator,
and a host of artifacts beside the console.

    gateway ─ name server: console.edge.test → the relay's address, artifacts.edge.test → the artifact host's
       ├───── (forward proxy) ─ relay ─ TLS terminator ─ console
       └───── (forward proxy) ─ artifact host

The relay is the outermost, because only who owns the port that clients connect to can refuse them, or leave them
without an answer, as they would see it in life: behind anything else each connection would be accepted first. Started
by `process`, and by tests.

Its faults are named edge/PART/FAULT. Those of name server, TLS and proxy concern what connects from then on: a drill
that wants what stands to meet them switches `edge/relay/cut` on and off.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pcg.clock import Clock
from pcg.clouds.lab.edge import artifact_host, forward_proxy, name_server, relay, tls_terminator
from pcg.clouds.lab.edge.artifact_host import ArtifactHost
from pcg.clouds.lab.edge.forward_proxy import ForwardProxy
from pcg.clouds.lab.edge.name_server import NameServer
from pcg.clouds.lab.edge.relay import Pace, Relay
from pcg.clouds.lab.edge.tls_terminator import TlsTerminator
from pcg.clouds.lab.edge.upstream import Upstream
from pcg.errors import NotFound
from pcg.network.addresses import is_address

NAME = "console.edge.test"
ARTIFACTS = "artifacts.edge.test"
OWN_CA = "own-ca.pem"
"""in the edge's folder, for gateways that shall trust it"""
_DOWN = "upstream-down"

FAULTS = {
    **{f"edge/artifacts/{fault}": told for fault, told in artifact_host.FAULTS.items()},
    **{f"edge/name-server/{fault}": told for fault, told in name_server.FAULTS.items()},
    **{f"edge/proxy/{fault}": told for fault, told in forward_proxy.FAULTS.items()},
    **{f"edge/relay/{fault}": told for fault, told in relay.FAULTS.items() if fault != _DOWN},
    **{f"edge/tls/{fault}": told for fault, told in tls_terminator.FAULTS.items()},
    "edge/console/down": relay.FAULTS[_DOWN],
}


@dataclass(frozen=True)
class Ports:
    """0 takes a free one."""

    endpoint: int = 0
    name_server: int = 0
    proxy: int = 0
    artifacts: int = 0


class Edge:
    """`console` is HOST:PORT, on this machine; `ca` a file with the key and the certificate of its CA. `name` may be an
    address of this machine, for gateways that ask no name server.

    Raises InvalidInput for an address elsewhere and for a file that cannot be used.
    """

    def __init__(
        self,
        folder: Path,
        console: str,
        *,
        ca: Path | None = None,
        name: str = NAME,
        proxy_user: str = "",
        proxy_password: str = "",
        host: str = "127.0.0.1",
        ports: Ports | None = None,
        pace: Pace | None = None,
        clock: Clock | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.endpoint = ""
        """https://NAME:PORT of the outermost hop, once it serves"""
        self.name_server = ""
        """HOST:PORT, once it serves"""
        self.proxy = ""
        """http://HOST:PORT, once it serves; without user and password"""
        self.artifacts = ""
        """https://NAME:PORT of the artifact host, once it serves; its CA is `own_ca`"""
        self._host = host
        self._name = name
        self._ports = ports or Ports()
        names = {ARTIFACTS: host, **({} if is_address(name) else {name.lower(): host})}
        self._names = NameServer(names)
        self._proxy = ForwardProxy(folder, user=proxy_user, password=proxy_password, names=names)
        self._tls = TlsTerminator(folder, Upstream.parse(console), name, ca=ca)
        self._relay = Relay(pace=pace, clock=clock)
        (folder / OWN_CA).write_text(self.own_ca)
        self._artifacts = ArtifactHost(self._tls.authority, Upstream.parse(console), ARTIFACTS)

    @property
    def own_ca(self) -> str:
        """PEM: whose certificates `edge/tls/certificate-other-ca` and the artifact host show."""
        return self._tls.authority.pem

    async def start(self) -> None:
        """Raises OSError when an address cannot be had; then nothing is left open."""
        try:
            await self._tls.start(self._host)
            await self._relay.start(Upstream.parse(self._tls.address), self._host, self._ports.endpoint)
            await self._names.start(self._host, self._ports.name_server)
            await self._proxy.start(self._host, self._ports.proxy)
            await self._artifacts.start(self._host, self._ports.artifacts)
        except OSError:
            await self.stop()
            raise
        port = self._relay.address.rpartition(":")[2]
        self.endpoint = f"https://{self._name}:{port}"
        self.name_server = self._names.address
        self.proxy = f"http://{self._proxy.address}"
        self.artifacts = f"https://{ARTIFACTS}:{self._artifacts.address.rpartition(':')[2]}"

    async def stop(self) -> None:
        for part in (self._artifacts, self._proxy, self._names, self._relay, self._tls):
            await part.stop()

    def addresses(self) -> dict[str, str]:
        """As the data center's ready line tells them."""
        return {
            "endpoint": self.endpoint,
            "name_server": self.name_server,
            "proxy": self.proxy,
            "artifacts": self.artifacts,
        }

    async def faults(self) -> dict[str, dict[str, Any]]:
        """As `pcg.clouds.lab.control` tells them: each with `on`, and `hits`, how often it struck."""
        described = {}
        for name in FAULTS:
            part, fault = self._part(name)
            described[name] = {"on": fault in part.faults, "hits": part.hits[fault]}
        return described

    async def switch(self, fault: str, *, on: bool) -> None:
        """The same again is harmless. Raises NotFound."""
        if fault not in FAULTS:
            known = [f"known: {', '.join(FAULTS)}"]
            raise NotFound(f"The edge has no fault {fault!r}.", reason="fault-unknown", evidence=known)
        part, name = self._part(fault)
        if isinstance(part, Relay):
            await part.switch(name, on=on)
        elif isinstance(part, ForwardProxy) and name == "port-closed":
            if on:
                part.close()
            else:
                await part.open()
        else:
            (part.faults.add if on else part.faults.discard)(name)

    def _part(self, name: str) -> tuple[NameServer | ForwardProxy | Relay | TlsTerminator | ArtifactHost, str]:
        """With the fault as that part names it."""
        _, part, fault = name.split("/")
        match part:
            case "name-server":
                return self._names, fault
            case "proxy":
                return self._proxy, fault
            case "artifacts":
                return self._artifacts, fault
            case "tls":
                return self._tls, fault
            case "relay":
                return self._relay, fault
            case _:
                return self._relay, _DOWN
