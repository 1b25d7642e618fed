"""An API server without a node: its objects, and etcd's quorum as a switch."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import httpx

from pcg.clouds.guest.certificates import Peer
from pcg.clouds.guest.kubernetes_api.app import build_application
from pcg.clouds.guest.kubernetes_api.status import etcd_unavailable
from pcg.clouds.guest.kubernetes_api.store import ObjectStore

SPACES = "/api/v1/namespaces"
MAPS = "/api/v1/namespaces/default/configmaps"
SECRETS = "/api/v1/namespaces/default/secrets"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
MERGE = {"Content-Type": "application/merge-patch+json"}
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Server:
    """`commits` counts the writes to the members' disks. It has the namespace `default`."""

    def __init__(self) -> None:
        self.quorum = True
        self.commits = 0
        self.store = ObjectStore(lambda: NOW, self._guard, self._commit)
        self.store.create("namespaces", {"metadata": {"name": "default"}})
        self.application = build_application(
            self.store, available=lambda: self.quorum, now=lambda: NOW, version=lambda: "1.30.2"
        )

    def client(self) -> httpx.AsyncClient:
        """An administrator's."""
        peer = Peer("someone", ("system:masters",))

        async def identified(scope: Any, receive: Any, send: Any) -> None:
            await self.application({**scope, "state": {"peer": peer}}, receive, send)

        return httpx.AsyncClient(transport=httpx.ASGITransport(identified), base_url="https://api:6443")

    def _guard(self) -> None:
        if not self.quorum:
            raise etcd_unavailable()

    def _commit(self) -> None:
        self.commits += 1
