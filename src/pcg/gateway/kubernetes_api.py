"""The gateway's client of its cluster's API server: the few calls that the steps need (docs/decisions/0004).

Errors are Unreachable with the hop, or TryAgain with the server's own words. Tests replace the transport.
"""

from __future__ import annotations

import base64
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pcg.errors import TryAgain
from pcg.network.failures import translate
from pcg.network.plain_httpx import httpx
from pcg.nodes.pki import ClientCertificate, ClusterSecrets

TIMEOUT_SECONDS = 5.0

KubernetesFactory = Callable[[str, ClusterSecrets, ClientCertificate], AbstractAsyncContextManager["KubernetesApi"]]
"""From HOST:PORT, the cluster's secrets and a client certificate."""


@dataclass(frozen=True)
class NodeState:
    """What a node's kubelet last reported, or the cluster in its place."""

    ready: bool
    told: str = ""
    """in the words of its condition Ready"""
    disk_pressure: str = ""
    """in the kubelet's words; empty: none"""


class KubernetesApi:
    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def ready(self) -> str:
        """The text of `/readyz?verbose`. Raises TryAgain naming the failed checks, or Unreachable."""
        answer = await self._request("GET", "/readyz?verbose")
        if answer.status_code != 200:
            failed = [line for line in answer.text.splitlines() if line.startswith("[-]")]
            raise TryAgain(
                "The API server is not ready.",
                reason="api-server-not-ready",
                evidence=failed or [f"HTTP {answer.status_code}"],
            )
        return answer.text

    async def nodes(self) -> dict[str, NodeState]:
        """Of each node, by its name."""
        body = await self._json("GET", "/api/v1/nodes")
        return {item["metadata"]["name"]: _state(item) for item in body.get("items", [])}

    async def delete_node(self, name: str) -> None:
        await self._json("DELETE", f"/api/v1/nodes/{name}", missing=True)

    async def deployment(self, namespace: str, name: str) -> dict[str, Any] | None:
        return await self._json("GET", f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}", missing=True) or None

    async def secret(self, namespace: str, name: str) -> dict[str, bytes] | None:
        body = await self._json("GET", f"/api/v1/namespaces/{namespace}/secrets/{name}", missing=True)
        if not body:
            return None
        return {key: base64.b64decode(value) for key, value in (body.get("data") or {}).items()}

    async def put_secret(self, namespace: str, name: str, data: dict[str, bytes], *, kind: str = "Opaque") -> None:
        """Make it or replace it; `kind` is the Secret's type."""
        path = f"/api/v1/namespaces/{namespace}/secrets"
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": kind,
            "metadata": {"name": name, "namespace": namespace},
            "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
        }
        if await self._json("GET", f"{path}/{name}", missing=True):
            await self._json("PUT", f"{path}/{name}", body)
        else:
            await self._json("POST", path, body)

    async def delete_secret(self, namespace: str, name: str) -> None:
        await self._json("DELETE", f"/api/v1/namespaces/{namespace}/secrets/{name}", missing=True)

    async def pods(self, namespace: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = (await self._json("GET", f"/api/v1/namespaces/{namespace}/pods"))["items"]
        return items

    async def delete_pod(self, namespace: str, name: str) -> None:
        await self._json("DELETE", f"/api/v1/namespaces/{namespace}/pods/{name}", missing=True)

    async def _json(self, method: str, path: str, body: Any = None, *, missing: bool = False) -> dict[str, Any]:
        answer = await self._request(method, path, body)
        if answer.status_code == 404 and missing:
            return {}
        try:
            document = answer.json() if answer.content else {}
        except (ValueError, RecursionError):
            document = {}
        if answer.is_error or not isinstance(document, dict):
            words = document.get("message") if isinstance(document, dict) else None
            raise TryAgain(
                f"The API server refused {method} {path}.",
                reason="api-server-refused",
                evidence=[f"HTTP {answer.status_code}: {words or answer.text[:200]}"],
            )
        return document

    async def _request(self, method: str, path: str, body: Any = None) -> httpx.Response:
        try:
            return await self._client.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise translate(str(self._client.base_url).rstrip("/"), error, otherwise="http") from error


def _state(item: dict[str, Any]) -> NodeState:
    conditions = {condition["type"]: condition for condition in item.get("status", {}).get("conditions", [])}
    ready, pressure = conditions.get("Ready", {}), conditions.get("DiskPressure", {})
    return NodeState(
        ready=ready.get("status") == "True",
        told=ready.get("message") or "it has told nothing yet",
        disk_pressure=(pressure.get("message") or "no words with it") if pressure.get("status") == "True" else "",
    )


@asynccontextmanager
async def open_kubernetes(
    address: str, secrets: ClusterSecrets, certificate: ClientCertificate
) -> AsyncIterator[KubernetesApi]:
    """Over TLS: the server must prove itself by the cluster's CA, we by a client certificate of it."""
    async with cluster_client(address, secrets.ca_certificate, certificate) as client:
        yield KubernetesApi(client)


@asynccontextmanager
async def cluster_client(address: str, ca: str, certificate: ClientCertificate) -> AsyncIterator[httpx.AsyncClient]:
    """To HOST:PORT of a server of the cluster. Trusts one CA of it (PEM) and shows a client certificate of that CA."""
    context = ssl.create_default_context(cadata=ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Python's ssl takes a client's key from a file alone; it is there for a moment, for this user only.
    with tempfile.TemporaryDirectory(prefix="pcg-") as folder:
        file = Path(folder) / "client.pem"
        file.touch(mode=0o600)
        file.write_text(certificate.certificate + certificate.key)
        context.load_cert_chain(file)
    async with httpx.AsyncClient(
        base_url=f"https://{address}", verify=context, timeout=TIMEOUT_SECONDS, trust_env=False
    ) as client:
        yield client
