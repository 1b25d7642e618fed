"""The kubelet as systemd's service on a node: it runs, is stopped and starts again, and listens on its own port.

Whether anything answers on that port is what tells a node without a kubelet from outside. Run by the node.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pcg.clouds.guest.api_servers import ApiServers
from pcg.clouds.guest.api_sockets import ApiServer
from pcg.clouds.guest.kubelet import Kubelet
from pcg.clouds.guest.logs import GuestLogs
from pcg.clouds.guest.waiting import first

KUBELET_PORT = 10250


async def keep_kubelet(
    make: Callable[[], Kubelet], where: str, server: ApiServer, servers: ApiServers, logs: GuestLogs
) -> NoReturn:
    """On the node's address `where`, until cancelled."""
    around = servers.surroundings
    while True:
        if not around.well("kubelets_run"):
            logs.system("systemd", "kubelet.service: Main process exited, code=killed, status=9/KILL", 1)
            logs.system("systemd", "kubelet.service: Failed with result 'signal'.", 1)
            await around.until(lambda: around.kubelets_run)
            logs.system("systemd", "Started kubelet: The Kubernetes Node Agent.", 1)
        listener = await servers.open(where, KUBELET_PORT, server)
        try:
            await first(make().run(), around.until(lambda: not around.kubelets_run))
        finally:
            listener.close()


def kubelet_application() -> Starlette:
    """Nobody here has a certificate that a kubelet accepts."""

    async def refuse(request: Request) -> Response:
        return Response("Unauthorized", 401)

    return Starlette(routes=[Route("/{path:path}", refuse)])
