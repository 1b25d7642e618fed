"""The steps that ask the cluster's own API: control plane, nodes, jet installed and jet registered."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from pcg.errors import AskPerson, TryAgain, Unreachable
from pcg.gateway.memory import Slot
from pcg.gateway.steps.control_plane import RESTART_SECONDS, SOON, control_plane
from pcg.gateway.steps.jet_installed import jet_installed
from pcg.gateway.steps.jet_registered import jet_registered
from pcg.gateway.steps.nodes import nodes
from pcg.gateway.steps.outcome import Done, Patience, Wait
from pcg.nodes.manifests import JET_SECRET
from pcg.sealing.boxes import seal
from pcg.sealing.keys import GatewayKeys
from unit.gateway.reconciler.making import DOCUMENT, THREE, TOKEN, Made, machine, name_of, pod, situation

pytestmark = pytest.mark.looptime

UP = machine(1, address="127.64.0.10")


def one(*, formed: bool = False, waited: float = 0.0) -> Made:
    return situation(DOCUMENT, machines=(UP,), formed=formed, patience=Patience(waited))


async def test_without_any_address_the_first_node_is_waited_for() -> None:
    made = situation(DOCUMENT, machines=(machine(1),))
    assert await control_plane(made.situation) == Wait("waiting for the first node's address")


async def test_silence_before_the_first_answer_is_a_node_still_being_made() -> None:
    made = one()
    made.cluster.silence = Unreachable("away", evidence=["tried", "connection refused"])
    expected = Wait("waiting for the API server 127.64.0.10:6443: connection refused", SOON)
    assert await control_plane(made.situation) == expected
    assert not made.situation.cluster.formed


async def test_silence_just_after_a_machine_was_switched_on_again_is_one_that_starts() -> None:
    made = one(formed=True, waited=RESTART_SECONDS - 1)
    made.cluster.silence = Unreachable("away", evidence=["tried", "connection refused"])
    expected = Wait("waiting for the API server 127.64.0.10:6443: connection refused", SOON)
    assert await control_plane(made.situation) == expected


async def test_silence_long_after_anything_moved_is_an_error() -> None:
    made = one(formed=True, waited=RESTART_SECONDS)
    made.cluster.silence = TryAgain("not ready", reason="api-server-not-ready")
    with pytest.raises(TryAgain, match="its own checks fail"):
        await control_plane(made.situation)


async def test_the_first_answer_forms_the_cluster_and_is_told_once() -> None:
    made = one()
    assert await control_plane(made.situation) == Done()
    assert await control_plane(made.situation) == Done()
    assert made.situation.cluster.formed
    assert made.reasons == ["ControlPlaneReady"]


async def test_the_shared_address_is_asked_where_there_is_one() -> None:
    made = situation(THREE, machines=(UP,))
    await control_plane(made.situation)
    assert made.cluster.addresses == ["127.64.0.9:6443"]


async def test_nodes_that_have_not_joined_or_are_not_ready_are_waited_for() -> None:
    made = situation(THREE, machines=tuple(machine(number) for number in (1, 2, 3)))
    made.cluster.ready_nodes = {name_of(1): True, name_of(2): False}
    assert await nodes(made.situation) == Wait(f"waiting for {name_of(2)}, {name_of(3)} to join", SOON)
    assert made.told == [("NodeReady", name_of(1))]


async def test_a_ready_node_is_told_once() -> None:
    made = one()
    made.cluster.ready_nodes = {name_of(1): True}
    assert await nodes(made.situation) == Done()
    assert await nodes(made.situation) == Done()
    assert made.reasons == ["NodeReady"]


async def test_node_objects_of_machines_that_are_gone_are_removed_and_only_ours() -> None:
    made = one()
    foreign = ["worker-1", "pcg-berlin-999999-1-1", "pcg-other-0123ab-1-1"]
    made.cluster.ready_nodes = dict.fromkeys([name_of(1), name_of(4), *foreign], True)
    assert await nodes(made.situation) == Done()
    assert made.cluster.removed == [name_of(4)]
    assert made.told[0] == ("NodeRemoved", name_of(4))


async def test_what_let_a_node_in_is_taken_away_once_and_only_after_it_is_ready() -> None:
    held = machine(1, address="127.64.0.10", holds_user_data=True)
    made = situation(DOCUMENT, machines=(held,), formed=True)
    token = made.situation.secrets.bootstrap_token(1).partition(".")[0]
    made.cluster.secrets[f"bootstrap-token-{token}"] = {"token-id": token.encode()}
    made.cluster.ready_nodes = {name_of(1): False}
    await nodes(made.situation)
    assert made.cloud.cleared == []
    made.cluster.ready_nodes = {name_of(1): True}
    made.cluster.jet_pods = [pod("jet-1", ready=True)]
    for _ in range(3):
        assert await nodes(made.situation) == Done()
        assert isinstance(await jet_registered(made.situation), Wait)
    assert made.cloud.cleared == [name_of(1)]
    assert made.cluster.secrets == {}


async def test_a_task_that_could_not_take_the_user_data_out_is_told_and_tried_again() -> None:
    made = situation(DOCUMENT, machines=(machine(1, address="127.64.0.10", holds_user_data=True),), formed=True)
    made.cluster.ready_nodes = {name_of(1): True}
    await nodes(made.situation)
    made.cloud.ended("task-1", TryAgain("refused"))
    with pytest.raises(TryAgain, match="refused"):
        await nodes(made.situation)
    await nodes(made.situation)
    assert made.cloud.cleared == [name_of(1)] * 2


async def test_a_machine_that_joins_late_finds_a_token_for_an_hour() -> None:
    late = machine(2, address="127.64.0.11", holds_user_data=True)
    made = situation(THREE, Slot(ordinal=1, kind="init"), Slot(ordinal=2, kind="join"), machines=(UP, late))
    made.cluster.ready_nodes = {name_of(1): True}
    await nodes(made.situation)
    ((name, secret),) = made.cluster.secrets.items()
    token = f"{secret['token-id'].decode()}.{secret['token-secret'].decode()}"
    assert token == made.situation.secrets.bootstrap_token(2)
    assert name == f"bootstrap-token-{token[:6]}"
    left = datetime.fromisoformat(secret["expiration"].decode()) - made.situation.clock.now()
    assert timedelta(minutes=59) < left <= timedelta(hours=1)
    secret["expiration"] = b"2000-01-01T00:00:00Z"
    await nodes(made.situation)
    assert made.cluster.secrets[name]["expiration"] > b"2000-01-01T00:00:00Z"


async def test_jets_manifest_is_waited_for() -> None:
    made = one()
    made.cluster.deployed = False
    assert await jet_installed(made.situation) == Wait("waiting for the first node to apply jet's manifest", SOON)
    assert made.cluster.secrets == {}


async def test_jet_is_given_its_token_once() -> None:
    made = one()
    assert await jet_installed(made.situation) == Done()
    assert await jet_installed(made.situation) == Done()
    assert made.cluster.secrets == {JET_SECRET: {"token": TOKEN}}
    assert made.reasons == ["JetTokenInstalled"]


async def test_another_token_is_replaced_by_the_wanted_one() -> None:
    made = one()
    made.cluster.secrets[JET_SECRET] = {"token": b"old"}
    await jet_installed(made.situation)
    assert made.cluster.secrets[JET_SECRET] == {"token": TOKEN}


@pytest.mark.parametrize(
    "given",
    [None, "not-sealed", seal(GatewayKeys.generate().public_sealing, TOKEN)],
    ids=["none", "not sealed", "sealed to another"],
)
async def test_a_token_that_is_missing_or_cannot_be_opened_is_asked_for(given: str | None) -> None:
    made = one()
    made.situation.desired = made.situation.desired.model_copy(update={"jet_token": given})
    with pytest.raises(AskPerson) as caught:
        await jet_installed(made.situation)
    assert caught.value.reason == "jet-token-missing"


async def test_pods_in_back_off_are_deleted_and_no_others() -> None:
    made = one()
    made.cluster.jet_pods = [
        pod("jet-1", waiting="CrashLoopBackOff"),
        pod("jet-2", ready=True),
        pod("jet-3", waiting="ContainerCreating"),
        {"metadata": {"name": "jet-4"}},
    ]
    assert await jet_installed(made.situation) == Done()
    assert made.cluster.deleted_pods == ["jet-1"]


async def test_a_ready_jet_is_registered_and_told_once() -> None:
    made = one()
    made.cluster.jet_pods = [pod("jet-1", ready=True)]
    assert await jet_registered(made.situation) == Done()
    assert await jet_registered(made.situation) == Done()
    assert made.reasons == ["JetRegistered"]


@pytest.mark.parametrize(
    "pods,task",
    [
        ([], "waiting for jet to be scheduled"),
        ([{"metadata": {"name": "jet-1"}, "status": {}}], "waiting for jet to register with the console"),
        ([pod("jet-1")], "waiting for jet to register with the console"),
        ([pod("jet-1", waiting="CrashLoopBackOff")], "jet is in CrashLoopBackOff: waiting for its next start"),
    ],
)
async def test_what_jet_is_waited_for(pods: list[dict[str, object]], task: str) -> None:
    made = one()
    made.cluster.jet_pods = pods
    assert await jet_registered(made.situation) == Wait(task, SOON)
