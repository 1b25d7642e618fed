"""etcd's own API as a control-plane node serves it on port 2379: its JSON gateway, the small part about members.

https://etcd.io/docs/v3.5/dev-guide/api_grpc_gateway/ 64-bit numbers are strings, as in every JSON form of protobuf.
Opened by `node.py` beside the API server. Only clients with a certificate of etcd's CA are heard (--client-cert-auth).
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

if TYPE_CHECKING:
    from pcg.clouds.guest.cluster import Cluster

CLIENT_PORT = 2379
PEER_PORT = 2380
_NOT_FOUND, _UNAVAILABLE, _UNAUTHENTICATED = 5, 14, 16
"""gRPC's codes"""

_Answer = Callable[[Request], Awaitable[Response]]


def etcd_application(cluster: Cluster) -> Starlette:
    """What every member of the cluster answers."""
    members = _Members(cluster)
    return Starlette(
        routes=[
            Route(f"/v3/cluster/member/{verb}", members.guarded(answer), methods=["POST"])
            for verb, answer in (("list", members.list), ("remove", members.remove))
        ]
    )


def member_id(name: str) -> int:
    """etcd draws a member's id from its addresses and the time; here the name, which is never used twice, is enough."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")


class _Members:
    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def guarded(self, answer: _Answer) -> _Answer:
        async def guard(request: Request) -> Response:
            if "peer" not in request.scope.get("state", {}):
                # A real etcd ends the handshake; a server that asks without insisting can only say so.
                return _refused(401, _UNAUTHENTICATED, "tls: client didn't provide a certificate")
            if not self._cluster.available:
                return _refused(503, _UNAVAILABLE, "etcdserver: no leader")
            return await answer(request)

        return guard

    async def list(self, request: Request) -> Response:
        return self._answer()

    async def remove(self, request: Request) -> Response:
        wanted = str((await request.json()).get("ID", ""))
        for peer in self._cluster.announced:
            if str(member_id(peer)) == wanted:
                self._cluster.withdraw(peer)
                return self._answer()
        name = next((name for name in self._cluster.members if str(member_id(name)) == wanted), None)
        if name is None:
            return _refused(404, _NOT_FOUND, "etcdserver: member not found")
        if not self._cluster.remove_member(name):
            return _refused(503, _UNAVAILABLE, "etcdserver: re-configuration failed due to not enough started members")
        return self._answer()

    def _answer(self) -> Response:
        members: list[dict[str, object]] = [
            {"ID": str(member_id(name)), "name": name} for name in sorted(self._cluster.members)
        ]
        for peer in sorted(self._cluster.announced):
            members.append({"ID": str(member_id(peer)), "peerURLs": [peer], "isLearner": True})
        return JSONResponse({"header": {"revision": str(self._cluster.store.revision)}, "members": members})


def _refused(status: int, code: int, message: str) -> Response:
    return JSONResponse({"error": message, "code": code, "message": message}, status_code=status)
