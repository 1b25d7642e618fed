"""What a step makes of a machine, an API server or a node that is waited for longer than usual."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from pcg.clouds.base import ObservedMachine
from pcg.diagnosis.engine import diagnose
from pcg.diagnosis.facts import Facts
from pcg.errors import PcgError, TryAgain, Unreachable
from pcg.gateway.memory import Slot
from pcg.gateway.requests import problem_of
from pcg.gateway.steps.control_plane import control_plane
from pcg.gateway.steps.machines import machines
from pcg.gateway.steps.nodes import nodes
from pcg.gateway.steps.outcome import LEAST_PATIENCE_SECONDS, Done, Outcome, Patience, Wait
from pcg.model.records import GatewayStatus, StepReport
from pcg.model.states import StepName, StepState
from pcg.network.knocking import Knock
from unit.gateway.reconciler.making import DOCUMENT, THREE, Doors, Made, machine, name_of, secrets, situation, static

pytestmark = pytest.mark.looptime

LONG = Patience(3600.0)
POOL = static("127.64.0.20", "127.64.0.25", 1)
NODE = "127.64.0.10"
UP = machine(1, address=NODE)
SILENCE = Unreachable("away", reason="connection-refused", evidence=["tried"], fields={"hop": "connect"})
OTHER_CA = Unreachable("away", reason="unreachable-tls", evidence=["tried"], fields={"hop": "tls"})


def found(made: Made, step: StepName, outcome: Outcome) -> str:
    """What diagnosis calls the concern of a step that goes on."""
    assert isinstance(outcome, Wait) and outcome.concern is not None
    problem = problem_of(outcome.concern, made.situation.clock)
    report = StepReport(name=step, state=StepState.RUNNING, last_error=problem)
    status = GatewayStatus(generation=1, incarnation=1, steps=[report])
    (finding,) = diagnose(Facts(made.situation.clock.now(), status))
    assert finding.remedy and finding.cured and finding.evidence
    return f"{finding.scenario}/{finding.cause}"


# Patience.


@pytest.mark.parametrize(("waited", "speed", "left"), [(100.0, 1.0, 80.0), (4.0, 10.0, 14.0), (0.0, 1000.0, 8.0)])
def test_patience_is_that_of_real_life_by_its_speed_and_never_next_to_none(
    waited: float, speed: float, left: float
) -> None:
    assert Patience(waited, speed).left(180.0) == left
    assert Patience(waited + left, speed).left(180.0) == 0.0
    assert LEAST_PATIENCE_SECONDS == 8.0


# A machine without an address.

RUNS: dict[str, Any] = {"connected": True, "cluster_tools": True, "host_name": name_of(1), "dhcp": True}


def waiting(shown: dict[str, Any], document: dict[str, Any] = DOCUMENT, patience: Patience = LONG) -> Made:
    slot = Slot(ordinal=1, kind="init", phase="started", address="127.64.0.20" if document is POOL else None)
    seen: ObservedMachine = replace(machine(1), **{**RUNS, **shown})
    return situation(document, slot, machines=(seen,), patience=patience)


@pytest.mark.parametrize(
    ("shown", "cause"),
    [
        ({"connected": False, "cluster_tools": False}, "network-adapter-disconnected"),
        ({"connected": False}, "network-adapter-disconnected"),
        ({"cluster_tools": False, "host_name": ""}, "guest-agent-missing"),
        ({"host_name": "ubuntu", "dhcp": None}, "cloud-init-incomplete"),
        ({"dhcp": False}, "dhcp-not-enabled"),
        ({}, "dhcp-no-answer"),
        ({"host_name": f"{name_of(1)}.example.com", "dhcp": None}, "dhcp-no-answer"),
        ({"connected": None, "cluster_tools": None, "host_name": "", "dhcp": None}, "dhcp-no-answer"),
    ],
)
async def test_the_first_thing_that_a_machine_lacks_is_the_cause(shown: dict[str, Any], cause: str) -> None:
    made = waiting(shown)
    assert found(made, StepName.MACHINES, await machines(made.situation)) == f"address-not-assigned/{cause}"


async def test_a_machine_with_a_static_address_asks_for_no_lease() -> None:
    made = waiting({"dhcp": False}, POOL)
    assert (
        found(made, StepName.MACHINES, await machines(made.situation)) == "address-not-assigned/cloud-init-incomplete"
    )


async def test_a_machine_that_was_up_may_boot_again_however_long_nothing_had_moved() -> None:
    made = waiting({})
    made.slots[0].phase = "up"
    outcome = await machines(made.situation)
    assert isinstance(outcome, Wait) and outcome.concern is None
    assert made.reasons == ["AddressLost"], "which counts as something that moved"
    assert found(made, StepName.MACHINES, await machines(made.situation)) == "address-not-assigned/dhcp-no-answer"
    made.situation.machines = [replace(made.situation.machines[0], address=NODE)]
    assert await machines(made.situation) == Done()
    assert made.reasons == ["AddressLost", "AddressAssigned"]


async def test_a_machine_that_still_boots_is_no_concern_and_looked_at_when_it_would_be() -> None:
    made = waiting({"cluster_tools": False}, patience=Patience(100.0))
    outcome = await machines(made.situation)
    assert isinstance(outcome, Wait)
    assert (outcome.concern, outcome.retry_after) == (None, 80.0)


# A silent API server.

OPEN, REFUSED, SILENT = Knock.OPEN, Knock.REFUSED, Knock.SILENT


def silent(api: Knock, kubelet: Knock, document: dict[str, Any] = DOCUMENT, silence: PcgError = SILENCE) -> Made:
    doors = Doors({(NODE, 6443): api, (NODE, 10250): kubelet})
    made = situation(document, machines=(UP,), patience=LONG, knock=doors)
    made.cluster.silence = silence
    return made


@pytest.mark.parametrize(
    ("api", "kubelet", "cause"),
    [
        (REFUSED, REFUSED, "cloud-init-failed"),
        (REFUSED, OPEN, "api-server-down"),
        (OPEN, OPEN, "api-server-down"),
        (SILENT, OPEN, "firewall-blocked"),
        (SILENT, REFUSED, "firewall-blocked"),
        (SILENT, SILENT, "network-misconfigured"),
    ],
)
async def test_the_doors_of_a_machine_tell_why_its_api_server_is_silent(api: Knock, kubelet: Knock, cause: str) -> None:
    made = silent(api, kubelet)
    outcome = await control_plane(made.situation)
    assert found(made, StepName.CONTROL_PLANE, outcome) == f"no-route-to-api-server/{cause}"


@pytest.mark.parametrize(
    ("api", "kubelet", "cause"), [(OPEN, OPEN, "virtual-ip-not-held"), (REFUSED, OPEN, "api-server-down")]
)
async def test_a_shared_address_is_to_blame_only_when_a_node_answers_at_its_own(
    api: Knock, kubelet: Knock, cause: str
) -> None:
    made = silent(api, kubelet, THREE)
    outcome = await control_plane(made.situation)
    assert found(made, StepName.CONTROL_PLANE, outcome) == f"no-route-to-api-server/{cause}"


async def test_whoever_shows_another_certificate_is_not_knocked_at() -> None:
    made = silent(OPEN, OPEN, silence=OTHER_CA)
    outcome = await control_plane(made.situation)
    assert found(made, StepName.CONTROL_PLANE, outcome) == "node-not-joined/certificate-mismatch"


async def test_an_api_server_whose_own_checks_fail_says_which() -> None:
    failing = TryAgain("not ready", reason="api-server-not-ready", evidence=["[-]etcd failed"])
    made = silent(OPEN, OPEN, silence=failing)
    outcome = await control_plane(made.situation)
    assert found(made, StepName.CONTROL_PLANE, outcome) == "no-route-to-api-server/api-server-down"
    assert isinstance(outcome, Wait) and outcome.concern is not None and "[-]etcd failed" in outcome.concern.evidence


async def test_once_it_has_answered_a_machine_that_refuses_is_one_that_is_down() -> None:
    made = silent(REFUSED, REFUSED)
    made.situation.cluster.formed = True
    with pytest.raises(TryAgain) as caught:
        await control_plane(made.situation)
    assert caught.value.reason == "api-server-refused"


# Nodes.


def joining(*, known: bool, kubelet: Knock, left: timedelta | None = timedelta(minutes=50), kind: str = "join") -> Made:
    """`left`: of the token's hour; None: there is none."""
    slot = Slot(ordinal=1, kind=kind, phase="up")  # type: ignore[arg-type]
    seen = replace(UP, holds_user_data=True)
    doors = Doors({(NODE, 10250): kubelet})
    made = situation(DOCUMENT, slot, machines=(seen,), patience=LONG, formed=True, knock=doors)
    made.cluster.ready_nodes = {name_of(1): False} if known else {}
    if left is not None:
        made.cluster.secrets[TOKEN_SECRET] = {"expiration": expires(made, left)}
    return made


