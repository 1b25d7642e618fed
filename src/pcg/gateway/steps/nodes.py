"""Step 8: every machine has joined the cluster and is Ready; Node objects of machines that are gone are removed.

What let a node in is taken away once it has joined (`join_secrets`).
"""

from __future__ import annotations

from pcg.gateway.steps import join_secrets
from pcg.gateway.steps.control_plane import SOON
from pcg.gateway.steps.draining import let_go_on
from pcg.gateway.steps.node_concerns import USUAL_SECONDS, disk_concern, node_concern
from pcg.gateway.steps.outcome import Done, Outcome, Situation, Wait
from pcg.model.naming import machine_name

LOOK_AGAIN_SECONDS = 2.0
"""at a node whose disk is full"""


async def nodes(situation: Situation) -> Outcome:
    wanted = {machine.name for machine in situation.machines}
    async with situation.kubernetes(situation.api_address or "", situation.secrets, situation.certificate()) as api:
        present = await api.nodes()
        stem = machine_name(situation.gateway_id, situation.gateway_name, 0, 0).removesuffix("0-0")
        for name in sorted(present.keys() - wanted):
            if name.startswith(stem):
                await api.delete_node(name)
                situation.tell("NodeRemoved", "Its machine is gone, so its Node object was removed.", machine=name)
        await let_go_on(api, present, wanted)
        await join_secrets.tend(situation, api, present)
        ready = {name for name in wanted if name in present and present[name].ready}
        for name in sorted(ready):
            situation.tell_once(f"node {name}", "NodeReady", "The node has joined and is Ready.", machine=name)
        missing = sorted(wanted - ready)
        if missing:
            concern = None
            if not situation.patience.left(USUAL_SECONDS):
                concern = await node_concern(situation, api, missing[0], present.get(missing[0]))
            return Wait(f"waiting for {', '.join(missing)} to join", SOON, concern)
    full = next((name for name in sorted(wanted) if present[name].disk_pressure), None)
    if full is not None:
        return Wait(f"waiting for room on the disk of {full}", LOOK_AGAIN_SECONDS, disk_concern(full, present[full]))
    return Done()
