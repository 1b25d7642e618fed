"""Each scenario fires on what it is about, stays silent on near misses, and a cause silences its effects."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pcg.diagnosis.engine import all_scenarios, diagnose
from pcg.diagnosis.facts import Facts, InstallerFact, JetFact, WayFact
from pcg.diagnosis.probes.answer import About, ProbeAnswer
from pcg.model.records import GatewayStatus, Problem, StepReport
from pcg.model.states import Severity, StepName, StepState

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
LOOPING = JetFact("installer", 5, True, NOW - timedelta(minutes=3), ["jet: no authorization token: none yet"])


def status(
    step: StepName | None = None, state: StepState = StepState.BLOCKED, reason: str = "r", **fields: str
) -> GatewayStatus:
    problem = Problem(reason=reason, what="what happened", evidence=["seen"], fields=fields, at=NOW)
    steps = [StepReport(name=step, state=state, last_error=problem)] if step else []
    return GatewayStatus(generation=1, incarnation=1, steps=steps)


PRIVILEGE = {"privilege": "VirtualMachine.Provisioning.Clone", "object": "/dc-1/vm/x", "account": "svc"}
IMAGE = {"url": "http://images.example.com/node.ova", "hop": "connect"}
LEASES = {"resource": "dhcp-leases", "where": "VM Network", "needed": "4", "free": "0"}

FIRES = [
    ("clone-permission-denied/privilege-missing", StepName.PREFLIGHT, PRIVILEGE),
    ("clone-permission-denied/privilege-missing", StepName.MACHINES, PRIVILEGE),
    ("stuck-after-container-manager/image-source-unreachable", StepName.TEMPLATE, IMAGE),
    ("stuck-after-container-manager/image-source-unreachable", StepName.PREFLIGHT, IMAGE),
    ("address-not-assigned/dhcp-scope-exhausted", StepName.PREFLIGHT, LEASES),
    ("address-not-assigned/dhcp-scope-exhausted", StepName.MACHINES, LEASES),
]


@pytest.mark.parametrize("expected,step,fields", FIRES)
def test_fires(expected: str, step: StepName, fields: dict[str, str]) -> None:
    (finding,) = diagnose(Facts(NOW, status(step, **fields)))
    assert f"{finding.scenario}/{finding.cause}" == expected
    assert finding.severity is Severity.ERROR
    assert finding.remedy and finding.cured and finding.evidence[0].text == "what happened"
    named = [value for key, value in fields.items() if key not in ("resource", "hop")]
    assert all(value in finding.summary for value in named)


BY_REASON = [
    ("image-deploy-failed/vcenter-unreachable", StepName.CONNECT, "vcenter-unreachable-connect", {"target": "vc"}),
    ("image-deploy-failed/vcenter-unreachable", StepName.CONNECT, "data-center-unreachable-name", {"target": "dc"}),
    ("image-deploy-failed/vcenter-unreachable", StepName.CONNECT, "certificate-untrusted", {}),
    ("image-deploy-failed/vcenter-login-failed", StepName.CONNECT, "credentials-rejected", {}),
    ("image-deploy-failed/vcenter-login-failed", StepName.CONNECT, "password-expired", {}),
    ("stuck-after-container-manager/image-transfer-interrupted", StepName.TEMPLATE, "image-transfer-interrupted", {}),
    ("provisioning-stalled/insufficient-resources", StepName.PREFLIGHT, "memory-missing", {"resource": "memory"}),
    ("provisioning-stalled/insufficient-resources", StepName.PREFLIGHT, "licence-expired", {}),
    ("provisioning-stalled/time-not-synchronised", StepName.PREFLIGHT, "host-clock-wrong", {}),
    ("provisioning-stalled/object-not-found", StepName.PREFLIGHT, "datastore-not-found", {}),
    ("provisioning-stalled/object-not-found", StepName.PREFLIGHT, "name-ambiguous", {}),
    ("provisioning-stalled/vendor-fault", StepName.MACHINES, "vcenter-refused", {}),
    ("provisioning-stalled/address-pool-exhausted", StepName.ADDRESSES, "address-pool-exhausted", {}),
]


@pytest.mark.parametrize("expected,step,reason,fields", BY_REASON)
def test_fires_by_reason(expected: str, step: StepName, reason: str, fields: dict[str, str]) -> None:
    (finding,) = diagnose(Facts(NOW, status(step, reason=reason, **fields)))
    assert f"{finding.scenario}/{finding.cause}" == expected
    assert finding.summary and finding.cured and finding.evidence[0].text == "what happened"
    assert diagnose(Facts(NOW, status(step, StepState.DONE, reason=reason, **fields))) == []


def test_after_the_template_a_cloud_that_is_away_is_a_lost_session() -> None:
    away = status(StepName.CONNECT, reason="vcenter-unreachable-connect", target="vc.example.com:443")
    done = StepReport(name=StepName.TEMPLATE, state=StepState.DONE)
    (finding,) = diagnose(Facts(NOW, away.model_copy(update={"steps": [*away.steps, done]})))
    assert (finding.scenario, finding.cause) == ("provisioning-stalled", "session-lost")


@pytest.mark.parametrize(
    "why,said,remedy",
    [
        ("role-lacks", "the role r lacks it", "Add VirtualMachine.Provisioning.Clone to the role r of svc."),
        ("not-propagated", "the role r has it but does not propagate", "Let the role r of svc propagate"),
        ("hidden", "hides the one above", "Replace the role r of svc"),
        ("group", "only groups", "Add VirtualMachine.Provisioning.Clone to the role that svc has"),
        ("no-permission", "no role of the account", "Add VirtualMachine.Provisioning.Clone to the role that svc has"),
        ("", "on /dc-1/vm/x and 1 more privileges.", "Add VirtualMachine.Provisioning.Clone to the role that svc has"),
    ],
)
def test_a_missing_privilege_says_how_it_comes_to_be_missing(why: str, said: str, remedy: str) -> None:
    fields = {**PRIVILEGE, "why": why, "role": "r", "privileges": f"{PRIVILEGE['privilege']}, Network.Assign"}
    (finding,) = diagnose(Facts(NOW, status(StepName.PREFLIGHT, **fields)))
    assert said in finding.summary and "1 more" in finding.summary
    assert finding.remedy[0].startswith(remedy)


@pytest.mark.parametrize("expected,step,fields", FIRES)
def test_a_step_that_is_done_has_no_finding(expected: str, step: StepName, fields: dict[str, str]) -> None:
    assert diagnose(Facts(NOW, status(step, StepState.DONE, **fields))) == []


@pytest.mark.parametrize(
    "step,fields",
    [
        (StepName.CONNECT, PRIVILEGE),
        (StepName.MACHINES, IMAGE),
        (StepName.MACHINES, {"resource": "control-plane-address", "where": "c-1"}),
        (StepName.TEMPLATE, {"hop": "connect"}),
        (StepName.NODES, LEASES),
        (None, {}),
    ],
)
def test_near_misses(step: StepName | None, fields: dict[str, str]) -> None:
    assert diagnose(Facts(NOW, status(step, **fields))) == []


def test_a_looping_jet_before_configuration_is_a_notice() -> None:
    (notice,) = diagnose(Facts(NOW, status(), [LOOPING]))
    assert (notice.scenario, notice.cause) == ("jet-crash-loop", "awaiting-configuration")
    assert notice.severity is Severity.INFO and notice.since == LOOPING.since
    assert "none yet" in notice.evidence[0].text


@pytest.mark.parametrize(
    "jet", [JetFact("installer", 0, False, None), JetFact("cluster", 3, False, NOW, ready=True)], ids=["new", "ready"]
)
def test_a_jet_that_does_not_loop_is_no_notice(jet: JetFact) -> None:
    assert diagnose(Facts(NOW, status(), [jet])) == []


@pytest.mark.parametrize(
    "cause,words",
    [
        ("token-rejected", ["jet: the console does not accept the authorization token (token-rejected)"]),
        (
            "console-unreachable",
            ["jet: it cannot be reached. hop=connect tried: x", "jet: the console was unreachable"],
        ),
        ("container-cannot-start", ["setpriv: failed to execute /usr/bin/pcg: No such file or directory"]),
        ("container-cannot-start", []),
    ],
)
def test_a_jet_that_loops_for_another_reason_is_an_error(cause: str, words: list[str]) -> None:
    jet = JetFact("installer", 2, False, NOW, words, last_exit=1)
    (found,) = diagnose(Facts(NOW, status(), [jet]))
    assert (found.scenario, found.cause, found.severity) == ("jet-crash-loop", cause, Severity.ERROR)
    assert not words or words[-1] in found.evidence[0].text


def test_a_jet_that_meets_what_the_gateway_meets_is_not_told_beside_it() -> None:
    problem = Problem(reason="connection-refused", what="refused", at=NOW)
    way = WayFact(registered=True, step="session", trouble=problem, upgraded=True)
    jet = JetFact("installer", 2, True, NOW, ["jet: refused hop=connect"], last_exit=1)
    assert [found.scenario for found in diagnose(Facts(NOW, status(), [jet], way))] == ["gateway-disconnected"]


def test_jet_is_no_longer_expected_to_loop_once_registered() -> None:
    assert diagnose(Facts(NOW, status(StepName.JET_REGISTERED, StepState.DONE), [LOOPING])) == []


TYPED = "https://vc.example.com"


def test_an_address_that_was_typed_with_a_scheme_is_a_notice_for_as_long_as_it_is_the_one_given() -> None:
    for done in (status(), status(StepName.TEMPLATE, StepState.DONE)):
        (notice,) = diagnose(Facts(NOW, done, vcenter_typed=TYPED))
        assert notice.key == ("image-deploy-failed", "vcenter-address-has-scheme")
        assert notice.severity is Severity.INFO and notice.remedy and notice.cured
        assert TYPED in notice.evidence[0].text
    assert diagnose(Facts(NOW, status())) == []


def test_a_notice_explains_no_error_away() -> None:
    """Of its own scenario, of one that the scenario would silence, and of one that a probe finds."""
    step = status(StepName.CONNECT, reason="vcenter-unreachable-connect")
    found = diagnose(Facts(NOW, step, vcenter_typed=TYPED))
    assert [item.cause for item in found] == ["vcenter-unreachable", "vcenter-address-has-scheme"]
    step = status(StepName.PREFLIGHT, reason="memory-missing", resource="memory")
    found = diagnose(Facts(NOW, step, vcenter_typed=TYPED))
    assert [item.cause for item in found] == ["insufficient-resources", "vcenter-address-has-scheme"]
    refused = ProbeAnswer(About.VCENTER, "tcp", "vc.example.com:443").failing("connection-refused", "refused")
    installer = InstallerFact(registered=True, began=True)
    facts = Facts(NOW, status(), probes=[refused], installer=installer, vcenter_typed=TYPED)
    assert [item.cause for item in diagnose(facts)] == ["vcenter-unreachable", "vcenter-address-has-scheme"]


def test_errors_come_first_and_keep_since_when_they_are_open() -> None:
    facts = Facts(NOW, status(StepName.MACHINES, **PRIVILEGE), [LOOPING])
    first = diagnose(facts)
    assert [finding.severity for finding in first] == [Severity.ERROR, Severity.INFO]
    later = Facts(
        NOW + timedelta(hours=1),
        status(StepName.MACHINES, **PRIVILEGE).model_copy(
            update={
                "steps": [
                    StepReport(
                        name=StepName.MACHINES,
                        state=StepState.BLOCKED,
                        last_error=Problem(reason="r", what="w", fields=PRIVILEGE, at=NOW + timedelta(hours=1)),
                    )
                ]
            }
        ),
    )
    (again,) = diagnose(later, earlier=first)
    assert again.since == NOW


def test_every_scenario_is_well_formed() -> None:
    for name, module in all_scenarios().items():
        assert getattr(module, "SCENARIO") == name  # noqa: B009 - the protocol does not name it
        assert (module.__doc__ or "").strip()
        assert set(module.SILENCED_BY) <= set(all_scenarios())
        assert name not in module.SILENCED_BY


def test_every_link_leads_to_a_heading() -> None:
    text = (Path(__file__).parents[3] / "docs" / "scenarios.md").read_text()
    for name in all_scenarios():
        assert f"\n## {name}\n" in text
