"""Every cause says how it is told before it happens, and what it says of preflight is so, by the same rules."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pcg.diagnosis.engine import all_scenarios, diagnose
from pcg.diagnosis.facts import Facts
from pcg.model.records import GatewayStatus, Problem, StepReport
from pcg.model.states import StepName, StepState

NOW = datetime(2026, 1, 1, tzinfo=UTC)

WORDS = ("While typing: ", "In preflight", "With `pcg doctor` ", "Not: ", "It is expected.")

TOLD = {
    f"{scenario}/{cause}": words
    for scenario, module in all_scenarios().items()
    for cause, words in module.KNOWN_BEFORE.items()
}

IN_PREFLIGHT = {
    "address-not-assigned/dhcp-scope-exhausted": ("dhcp-leases-missing", {"resource": "dhcp-leases"}),
    "address-not-assigned/static-address-wrong": (
        "address-in-use",
        {"resource": "control-plane-address", "address": "127.64.0.9"},
    ),
    "clone-permission-denied/privilege-missing": (
        "permission-missing",
        {"privilege": "VirtualMachine.Provisioning.Clone", "object": "/dc-1/vm", "account": "svc"},
    ),
    "jet-crash-loop/console-unreachable": ("nodes-proxy-refuses", {"hop": "proxy"}),
    "provisioning-stalled/insufficient-resources": ("memory-missing", {"resource": "memory"}),
    "provisioning-stalled/time-not-synchronised": ("clock-wrong", {"server": "127.64.0.3"}),
    "provisioning-stalled/object-not-found": ("datastore-not-found", {}),
    "stuck-after-container-manager/template-folder-permission": (
        "permission-missing",
        {"privilege": "VApp.Import", "object": "/dc-1/vm/spectro-templates", "account": "svc"},
    ),
    "stuck-after-container-manager/image-source-unreachable": (
        "image-unreachable",
        {"url": "http://127.64.0.4/node.ova"},
    ),
}
"""reason and fields of what preflight tells"""

CONNECTED_BEFORE = {"image-deploy-failed/vcenter-login-failed", "image-deploy-failed/vcenter-unreachable"}
"""nothing else can be asked without them, so the step before preflight tells"""

EXPLAINED = {"no-route-to-api-server/virtual-ip-not-held"}
"""what preflight tells of it is another scenario, which it names"""


def test_every_cause_says_how_it_is_known_before() -> None:
    for scenario, module in all_scenarios().items():
        assert set(module.KNOWN_BEFORE) == {cause.name for cause in module.LOGS.causes}, scenario
    assert [key for key, words in TOLD.items() if not words.startswith(WORDS)] == []


def test_the_table_here_is_what_they_say() -> None:
    said = {key for key, words in TOLD.items() if "In preflight" in words}
    assert said == set(IN_PREFLIGHT) | CONNECTED_BEFORE | EXPLAINED


@pytest.mark.parametrize("key", IN_PREFLIGHT)
def test_preflight_tells_it_by_the_same_rules(key: str) -> None:
    reason, fields = IN_PREFLIGHT[key]
    problem = Problem(reason=reason, what="what happened", at=NOW, fields=fields)
    step = StepReport(name=StepName.PREFLIGHT, state=StepState.BLOCKED, last_error=problem)
    (finding,) = diagnose(Facts(NOW, GatewayStatus(generation=1, incarnation=1, steps=[step])))
    assert "/".join(finding.key) == key
