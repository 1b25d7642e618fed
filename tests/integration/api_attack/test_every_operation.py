"""Every operation of /api/openapi.json, asked with what its description allows and with what it forbids, by everybody.

Schemathesis makes the cases from the description itself: first each limit of each field by plan, then at random (with a
fixed seed), then in the order in which answers lead to the next question. So a route whose description and behaviour
differ is found here, and so is one that answers 500.
"""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.core.transport import Response
from schemathesis.schemas import BaseSchema

from .conftest import LoopWorld
from .schema_calls import ACTORS, attack, check, load, send
from .world import CIPHERTEXT, CONFIGURATION, GATEWAYS, World

OPERATIONS = [
    "POST /api/v1/gateways",
    "GET /api/v1/gateways",
    "GET /api/v1/gateways/{gateway_id}",
    "DELETE /api/v1/gateways/{gateway_id}",
    "POST /api/v1/gateways/{gateway_id}/pairing-code",
    "POST /api/v1/gateways/{gateway_id}/reset",
    "POST /api/v1/gateways/{gateway_id}/rebuild",
    "POST /api/v1/gateways/{gateway_id}/agree-restored",
    "GET /api/v1/gateways/{gateway_id}/steps",
    "GET /api/v1/gateways/{gateway_id}/machines",
    "GET /api/v1/gateways/{gateway_id}/findings",
    "GET /api/v1/gateways/{gateway_id}/events",
    "GET /api/v1/gateways/{gateway_id}/configuration",
    "PUT /api/v1/gateways/{gateway_id}/configuration",
    "PUT /api/v1/gateways/{gateway_id}/credentials",
    "POST /api/v1/gateways/{gateway_id}/preflight",
    "GET /api/v1/gateways/{gateway_id}/inventory",
    "POST /api/v1/gateways/{gateway_id}/kubeconfig",
    "POST /api/v1/gateways/{gateway_id}/bundles",
    "GET /api/v1/gateways/{gateway_id}/bundles",
    "GET /api/v1/bundles/{bundle_id}",
    "GET /api/v1/bundles/{bundle_id}/archive",
    "GET /api/v1/users",
    "POST /api/v1/users",
    "DELETE /api/v1/users/{user_id}",
    "GET /api/v1/keys",
    "POST /api/v1/keys",
    "DELETE /api/v1/keys/{key_id}",
    "GET /api/v1/audit",
    "GET /healthz",
    "GET /readyz",
    "GET /metrics",
]

QUICK_PLANNED = 120
"""of the planned cases of one operation at most, spread over all of them; only the configuration has more"""
QUICK_AT_RANDOM = 25
LONG_AT_RANDOM = 1000
QUICK_CHAINS, LONG_CHAINS = 10, 300

FIXED = hypothesis.settings(
    derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck), phases=(Phase.generate,)
)


def test_no_operation_is_left_out(loop_world: LoopWorld) -> None:
    found = [operation.ok().label for operation in _schema(loop_world).get_all_operations()]
    assert sorted(found) == sorted(OPERATIONS)


@pytest.mark.parametrize("label", OPERATIONS)
def test_each_limit_of_each_field(label: str, loop_world: LoopWorld) -> None:
    _ask_planned(label, loop_world, QUICK_PLANNED)


@pytest.mark.parametrize("label", OPERATIONS)
def test_at_random(label: str, loop_world: LoopWorld) -> None:
    _ask_at_random(label, loop_world, QUICK_AT_RANDOM)


def test_in_the_order_in_which_answers_lead_on(loop_world: LoopWorld) -> None:
    _ask_in_chains(loop_world, QUICK_CHAINS)


@pytest.mark.soak
@pytest.mark.parametrize("label", OPERATIONS)
def test_each_operation_for_long(label: str, loop_world: LoopWorld) -> None:
    _ask_planned(label, loop_world, None)
    _ask_at_random(label, loop_world, LONG_AT_RANDOM)


