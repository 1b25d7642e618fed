"""A node gets no address because the DHCP scope has no free lease (seed)."""

from __future__ import annotations

from collections.abc import Iterator

from pcg.diagnosis.facts import Facts, evidence_of
from pcg.model.records import Finding
from pcg.model.states import Severity, StepName

SCENARIO = "address-not-assigned"
SILENCED_BY: tuple[str, ...] = ("clone-permission-denied", "stuck-after-container-manager")


def examine(facts: Facts) -> Iterator[Finding]:
    steps = (StepName.PREFLIGHT, StepName.ADDRESSES, StepName.MACHINES)
    for step, problem in facts.problems(*steps):
        if problem.fields.get("resource") != "dhcp-leases":
            continue
        where = problem.fields.get("where", "the network")
        needed, free = problem.fields.get("needed", "?"), problem.fields.get("free", "?")
        yield Finding(
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
            link="docs/scenarios.md#address-not-assigned",
            cured="The server offers leases again and the nodes get their addresses by themselves.",
        )
        return
