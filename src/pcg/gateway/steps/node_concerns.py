"""Why machines do not become Ready nodes for longer than usual, by what the cluster knows of them.

Called by the step nodes.
"""

from __future__ import annotations

from pcg.clouds.base import ObservedMachine
from pcg.errors import PcgError, TryAgain
from pcg.gateway.kubernetes_api import KubernetesApi, NodeState
from pcg.gateway.steps.api_server_concerns import KUBELET_PORT
from pcg.gateway.steps.join_secrets import token_age
from pcg.gateway.steps.outcome import Patience, Situation
from pcg.network.knocking import Knock

USUAL_SECONDS = 300.0
"""until a machine has joined; kubeadm's own discovery gives up after as long"""


def disk_concern(name: str, state: NodeState) -> PcgError:
    return TryAgain(
        f"The disk of node {name} is full: {state.disk_pressure}.",
        reason="node-disk-full",
        evidence=[f"the kubelet of {name} reports DiskPressure: {state.disk_pressure}"],
        remedy=["Free space on the node (logs, unused images, /tmp), or give the nodes a larger disk."],
        fields={"machine": name},
    )


async def node_concern(situation: Situation, api: KubernetesApi, name: str, state: NodeState | None) -> PcgError:
    """`state` None: the cluster has no such node."""
    machine = next(item for item in situation.machines if item.name == name)
    if state is None:
        token = await _token_concern(situation, api, machine)
        if token is not None:
            return token
    address = machine.address or ""
    answer = await situation.knock(address, KUBELET_PORT)
    evidence = [
        f"the cluster shows the node {name} as {'not Ready: ' + state.told if state else 'unknown'}",
        f"{address} port {KUBELET_PORT}: {answer}",
    ]
    reason, words, remedy = _judged(state, answer)
    return TryAgain(
        f"{name} does not become a Ready node: {words}.",
        reason=reason,
        evidence=evidence,
        remedy=[remedy],
        fields={"machine": name},
    )


def _judged(state: NodeState | None, answer: Knock) -> tuple[str, str, str]:
    """Reason, words and remedy."""
    if answer is Knock.SILENT:
        return "nodes-silent", "no packet comes back from it", "Check the route to the node's network and back."
    if state is not None and answer is Knock.REFUSED:
        return (
            "kubelet-not-running",
            "its kubelet does not run",
            "Read the kubelet's last lines on the node (journalctl -u kubelet): swap, runtime, configuration.",
        )
    if state is None and answer is Knock.REFUSED:
        return (
            "node-not-set-up",
            "it has an address, and no kubelet: cloud-init has not set it up",
            "Read cloud-init.log and cloud-init-output.log on the machine's console: which module failed?",
        )
    return "node-not-ready", "its kubelet runs, and does not report it as Ready", "Read the kubelet's log on the node."


async def _token_concern(situation: Situation, api: KubernetesApi, machine: ObservedMachine) -> PcgError | None:
    """None when the token is good, and has been for long enough to join with it; `join_secrets` makes it."""
    ordinals = {slot.ordinal for slot in situation.cluster.slots if slot.kind == "join"}
    if not machine.holds_user_data or machine.made_as is None or machine.made_as[1] not in ordinals:
        return None
    age = await token_age(situation, api, machine)
    if age is not None and not Patience(age.total_seconds(), situation.patience.speed).left(USUAL_SECONDS / 2):
        return None
    found = "the cluster does not have it" if age is None else "it has just been made anew, the one before ran out"
    return TryAgain(
        f"{machine.name} cannot join with its bootstrap token: {found}.",
        reason="bootstrap-token-expired",
        evidence=[f"the token's Secret in kube-system: {found}"],
        remedy=["Nothing: a new one is made, and the machine goes on asking. Check the clocks if it comes again."],
        fields={"machine": machine.name},
    )