@pytest.mark.soak
def test_chains_for_long(loop_world: LoopWorld) -> None:
    _ask_in_chains(loop_world, LONG_CHAINS)


def _ask_planned(label: str, loop_world: LoopWorld, most: int | None) -> None:
    schema = _schema(loop_world)
    operation = schema.find_operation_by_label(label)
    assert operation is not None
    generation = schema.config.generation_for(operation=operation, phase="coverage")
    cases = list(
        schema.iter_coverage_cases(operation, generation_modes=list(GenerationMode), generation_config=generation)
    )
    assert cases
    step = 1 if most is None else -(-len(cases) // most)
    others, targets = itertools.cycle(("none", "viewer", "operator")), itertools.cycle((*GATEWAYS[::-1], ""))
    for case in cases[::step]:
        _aim(case, loop_world.world, next(targets))
        attack(loop_world, case, "admin")
        attack(loop_world, case, next(others))


def _ask_at_random(label: str, loop_world: LoopWorld, examples: int) -> None:
    operation = _schema(loop_world).find_operation_by_label(label)
    assert operation is not None
    answered = Counter[int]()

    @hypothesis.settings(FIXED, max_examples=examples)
    @hypothesis.given(data=st.data())
    def ask(data: st.DataObject) -> None:
        mode = data.draw(st.sampled_from([GenerationMode.POSITIVE, GenerationMode.NEGATIVE]))
        case = data.draw(operation.as_strategy(generation_mode=mode))
        _aim(case, loop_world.world, data.draw(st.sampled_from((*GATEWAYS[::-1], ""))))
        if mode is GenerationMode.POSITIVE and label.startswith("PUT") and isinstance(case.body, dict):
            _nearly_right(case, data)
        actor = data.draw(st.sampled_from(("admin", "admin", *ACTORS)))
        answered[attack(loop_world, case, actor).status_code] += 1

    ask()
    assert any(200 <= status < 300 for status in answered), answered


def _ask_in_chains(loop_world: LoopWorld, examples: int) -> None:
    """Answers give ids, which the next questions use."""
    asked = Counter[str]()

    class Chain(_schema(loop_world).as_state_machine()):  # type: ignore[misc]
        def call(self, case: Case, **kwargs: Any) -> Response:
            world = loop_world.world
            if case.path_parameters.get("user_id") in {world.console.admin.id, *world.users.values()}:
                # Who asks, and who puts right what was done, must stay.
                case.path_parameters = {**case.path_parameters, "user_id": world.victim_user}
            response: Response = loop_world.run(send(world, case, "admin"))
            asked[f"{case.operation.label} {response.status_code}"] += 1
            return response

        def validate_response(self, response: Response, case: Case, **kwargs: Any) -> None:
            check(response, case)

    settings = hypothesis.settings(FIXED, max_examples=examples, stateful_step_count=10)
    Chain.run(settings=settings)
    assert any(name.startswith("GET /api/v1/gateways/{gateway_id}") and name.endswith(" 200") for name in asked), asked


def _schema(loop_world: LoopWorld) -> BaseSchema:
    return load(loop_world.world.console.app.openapi())


def _aim(case: Case, world: World, gateway: str) -> None:
    """At something that is there; without a name the case is left as it is."""
    if gateway and case.path_parameters:
        there = {"gateway_id": world.ids[gateway], "user_id": world.victim_user, "key_id": world.victim_key}
        there["bundle_id"] = world.victim_bundle
        case.path_parameters = {name: there[name] for name in case.path_parameters}


def _nearly_right(case: Case, data: st.DataObject) -> None:
    """What the description cannot say: a sealed box, or a configuration whose parts are generated one at a time."""
    assert isinstance(case.body, dict)
    if "ciphertext" in case.body:
        case.body = {**case.body, "ciphertext": CIPHERTEXT}
    if "vcenter" in case.body:
        part = data.draw(st.sampled_from(sorted(set(case.body) - {"cloud"})))
        case.body = {**CONFIGURATION, part: case.body[part]}
