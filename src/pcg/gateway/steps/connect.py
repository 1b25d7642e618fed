"""Step 2: the private cloud answers and lets us in. The reconciler has opened the connection before this runs."""

from __future__ import annotations

from pcg.gateway.steps.outcome import Done, Outcome, Situation


async def connect(situation: Situation) -> Outcome:
    situation.tell_once(
        f"connected {situation.desired.generation}",
        "CloudConnected",
        f"Logged in to {situation.configuration.vcenter.address} as {situation.configuration.vcenter.username}.",
    )
    return Done()
