"""The gateway's client of its cluster's API server: the few calls that the steps need (docs/decisions/0004).

Errors are Unreachable with the hop, or TryAgain with the server's own words. Tests replace the transport.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pcg.errors import TryAgain
from pcg.gateway.cluster_client import cluster_client
from pcg.network.failures import translate
from pcg.network.plain_httpx import httpx
from pcg.nodes.pki import ClientCertificate, ClusterSecrets

DRAINING_SINCE = "pcg.gateway/draining-since"
"""annotation of a node that this gateway drains: seen on the node, so that a gateway that forgot everything goes on"""

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
    draining_since: datetime | None = None
    """when this gateway began to drain it"""


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

    async def begin_drain(self, name: str, now: datetime) -> None:
        """Cordon it: no pod is bound to it from now on."""
        await self._mark_drain(name, now.isoformat(), unschedulable=True)

    async def end_drain(self, name: str) -> None:
        """It stays after all."""
        await self._mark_drain(name, None, unschedulable=None)

    async def pods_on(self, node: str) -> list[dict[str, Any]]:
        """Of every namespace."""
        items: list[dict[str, Any]] = (await self._json("GET", f"/api/v1/pods?fieldSelector=spec.nodeName={node}"))[
            "items"
        ]
        return items

    async def evict(self, namespace: str, name: str) -> str:
        """Ask for a pod's orderly end. Nothing when it ends or is gone, else the server's words why it may not now:
        a PodDisruptionBudget (HTTP 429), or two of them, which the server takes for a fault of its own (500)."""
        path = f"/api/v1/namespaces/{namespace}/pods/{name}/eviction"
        metadata = {"name": name, "namespace": namespace}
        answer = await self._request(
            "POST", path, {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
        )
        return _words(answer) if answer.is_error and answer.status_code != 404 else ""

    async def _mark_drain(self, name: str, since: str | None, *, unschedulable: bool | None) -> None:
        change = {
            "metadata": {"annotations": {DRAINING_SINCE: since}},
            "spec": {"unschedulable": unschedulable},
        }
        await self._json("PATCH", f"/api/v1/nodes/{name}", change, missing=True)

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
        document = _document(answer)
        if answer.is_error or document is None:
            raise TryAgain(
                f"The API server refused {method} {path}.",
                reason="api-server-refused",
                evidence=[f"HTTP {answer.status_code}: {_words(answer)}"],
            )
        return document

    async def _request(self, method: str, path: str, body: Any = None) -> httpx.Response:
        media = {"Content-Type": "application/merge-patch+json"} if method == "PATCH" else None
        try:
            return await self._client.request(method, path, json=body, headers=media)
        except httpx.HTTPError as error:
            raise translate(str(self._client.base_url).rstrip("/"), error, otherwise="http") from error


def _document(answer: httpx.Response) -> dict[str, Any] | None:
    """None: it is no JSON object; an answer that is none at all, or no JSON, counts as an empty one."""
    try:
        document = answer.json() if answer.content else {}
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else None


def _words(answer: httpx.Response) -> str:
    """The server's own, of a refusal."""
    return str((_document(answer) or {}).get("message") or answer.text[:200])


def _state(item: dict[str, Any]) -> NodeState:
    conditions = {condition["type"]: condition for condition in item.get("status", {}).get("conditions", [])}
    ready, pressure = conditions.get("Ready", {}), conditions.get("DiskPressure", {})
    return NodeState(
        ready=ready.get("status") == "True",
        told=ready.get("message") or "it has told nothing yet",
        disk_pressure=(pressure.get("message") or "no words with it") if pressure.get("status") == "True" else "",
        draining_since=_moment((item["metadata"].get("annotations") or {}).get(DRAINING_SINCE)),
    )


def _moment(text: str | None) -> datetime | None:
    """None also of what somebody else wrote there."""
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None


@asynccontextmanager
async def open_kubernetes(
    address: str, secrets: ClusterSecrets, certificate: ClientCertificate
) -> AsyncIterator[KubernetesApi]:
    """Over TLS: the server must prove itself by the cluster's CA, we by a client certificate of it."""
    async with cluster_client(address, secrets.ca_certificate, certificate) as client:
        yield KubernetesApi(client)
