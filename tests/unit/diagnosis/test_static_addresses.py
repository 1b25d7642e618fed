"""Static addresses that are wrong, in use or used up: found from what the steps say, and nothing else is."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pcg.diagnosis.engine import diagnose
from pcg.diagnosis.facts import Facts
from pcg.model.records import Finding, GatewayStatus, Problem, StepReport
from pcg.model.states import Severity, StepName, StepState

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
IN_USE = {"resource": "addresses", "where": "10.0.0.10-10.0.0.13", "needed": "4", "free": "0", "address": "10.0.0.10"}
SHARED = {"resource": "control-plane-address", "where": "10.0.0.9", "address": "10.0.0.9", "mac": ""}
EXHAUSTED = {"resource": "addresses", "where": "10.0.0.10-10.0.0.15", "needed": "6", "free": "1"}


def found(step: StepName, reason: str, fields: dict[str, str], state: StepState = StepState.BLOCKED) -> list[Finding]:
    problem = Problem(reason=reason, what="what happened", evidence=["seen"], remedy=["do"], fields=fields, at=NOW)
    steps = [StepReport(name=step, state=state, last_error=problem)]
    return diagnose(Facts(NOW, GatewayStatus(generation=1, incarnation=1, steps=steps)))


FIRES = [
    ("provisioning-stalled/address-pool-exhausted", StepName.ADDRESSES, "address-in-use", IN_USE),
    ("provisioning-stalled/address-pool-exhausted", StepName.MACHINES, "address-in-use", IN_USE),
    ("address-not-assigned/static-address-wrong", StepName.ADDRESSES, "address-in-use", SHARED),
    (
        "address-not-assigned/static-address-wrong",
        StepName.VALIDATE_CONFIGURATION,
        "configuration-invalid",
        {"field": "network.addresses.static.gateway"},
    ),
    ("provisioning-stalled/address-pool-exhausted", StepName.ADDRESSES, "address-pool-exhausted", EXHAUSTED),
    ("provisioning-stalled/address-pool-exhausted", StepName.MACHINES, "address-pool-exhausted", EXHAUSTED),
]


@pytest.mark.parametrize(("expected", "step", "reason", "fields"), FIRES)
def test_fires(expected: str, step: StepName, reason: str, fields: dict[str, str]) -> None:
    (finding,) = found(step, reason, fields)
    assert f"{finding.scenario}/{finding.cause}" == expected
    assert finding.severity is Severity.ERROR
    assert finding.remedy and finding.cured and finding.evidence[0].text == "what happened"
    named = (
        ("address", "mac") if "address" in fields and "needed" not in fields else ("where", "needed", "free", "field")
    )
    assert all(value in finding.summary for key, value in fields.items() if key in named)


@pytest.mark.parametrize(("expected", "step", "reason", "fields"), FIRES)
def test_a_step_that_is_done_has_no_finding(expected: str, step: StepName, reason: str, fields: dict[str, str]) -> None:
    assert found(step, reason, fields, StepState.DONE) == []


@pytest.mark.parametrize(
    ("step", "reason", "fields"),
    [
        (StepName.VALIDATE_CONFIGURATION, "configuration-invalid", {"field": "proxy.https"}),
        (StepName.ADDRESSES, "address-in-use", {}),
        (StepName.ADDRESSES, "resources-missing", EXHAUSTED),
        (StepName.NODES, "address-pool-exhausted", EXHAUSTED),
    ],
)
def test_near_misses(step: StepName, reason: str, fields: dict[str, str]) -> None:
    assert found(step, reason, fields) == []
