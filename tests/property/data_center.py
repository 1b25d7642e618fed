"""The real data center in simulated time, as if it were a process of its own: it can be killed and started again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from doubles.jet import obedient_jet
from pcg.clock import LoopClock
from pcg.clouds.base import ObservedMachine
from pcg.clouds.guest.api_servers import ApiServers
from pcg.clouds.simulated.cloud import SimulatedCloud, observed
from pcg.clouds.simulated.datacenter import DataCenter, shown
from pcg.clouds.simulated.lab import CONTROL_PLANE_ADDRESS, IMAGE, InProcessLab, in_process_lab
from pcg.gateway.etcd_api import EtcdApi
from pcg.gateway.kubernetes_api import KubernetesApi
from pcg.nodes.pki import ClientCertificate, ClusterSecrets


def document(nodes: int) -> dict[str, Any]:
    """What a person configures for it."""
    return {
        "cloud": "simulated",
        "vcenter": {"address": "127.64.0.2", "username": "svc-pcg@vsphere.local"},
        "placement": [{"datacenter": "dc-1", "cluster": "c-1", "datastore": "ds-1", "network": "VM Network"}],
        "template": {"image": IMAGE},
        "nodes": {"count": nodes, "size": "small"},
        "network": {"controlPlaneAddress": CONTROL_PLANE_ADDRESS} if nodes == 3 else {},
    }


class DataCenterProcess(httpx.AsyncBaseTransport):
    """Also the transport to its API: refused while it is dead, whichever life answers."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lab: InProcessLab | None = None
        self._api: httpx.AsyncBaseTransport | None = None
        self._work: asyncio.Task[None] | None = None
        self._lives = 0
        self.cloud = SimulatedCloud(self)

    async def start(self) -> None:
        up: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._work = asyncio.create_task(self._live(up))
        await up

    async def kill(self) -> None:
        """What it had on disk stays."""
        self._lab = self._api = None
        assert self._work is not None
        self._work.cancel()
        await asyncio.gather(self._work, return_exceptions=True)

    @property
    def center(self) -> DataCenter:
        assert self._lab is not None
        return self._lab.center

    @property
    def servers(self) -> ApiServers:
        """At which whoever comes by the network meets its machines."""
        assert self._lab is not None
        return self._lab.servers

    def machines(self) -> list[ObservedMachine]:
        return [observed(shown(machine)) for machine in self.center.machines]

    @asynccontextmanager
    async def kubernetes(
        self, address: str, secrets: ClusterSecrets, certificate: ClientCertificate
    ) -> AsyncIterator[KubernetesApi]:
        async with self.client(address, secrets.ca_certificate, certificate) as client:
            yield KubernetesApi(client)

    @asynccontextmanager
    async def etcd(
        self, address: str, secrets: ClusterSecrets, certificate: ClientCertificate
    ) -> AsyncIterator[EtcdApi]:
        async with self.client(address, secrets.etcd_ca_certificate, certificate) as client:
            yield EtcdApi(client)

    def client(self, address: str, ca: str, certificate: ClientCertificate) -> httpx.AsyncClient:
        """To HOST:PORT of a server of the cluster."""
        transport: httpx.AsyncBaseTransport = self
        if self._lab is not None:
            transport = self._lab.kubernetes(ca=ca, certificate=certificate.certificate)
        return httpx.AsyncClient(transport=transport, base_url=f"https://{address}")

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self._api is None:
            raise httpx.ConnectError("[Errno 111] Connection refused", request=request)
        life = self._lives
        answer = await self._api.handle_async_request(request)
        if life != self._lives or self._api is None:
            raise httpx.ReadError("[Errno 104] Connection reset by peer", request=request)
        return answer

    async def _live(self, up: asyncio.Future[None]) -> None:
        async with in_process_lab(self._folder, LoopClock(), containers={"pcg/jet": obedient_jet}) as lab:
            self._lab, self._api = lab, lab.cloud.transport
            self._lives += 1
            up.set_result(None)
            await asyncio.Event().wait()
