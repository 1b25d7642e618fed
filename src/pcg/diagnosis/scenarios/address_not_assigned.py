"""A node gets no address: the DHCP scope has no free lease, or static addresses are wrong or somebody else's (seed)."""

from __future__ import annotations

from collections.abc import Iterator

from pcg.diagnosis.facts import Facts, evidence_of
from pcg.model.records import Finding, Problem, StepReport
from pcg.model.states import Severity, StepName

SCENARIO = "address-not-assigned"
SILENCED_BY: tuple[str, ...] = ("clone-permission-denied", "stuck-after-container-manager")

_LINK = "docs/scenarios.md#address-not-assigned"
_STATIC_FIELDS = ("network.addresses.static", "network.controlPlaneAddress")


def examine(facts: Facts) -> Iterator[Finding]:
    steps = (StepName.VALIDATE_CONFIGURATION, StepName.PREFLIGHT, StepName.ADDRESSES, StepName.MACHINES)
    for step, problem in facts.problems(*steps):
        found = _scope_exhausted(step, problem) or _in_use(step, problem) or _misfit(step, problem)
        if found is not None:
            yield found
            return


def _scope_exhausted(step: StepReport, problem: Problem) -> Finding | None:
    if problem.fields.get("resource") != "dhcp-leases":
        return None
    where = problem.fields.get("where", "the network")
    needed, free = problem.fields.get("needed", "?"), problem.fields.get("free", "?")
    return Finding(
        scenario=SCENARIO,
        cause="dhcp-scope-exhausted",
        severity=Severity.ERROR,
        since=problem.at,
        summary=f"The DHCP scope of {where} has {free} free leases; {needed} are needed.",
        evidence=evidence_of(step, problem),
        remedy=[
            f"Enlarge the DHCP scope of {where}, or free leases that nobody uses any more.",
            *problem.remedy,
        ],
        link=_LINK,
        cured="The server offers leases again and the nodes get their addresses by themselves.",
    )


def _in_use(step: StepReport, problem: Problem) -> Finding | None:
    address = problem.fields.get("address")
    if problem.reason != "address-in-use" or not address:
        return None
    mac = problem.fields.get("mac", "")
    return _wrong(
        step,
        problem,
        f"{address} is in use by another machine" + (f" with the MAC address {mac}." if mac else "."),
        "Nobody else answers at the address any more; the step goes on by itself.",
    )


def _misfit(step: StepReport, problem: Problem) -> Finding | None:
    field = problem.fields.get("field", "")
    if step.name is not StepName.VALIDATE_CONFIGURATION or not field.startswith(_STATIC_FIELDS):
        return None
    return _wrong(
        step, problem, f"The static addresses are wrong: {field}.", "The corrected configuration passes its first step."
    )


def _wrong(step: StepReport, problem: Problem, summary: str, cured: str) -> Finding:
    return Finding(
        scenario=SCENARIO,
        cause="static-address-wrong",
        severity=Severity.ERROR,
        since=problem.at,
        summary=summary,
        evidence=evidence_of(step, problem),
        remedy=problem.remedy,
        link=_LINK,
        cured=cured,
    )
