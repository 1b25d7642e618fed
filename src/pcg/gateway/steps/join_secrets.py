"""What a machine needs to join is there while it joins, and gone as soon as it has: its bootstrap token and user data.

Called by the step `nodes`; `jet-registered` waits for the last user data to be gone. Nothing is remembered but the
vendor's task: whether a machine still holds user data is seen at the machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from pcg.clouds.base import ObservedMachine, TaskState
from pcg.errors import TryAgain
from pcg.gateway.kubernetes_api import KubernetesApi, NodeState
from pcg.gateway.steps.outcome import Situation
from pcg.nodes.kubeadm import TOKEN_GROUP
from pcg.nodes.pki import TOKEN_LIFETIME

_NAMESPACE = "kube-system"
_SECRET_TYPE = "bootstrap.kubernetes.io/token"  # noqa: S105 - a type's name
_RENEW_BEFORE = timedelta(minutes=10)
_FORM = "%Y-%m-%dT%H:%M:%SZ"


async def tend(situation: Situation, api: KubernetesApi, nodes: Mapping[str, NodeState]) -> None:
    """`nodes`: each that has registered. Raises what made a task of ours fail."""
    joining = {slot.ordinal for slot in situation.cluster.slots if slot.kind == "join"}
    for machine in situation.machines:
        if not machine.holds_user_data or machine.made_as is None:
            continue
        ordinal = machine.made_as[1]
        node = nodes.get(machine.name)
        if node is not None and node.ready:
            await _end(situation, api, machine, ordinal)
        elif node is None and ordinal in joining:
            await _let_in(situation, api, ordinal)


async def _let_in(situation: Situation, api: KubernetesApi, ordinal: int) -> None:
    """A machine that is made later than an hour after the first finds no token of the first any more."""
    token_id, _, token = situation.secrets.bootstrap_token(ordinal).partition(".")
    now = situation.clock.now()
    present = await api.secret(_NAMESPACE, _name(token_id))
    if present is not None and _expires(present, now) - now > _RENEW_BEFORE:
        return
    values = {
        "token-id": token_id,
        "token-secret": token,
        "expiration": f"{now + TOKEN_LIFETIME:{_FORM}}",
        "usage-bootstrap-authentication": "true",
        "usage-bootstrap-signing": "true",
        "auth-extra-groups": TOKEN_GROUP,
    }
    data = {key: value.encode() for key, value in values.items()}
    await api.put_secret(_NAMESPACE, _name(token_id), data, kind=_SECRET_TYPE)


async def token_age(situation: Situation, api: KubernetesApi, machine: ObservedMachine) -> timedelta | None:
    """Of what it shall join with: a new one tells that the one before had run out. None: the cluster has none, or the
    machine does not join with one."""
    ordinal = machine.made_as[1] if machine.made_as else 0
    now = situation.clock.now()
    present = await api.secret(_NAMESPACE, _name(situation.secrets.bootstrap_token(ordinal).partition(".")[0]))
    return None if present is None else TOKEN_LIFETIME - (_expires(present, now) - now)


async def _end(situation: Situation, api: KubernetesApi, machine: ObservedMachine, ordinal: int) -> None:
    if await _under_way(situation, machine.name):
        return
    # The token first: once the user data is gone nothing tells that it may still be there.
    await api.delete_secret(_NAMESPACE, _name(situation.secrets.bootstrap_token(ordinal).partition(".")[0]))
    task = await situation.cloud.clear_user_data(machine)
    if task.state is TaskState.RUNNING:
        situation.cluster.clearing[machine.name] = task.id


async def _under_way(situation: Situation, name: str) -> bool:
    """Also for a process that has forgotten the task."""
    task_id = situation.cluster.clearing.get(name)
    if task_id is None:
        return any(task.kind == "reconfigure" and task.machine_name == name for task in situation.unfinished)
    task = await situation.cloud.task(task_id)
    if task is not None and task.state is TaskState.RUNNING:
        return True
    del situation.cluster.clearing[name]
    if task is not None and task.state is TaskState.FAILED:
        raise task.error or TryAgain(f"The user data of {name} could not be taken out of its settings.")
    return False


def _name(token_id: str) -> str:
    return f"bootstrap-token-{token_id}"


def _expires(secret: dict[str, bytes], now: datetime) -> datetime:
    try:
        return datetime.strptime(secret["expiration"].decode(), _FORM).replace(tzinfo=now.tzinfo)
    except (KeyError, ValueError):
        return now
