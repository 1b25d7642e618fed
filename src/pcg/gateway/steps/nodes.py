"""Step 8: every machine has joined the cluster and is Ready; Node objects of machines that are gone are removed.

What let a node in is taken away once it has joined (`join_secrets`).
"""

from __future__ import annotations

from pcg.gateway.steps import join_secrets
from pcg.gateway.steps.control_plane import SOON
from pcg.gateway.steps.outcome import Done, Outcome, Situation, Wait
from pcg.model.naming import machine_name


async def nodes(situation: Situation) -> Outcome:
    wanted = {machine.name for machine in situation.machines}
    async with situation.kubernetes(situation.api_address or "", situation.secrets, situation.certificate()) as api:
        ready = await api.nodes()
        stem = machine_name(situation.gateway_id, situation.gateway_name, 0, 0).removesuffix("0-0")
        for name in sorted(ready.keys() - wanted):
            if name.startswith(stem):
                await api.delete_node(name)
                situation.tell("NodeRemoved", "Its machine is gone, so its Node object was removed.", machine=name)
        await join_secrets.tend(situation, api, ready)
    for name in sorted(wanted):
        if ready.get(name):
            situation.tell_once(f"node {name}", "NodeReady", "The node has joined and is Ready.", machine=name)
    missing = sorted(name for name in wanted if not ready.get(name))
    if missing:
        return Wait(f"waiting for {', '.join(missing)} to join", SOON)
    return Done()
