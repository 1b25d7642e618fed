"""The gateway's client of its cluster's etcd: who its members are, and the removal of one whose machine is gone.

By etcd's JSON gateway on the members' client port, so that no gRPC is needed (docs/decisions/0013). Errors are
Unreachable with the hop, or TryAgain with the server's own words. Tests replace the transport.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from pcg.errors import TryAgain
from pcg.gateway.cluster_client import cluster_client
from pcg.network.failures import translate
from pcg.network.plain_httpx import httpx
from pcg.nodes.pki import ClientCertificate, ClusterSecrets

CLIENT_PORT = 2379
_NOT_FOUND = 404

EtcdFactory = Callable[[str, ClusterSecrets, ClientCertificate], AbstractAsyncContextManager["EtcdApi"]]
"""From HOST:PORT, the cluster's secrets and a client certificate of etcd's own CA."""


class EtcdApi:
    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def members(self) -> dict[str, str]:
        """The id of each member by its name, which is its node's."""
        return {str(item["name"]): str(item["ID"]) for item in await self._list() if item.get("name")}

    async def voters(self) -> set[str]:
        """Names of the members that count for the majority: kubeadm lets one in as a learner first, which only follows
        (https://etcd.io/docs/v3.5/learning/design-learner/)."""
        return {str(item["name"]) for item in await self._list() if item.get("name") and not item.get("isLearner")}

    async def never_started(self) -> dict[str, str]:
        """The id of each member that was announced and never began, by the host of its peer URL: it has no name."""
        nameless = [item for item in await self._list() if not item.get("name")]
        return {urlsplit(str(url)).hostname or "": str(item["ID"]) for item in nameless for url in item["peerURLs"]}

    async def remove(self, member: str) -> None:
        """By id; one that is gone already is no error."""
        await self._call("remove", {"ID": member})

    async def _list(self) -> list[dict[str, Any]]:
        return (await self._call("list", {})).get("members") or []

    async def _call(self, verb: str, body: dict[str, Any]) -> dict[str, Any]:
        try:
            answer = await self._client.post(f"/v3/cluster/member/{verb}", json=body)
        except httpx.HTTPError as error:
            raise translate(str(self._client.base_url).rstrip("/"), error, otherwise="http") from error
        try:
            document = answer.json()
        except (ValueError, RecursionError):
            document = {}
        document = document if isinstance(document, dict) else {}
        if verb == "remove" and answer.status_code == _NOT_FOUND:
            return document
        if answer.is_error:
            words = document.get("message") or document.get("error") or answer.text[:200]
            raise TryAgain(
                f"The cluster's etcd refused to {verb} members.",
                reason="etcd-refused",
                evidence=[f"HTTP {answer.status_code}: {words}"],
            )
        return document


@asynccontextmanager
async def open_etcd(address: str, secrets: ClusterSecrets, certificate: ClientCertificate) -> AsyncIterator[EtcdApi]:
    """Over TLS: the server must prove itself by etcd's CA, we by a client certificate of it."""
    async with cluster_client(address, secrets.etcd_ca_certificate, certificate) as client:
        yield EtcdApi(client)
