"""A node is drained before its machine is taken away: nothing new is bound to it, and its pods end in an orderly way.

By the Eviction API, which honours PodDisruptionBudgets; pods of DaemonSets and static pods belong to the node and stay.
Since when stands on the node itself. Called by `replacements` and the step `machines`; a node that stays after all is
let go on by the step `nodes`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pcg.errors import TryAgain
from pcg.gateway.kubernetes_api import KubernetesApi, NodeState
from pcg.gateway.steps.control_plane import SOON
from pcg.gateway.steps.outcome import Patience, Situation, Wait
from pcg.model.states import Severity

DRAIN_SECONDS = 600.0
"""after which it goes on, whatever still runs. Cluster API's nodeDrainTimeout is such a bound, without one by default:
https://cluster-api.sigs.k8s.io/tasks/automated-machine-management/machine_deletions
A roll that nobody watches must not stand for ever behind one budget; a pod's usual grace period is 30 s."""
RETRY_SECONDS = 20.0
"""until an eviction that was refused is asked for again; what a budget allows changes as pods start elsewhere"""
_MIRROR = "kubernetes.io/config.mirror"
_SHOWN = 3


async def drain(situation: Situation, name: str) -> Wait | None:
    """What is waited for, or None: its machine may go. A node that is not Ready has nobody who could end its pods."""
    if situation.api_address is None or not situation.cluster.formed:
        return None
    now = situation.clock.now()
    async with situation.kubernetes(situation.api_address, situation.secrets, situation.certificate()) as api:
        node = (await api.nodes()).get(name)
        if node is None or not node.ready:
            return None
        if node.draining_since is None:
            await api.begin_drain(name, now)
            message = "It is going to be taken away: its pods are moved to other nodes."
            situation.tell_once(f"draining {name}", "NodeDraining", message, machine=name)
            return Wait(f"draining {name}", SOON)
        pods = [pod for pod in await api.pods_on(name) if must_move(pod)]
        if not pods:
            return None
        waited = (now - node.draining_since).total_seconds()
        left = Patience(waited, situation.patience.speed).left(DRAIN_SECONDS)
        if not left:
            _give_up(situation, name, pods)
            return None
        refused = await _evict(api, pods)
    if not refused:
        return Wait(f"draining {name}: waiting for {_named(map(_name, pods))} to end", SOON)
    concern = TryAgain(
        f"{name} cannot be drained yet: {_named(refused)} may not be evicted.",
        reason="drain-refused",
        evidence=[f"{pod}: {words}" for pod, words in refused.items()][:8],
        cause="A PodDisruptionBudget allows no further pod to end now.",
        remedy=[
            "Let more copies of it become Ready, or loosen its budget.",
            f"It goes on by itself, also without that in {left:.0f} s at the latest.",
        ],
    )
    again = min(RETRY_SECONDS / situation.patience.speed, left)
    since = f"{node.draining_since:%H:%M:%S} UTC"
    return Wait(f"draining {name} since {since}: {_named(refused)} may not be evicted yet", again, concern)


async def let_go_on(api: KubernetesApi, nodes: dict[str, NodeState], names: Iterable[str]) -> None:
    """Of these, whichever was being drained: what was wanted has changed again, and it stays."""
    for name in names:
        if name in nodes and nodes[name].draining_since is not None:
            await api.end_drain(name)


def must_move(pod: dict[str, Any]) -> bool:
    """Not one that has ended, and none that belongs to its node."""
    metadata = pod["metadata"]
    owners = metadata.get("ownerReferences") or []
    of_the_node = _MIRROR in (metadata.get("annotations") or {}) or any(
        owner.get("kind") == "DaemonSet" and owner.get("controller") for owner in owners
    )
    return not of_the_node and pod.get("status", {}).get("phase") not in ("Succeeded", "Failed")


async def _evict(api: KubernetesApi, pods: list[dict[str, Any]]) -> dict[str, str]:
    """The server's words for each that may not end now. One that is ending is left to it."""
    refused = {}
    for pod in pods:
        if not pod["metadata"].get("deletionTimestamp"):
            words = await api.evict(pod["metadata"].get("namespace", ""), pod["metadata"]["name"])
            if words:
                refused[_name(pod)] = words
    return refused


def _give_up(situation: Situation, name: str, pods: list[dict[str, Any]]) -> None:
    minutes = DRAIN_SECONDS / 60
    situation.tell_once(
        f"drained in vain {name}",
        "NodeDrainGivenUp",
        f"{_named(map(_name, pods))} did not leave it within {minutes:.0f} minutes: it is taken away with them.",
        severity=Severity.WARNING,
        machine=name,
    )


def _name(pod: dict[str, Any]) -> str:
    return f"{pod['metadata'].get('namespace', '')}/{pod['metadata']['name']}"


def _named(pods: Iterable[str]) -> str:
    names = sorted(pods)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
