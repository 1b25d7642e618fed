"""Step 10: jet runs in the cluster, has registered with the console and is healthy."""

from __future__ import annotations

from pcg.gateway.steps.control_plane import SOON
from pcg.gateway.steps.jet_installed import in_back_off, is_ready
from pcg.gateway.steps.outcome import Done, Outcome, Situation, Wait
from pcg.nodes.manifests import JET_NAMESPACE

LOOK_SECONDS = 0.5
"""until it is looked whether the tasks that the step `nodes` began are over"""


async def jet_registered(situation: Situation) -> Outcome:
    async with situation.kubernetes(situation.api_address or "", situation.secrets, situation.certificate()) as api:
        pods = await api.pods(JET_NAMESPACE)
    if any(is_ready(pod) for pod in pods):
        situation.tell_once("jet registered", "JetRegistered", "Jet is registered with the console and healthy.")
        held = sorted(machine.name for machine in situation.machines if machine.holds_user_data)
        return Wait(f"taking the user data of {', '.join(held)} out of the cloud", LOOK_SECONDS) if held else Done()
    if any(in_back_off(pod) for pod in pods):
        return Wait("jet is in CrashLoopBackOff: waiting for its next start", SOON)
    return Wait("waiting for jet to register with the console" if pods else "waiting for jet to be scheduled", SOON)
