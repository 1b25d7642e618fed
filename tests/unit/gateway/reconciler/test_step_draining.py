"""A node is drained before its machine is taken away: what is evicted, what is waited for, and when it is enough."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pcg.gateway.steps.draining import DRAIN_SECONDS, RETRY_SECONDS, drain, must_move
from pcg.gateway.steps.machines import machines
from pcg.gateway.steps.nodes import nodes
from pcg.gateway.steps.outcome import Wait

from .making import THREE, Made, machine, name_of, situation
from .test_step_machines import three

NAME = name_of(4)


def running(name: str, **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "apps", **metadata}, "status": {"phase": "Running"}}


def of_daemon_set() -> dict[str, Any]:
    return running("log-agent", ownerReferences=[{"kind": "DaemonSet", "controller": True}])


def one_too_many(*pods: dict[str, Any], ready: bool = True, since: float | None = None) -> Made:
    """`since`: seconds for which its node is being drained."""
    there = tuple(machine(number, address=f"127.64.0.1{number}") for number in (1, 2, 3, 4))
    made = situation(THREE, *three(phase="up"), machines=there, formed=True)
    made.cluster.etcd_members = [name_of(number) for number in (1, 2, 3, 4)]
    made.cluster.ready_nodes = {name_of(number): True for number in (1, 2, 3)} | {NAME: ready}
    made.cluster.pods_by_node[NAME] = list(pods)
    if since is not None:
        made.cluster.draining[NAME] = made.situation.clock.now() - timedelta(seconds=since)
    return made


async def test_a_machine_too_many_is_cordoned_then_emptied_and_only_then_leaves() -> None:
    made = one_too_many(running("shop"), of_daemon_set())
    assert isinstance(await machines(made.situation), Wait)
    assert list(made.cluster.draining) == [NAME]
    assert made.cluster.evicted == []
    outcome = await machines(made.situation)
    assert isinstance(outcome, Wait)
    assert "apps/shop" in outcome.task
    assert outcome.concern is None
    assert made.cluster.evicted == ["apps/shop"]
    assert NAME in made.cluster.etcd_members
    made.cluster.pods_by_node[NAME] = [of_daemon_set()]
    await machines(made.situation)
    assert NAME not in made.cluster.etcd_members
    assert made.reasons == ["NodeDraining", "EtcdMemberRemoved", "NodeRemoved", "MachineSurplus"]


async def test_a_budget_that_refuses_is_told_with_since_and_the_next_try() -> None:
    made = one_too_many(running("shop"), running("web"), since=60)
    made.cluster.budgets = {"shop": "it would violate the pod's disruption budget"}
    outcome = await drain(made.situation, NAME)
    assert outcome is not None
    assert outcome.retry_after == RETRY_SECONDS
    assert f"since {made.cluster.draining[NAME]:%H:%M:%S} UTC" in outcome.task
    assert made.cluster.evicted == ["apps/shop", "apps/web"]
    assert outcome.concern is not None
    assert outcome.concern.evidence == ["apps/shop: it would violate the pod's disruption budget"]
    made.cluster.draining[NAME] -= timedelta(seconds=DRAIN_SECONDS - 65)
    outcome = await drain(made.situation, NAME)
    assert outcome is not None
    assert 0 < (outcome.retry_after or 0) < 6


async def test_patience_has_an_end_which_is_told_once() -> None:
    made = one_too_many(running("shop"), since=DRAIN_SECONDS)
    made.cluster.budgets = {"shop": "no"}
    assert await drain(made.situation, NAME) is None
    assert await drain(made.situation, NAME) is None
    assert made.cluster.evicted == []
    assert made.reasons == ["NodeDrainGivenUp"]


async def test_a_pod_that_ends_already_is_not_asked_again() -> None:
    made = one_too_many(running("shop", deletionTimestamp="2026-01-01T00:00:00Z"), since=1)
    assert isinstance(await drain(made.situation, NAME), Wait)
    assert made.cluster.evicted == []


@pytest.mark.parametrize("joined", [False, True])
async def test_a_node_that_is_not_ready_or_never_joined_is_not_drained(joined: bool) -> None:
    made = one_too_many(running("shop"), ready=False)
    if not joined:
        del made.cluster.ready_nodes[NAME]
    assert await drain(made.situation, NAME) is None
    assert made.cluster.draining == {}


async def test_a_node_that_stays_after_all_is_let_go_on() -> None:
    made = one_too_many()
    made.cluster.draining[name_of(2)] = datetime(2026, 1, 1, tzinfo=UTC)
    await nodes(made.situation)
    assert made.cluster.draining == {}


@pytest.mark.parametrize(
    "pod,moves",
    [
        (running("shop"), True),
        (running("shop", ownerReferences=[{"kind": "ReplicaSet", "controller": True}]), True),
        (of_daemon_set(), False),
        (running("kube-apiserver", annotations={"kubernetes.io/config.mirror": "x"}), False),
        ({**running("job"), "status": {"phase": "Succeeded"}}, False),
        ({**running("job"), "status": {"phase": "Failed"}}, False),
        ({**running("shop"), "status": {"phase": "Pending"}}, True),
    ],
)
def test_which_pods_must_move(pod: dict[str, Any], moves: bool) -> None:
    assert must_move(pod) is moves
