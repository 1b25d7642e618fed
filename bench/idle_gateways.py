"""Gateways that do nothing but live, many in one process: enrolled in a console's store, and connected to it.

Used by `bench_heartbeats.py`. What they say is the true protocol, with real keys, over real connections.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from pcg.clock import SystemClock
from pcg.console.app import certificates_of
from pcg.console.auth import Actor
from pcg.console.pairing import Pairing
from pcg.console.service import Service
from pcg.console.settings import Settings
from pcg.console.store.database import Database
from pcg.model.configuration import CloudKind, parse_configuration
from pcg.model.records import GatewayStatus
from pcg.model.states import Role
from pcg.network.trust import Trust
from pcg.network.websocket import Transport, open_websocket
from pcg.sealing import encoding, pairing_code, signatures
from pcg.sealing.boxes import seal_credentials
from pcg.sealing.keys import GatewayKeys
from pcg.wire import frames, versions
from pcg.wire.registration import RegistrationRequest

CONFIGURATION: dict[str, Any] = {
    "cloud": "simulated",
    "vcenter": {
        "address": "192.0.2.1:443",
        "trust": {"thumbprint": ":".join(["AB"] * 32)},
        "username": "svc-pcg@vsphere.local",
    },
    "placement": [
        {
            "datacenter": "dc-1",
            "cluster": "cluster-1",
            "resourcePool": "pool-1",
            "folder": "pcg",
            "datastore": "datastore-1",
            "network": "network-1",
        }
    ],
    "template": {"folder": "spectro-templates", "image": "https://192.0.2.1/image.ova"},
    "nodes": {"count": 1, "size": "small"},
    "network": {"addresses": {"dhcp": {}}, "nameServers": [], "ntpServers": []},
}

_F = TypeVar("_F", bound=frames.Challenge | frames.Welcome | frames.Desired)


@dataclass(frozen=True)
class IdleGateway:
    """Registered and configured."""

    gateway_id: str
    console_id: str
    keys: GatewayKeys


@asynccontextmanager
async def open_store(data: Path) -> AsyncIterator[Service]:
    """The rules and the store of a console that does not run: enrolling over its API would take minutes."""
    settings, clock = Settings.from_options(listen="127.0.0.1:0", data=data), SystemClock()
    data.mkdir(mode=0o700, exist_ok=True)  # noqa: ASYNC240 - nobody waits in this loop yet
    database = Database(settings.database_url)
    await database.migrate()
    try:
        yield Service(database, certificates_of(settings, clock), settings.endpoint, clock)
    finally:
        await database.close()


async def enrol(service: Service, count: int) -> list[IdleGateway]:
    """Made, registered with keys of their own and configured, so that the console has something to want of each."""
    pairing, person = Pairing(service), Actor("bench", "bench@example.com", Role.ADMIN)
    configuration, _ = parse_configuration(CONFIGURATION)
    gateways = []
    for number in range(count):
        made = await service.gateways.create(person, f"idle-{number}", CloudKind.SIMULATED)
        keys = GatewayKeys.generate()
        answer = await pairing.register(_registration(pairing, made.pairing_code, keys))
        sealed = seal_credentials(keys.public_sealing, answer.gateway_id, configuration.vcenter, "password")
        await service.configurations.configure(person, answer.gateway_id, CONFIGURATION, ciphertext=sealed)
        gateways.append(IdleGateway(answer.gateway_id, answer.console_id, keys))
    return gateways


class Crowd:
    """Sessions with the console, and connections to an echo. `seen` counts what was sent and heard on all of them.

    A beat every 20 seconds on each, from its own beginning on, in tasks of `group`: the first that fails ends it.
    """

    def __init__(self, console_url: str, echo_url: str, ca: str, group: asyncio.TaskGroup) -> None:
        self.seen: Counter[str] = Counter()
        self._session_url = f"{console_url.replace('https://', 'wss://')}/gateway/v1/session"
        self._echo_url = echo_url
        self._trust = Trust.only_ca(ca).context()
        self._group = group
        self._connections: list[Transport] = []
        self._working: list[asyncio.Task[None]] = []

    async def connect(self, gateway: IdleGateway) -> None:
        """A session, and right after it an echo, so that the beats of both lie alike."""
        session = await open_websocket(self._session_url, self._trust)
        self._connections.append(session)
        await _begin(session, gateway)
        self._live(session, "heartbeats", "heartbeats heard")
        echo = await open_websocket(self._echo_url, self._trust)
        self._connections.append(echo)
        self._live(echo, "messages", "messages heard")

    async def close(self) -> None:
        for task in self._working:
            task.cancel()
        await asyncio.wait(self._working)
        for connection in self._connections:
            await connection.close()

    def _live(self, transport: Transport, sent: str, heard: str) -> None:
        works: tuple[Coroutine[Any, Any, None], ...] = (self._beat(transport, sent), self._hear(transport, heard))
        self._working += [self._group.create_task(work) for work in works]

    async def _beat(self, transport: Transport, sent: str) -> None:
        while True:
            await asyncio.sleep(frames.HEARTBEAT_SECONDS)
            await _send(transport, frames.Heartbeat(time=datetime.now(UTC)))
            self.seen[sent] += 1

    async def _hear(self, transport: Transport, heard: str) -> None:
        while True:
            frame = frames.decode(await transport.receive())
            if not isinstance(frame, frames.Heartbeat):
                raise RuntimeError(f"an idle gateway was sent {frame.type}")
            self.seen[heard] += 1


def _registration(pairing: Pairing, code: str, keys: GatewayKeys) -> RegistrationRequest:
    """As an installer signs it (`gateway/bootstrap.py`)."""
    identity, of_code = pairing.identity(), pairing_code.signing_key(pairing_code.parse(code))
    parts = signatures.registration_parts(
        encoding.encode(bytes(of_code.verify_key)),
        keys.public_signing,
        keys.public_sealing,
        identity.console_id,
        identity.identity_key,
        identity.nonce,
    )
    return RegistrationRequest(
        pairing_key=parts[0],
        signing_key=keys.public_signing,
        sealing_key=keys.public_sealing,
        nonce=identity.nonce,
        pairing_signature=signatures.sign(of_code, signatures.REGISTER, *parts),
        possession_signature=signatures.sign(keys.signing, signatures.REGISTER, *parts),
        installer_name="bench",
    )


async def _begin(transport: Transport, gateway: IdleGateway) -> None:
    """Through the mutual challenge to the first status, as `gateway/connection.py` does it."""
    nonce, supported = signatures.new_nonce(), (versions.LOWEST, versions.CURRENT)
    await _send(transport, frames.Hello(versions=supported, gateway_id=gateway.gateway_id, nonce=nonce))
    challenge = await _expect(transport, frames.Challenge)
    parts = signatures.session_parts(challenge.version, gateway.gateway_id, gateway.console_id, nonce, challenge.nonce)
    signature = signatures.sign(gateway.keys.signing, signatures.SESSION_GATEWAY, *parts)
    await _send(transport, frames.Proof(signature=signature, writer=gateway.gateway_id))
    welcome = await _expect(transport, frames.Welcome)
    desired = (await _expect(transport, frames.Desired)).state
    status = GatewayStatus(generation=desired.generation, incarnation=desired.incarnation)
    await _send(transport, frames.Status(term=welcome.term, revision=1, status=status))


async def _send(transport: Transport, frame: frames.Frame) -> None:
    await transport.send(frames.encode(frame))


async def _expect(transport: Transport, wanted: type[_F]) -> _F:
    frame = frames.decode(await transport.receive())
    if not isinstance(frame, wanted):
        raise RuntimeError(f"the console sent {frame} where {wanted.__name__} belongs")
    return frame
