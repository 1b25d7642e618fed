"""Step 7: the cluster's API server answers and says that it is ready."""

from __future__ import annotations

from pcg.errors import TryAgain
from pcg.gateway.steps.api_server_concerns import USUAL_SECONDS, api_server_concern
from pcg.gateway.steps.outcome import Done, Outcome, Situation, Wait

SOON = 0.1
"""seconds; nothing tells when a kubeadm init is over, and a person waits for it. One question costs a millisecond, and
only while a cluster is being built"""


RESTART_SECONDS = 120.0
"""of real life since a machine showed something new: one that is on again boots, and starts its static pods"""


async def control_plane(situation: Situation) -> Outcome:
    address = situation.api_address
    if address is None:
        return Wait("waiting for the first node's address")
    async with situation.kubernetes(address, situation.secrets, situation.certificate()) as api:
        try:
            await api.ready()
        except TryAgain as error:
            if situation.cluster.formed and not situation.patience.left(RESTART_SECONDS):
                raise await api_server_concern(situation, address, error) from error
            # Silence is what a node looks like that is still being made, or starts again.
            task = f"waiting for the API server {address}: {error.evidence[-1] if error.evidence else error}"
            concern = None
            if not situation.patience.left(USUAL_SECONDS):
                concern = await api_server_concern(situation, address, error)
            return Wait(task, SOON, concern)
    if not situation.cluster.formed:
        situation.cluster.formed = True
        situation.tell("ControlPlaneReady", f"The API server {address} is ready.")
    return Done()
