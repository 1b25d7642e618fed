"""The data center as a process: its core, its machines' runner, its image host and its API on one listener.

Started by `pcg simulate`; prints one JSON line when it is ready. All of it comes back after a kill, from `state`.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from pcg.clock import SystemClock
from pcg.clouds.guest.api_servers import ApiServers
from pcg.clouds.guest.containers import ProcessContainers
from pcg.clouds.guest.runner import MachineRunner
from pcg.clouds.lab.addresses import AddressBlock, claim_block
from pcg.clouds.lab.control import control_application
from pcg.clouds.lab.edge.process import EdgeSettings, running_edge
from pcg.clouds.lab.serving import server_certificate, serving, split_listen, until_stopped
from pcg.clouds.simulated import faults
from pcg.clouds.simulated.api import Sessions, api_application
from pcg.clouds.simulated.datacenter import DataCenter
from pcg.clouds.simulated.hypervisor import SimulatedHypervisor
from pcg.clouds.simulated.images import IMAGE_FILE, ImageFetcher, image_host, image_sha256
from pcg.clouds.simulated.inventory import CLUSTER, DATACENTER, DATASTORE, NETWORK, POOL
from pcg.clouds.simulated.laboratory import SimulatedLaboratory
from pcg.clouds.simulated.state import State


async def serve(
    *, listen: str, state: Path, speed: float, username: str, password: str, edge: EdgeSettings | None = None
) -> None:
    """Until SIGTERM. Raises SetupMissing when its addresses cannot be had, InvalidInput for an edge's settings."""
    host, port = split_listen(listen)
    claim = claim_block(state)
    documents = State(state / "datacenter.db")
    clock = SystemClock()
    center = DataCenter(
        documents, clock, account=username, scope=claim.block.scope, fetcher=ImageFetcher(), speed=speed
    )
    faults.restore(center)
    runner = MachineRunner(
        SimulatedHypervisor(center),
        clock=clock,
        speed=speed,
        state=state,
        containers=ProcessContainers(),
        api_servers=ApiServers(listen=True, surroundings=center.surroundings),
    )
    key = _control_key(documents)
    api = api_application(center, Sessions(username, password))
    certificate = server_certificate(state, host)
    try:
        async with (
            running_edge(edge, state, claim.block) as outside,
            image_host(center.gate, claim.block.image_host) as images,
            serving(
                _both(api, control_application(SimulatedLaboratory(center), key, outside)), host, port, certificate
            ) as url,
            asyncio.TaskGroup() as group,
        ):
            works = [group.create_task(center.run()), group.create_task(runner.run())]
            ready = {
                **_ready(url, claim.block, images),
                "thumbprint": certificate.thumbprint,
                "control_key": key,
                **({"edge": outside.addresses()} if outside else {}),
            }
            sys.stdout.write(json.dumps(ready) + "\n")
            sys.stdout.flush()
            await until_stopped()
            center.news.close()
            for work in works:
                work.cancel()
    finally:
        documents.close()
        claim.close()


def _both(api: ASGIApp, control: ASGIApp) -> ASGIApp:
    async def both(scope: Scope, receive: Receive, send: Send) -> None:
        await (control if scope["path"].startswith("/lab/") else api)(scope, receive, send)

    return both


def _ready(url: str, block: AddressBlock, images: str) -> dict[str, Any]:
    return {
        "ready": url,
        "control": url,
        "control_plane_address": block.control_plane_address,
        "image": f"{images}/{IMAGE_FILE}",
        "image_sha256": image_sha256(),
        "placement": {
            "datacenter": DATACENTER,
            "cluster": CLUSTER,
            "resourcePool": POOL,
            "folder": "pcg",
            "datastore": DATASTORE,
            "network": NETWORK,
        },
    }


def _control_key(documents: State) -> str:
    """The same in every life, so that a lab keeps its way in."""
    known = documents.get("control", "key")
    if known is None:
        known = {"key": secrets.token_urlsafe(24)}
        documents.put("control", "key", known)
    return str(known["key"])