def expires(made: Made, left: timedelta) -> bytes:
    return f"{made.situation.clock.now() + left:%Y-%m-%dT%H:%M:%SZ}".encode()


TOKEN_SECRET = f"bootstrap-token-{secrets().bootstrap_token(1).partition('.')[0]}"


@pytest.mark.parametrize(
    ("known", "kubelet", "expected"),
    [
        (True, REFUSED, "node-not-joined/kubelet-not-running"),
        (True, SILENT, "no-route-to-api-server/network-misconfigured"),
        (False, REFUSED, "no-route-to-api-server/cloud-init-failed"),
    ],
)
async def test_what_the_cluster_knows_and_the_kubelets_door_tell_why_a_node_is_missing(
    known: bool, kubelet: Knock, expected: str
) -> None:
    made = joining(known=known, kubelet=kubelet)
    assert found(made, StepName.NODES, await nodes(made.situation)) == expected


@pytest.mark.parametrize("left", [None, timedelta(seconds=-1)])
async def test_a_token_that_ran_out_is_named_and_time_is_given_to_join_with_the_new_one(left: timedelta | None) -> None:
    made = joining(known=False, kubelet=REFUSED, left=left)
    for _ in range(2):
        assert found(made, StepName.NODES, await nodes(made.situation)) == "node-not-joined/token-expired"
    made.cluster.secrets[TOKEN_SECRET]["expiration"] = expires(made, timedelta(minutes=57))
    assert found(made, StepName.NODES, await nodes(made.situation)) == "no-route-to-api-server/cloud-init-failed"


async def test_the_first_machine_joins_with_no_token() -> None:
    made = joining(known=False, kubelet=REFUSED, left=None, kind="init")
    assert found(made, StepName.NODES, await nodes(made.situation)) == "no-route-to-api-server/cloud-init-failed"


async def test_a_node_that_has_joined_needs_no_token() -> None:
    made = joining(known=True, kubelet=REFUSED, left=None)
    assert found(made, StepName.NODES, await nodes(made.situation)) == "node-not-joined/kubelet-not-running"


async def test_a_kubelet_that_runs_and_is_not_ready_has_no_name_yet() -> None:
    made = joining(known=True, kubelet=OPEN)
    outcome = await nodes(made.situation)
    assert isinstance(outcome, Wait) and outcome.concern is not None
    assert "Kubelet stopped posting node status." in outcome.concern.evidence[0]


async def test_a_node_whose_disk_is_full_is_told_at_once() -> None:
    made = situation(DOCUMENT, machines=(UP,), formed=True)
    made.cluster.ready_nodes, made.cluster.full_nodes = {name_of(1): True}, {name_of(1)}
    assert found(made, StepName.NODES, await nodes(made.situation)) == "disk-full/node-disk-full"
