"""Runs every scenario over the facts and orders what they found. Called by the gateway before it sends its status.

A scenario is a module in `scenarios/`, its file name is its id. It may have pure functions that yield findings:
`examine(facts)` by the gateway's own status, `probed(facts)` by what was asked of the network just now. It may
declare in `LOGS` what it looks like in logs (`log_engine`). Its `KNOWN_BEFORE` says by cause how it is told before it
happens, or why it cannot be. It names in `SILENCED_BY` the scenarios whose findings explain its own away: a cause
silences its effects. What shows on the machine itself that it is clear is for `live_verdict`.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib import import_module
from typing import Protocol, cast

from pcg.diagnosis import scenarios
from pcg.diagnosis.facts import Facts
from pcg.model.records import Finding
from pcg.model.states import Severity

_ORDER = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.INFO: 2}


class Scenario(Protocol):
    SILENCED_BY: Sequence[str]

    def examine(self, facts: Facts) -> Iterator[Finding]: ...

    def probed(self, facts: Facts) -> Iterator[Finding]: ...


@cache
def all_scenarios() -> dict[str, Scenario]:
    """By id. Found by listing the folder, so that adding one edits nothing else."""
    names = sorted(module.name for module in pkgutil.iter_modules(scenarios.__path__))
    return {name.replace("_", "-"): cast(Scenario, import_module(f"{scenarios.__name__}.{name}")) for name in names}


def diagnose(facts: Facts, earlier: Sequence[Finding] = ()) -> list[Finding]:
    """Findings now, the gravest first. One that was open before keeps the time since when it is."""
    found = {scenario: _found(module, facts) for scenario, module in all_scenarios().items()}
    since = {finding.key: finding.since for finding in earlier}
    open_now = {scenario for scenario, findings in found.items() if any(map(_grave, findings))}
    kept = [
        finding.model_copy(update={"since": min(since.get(finding.key, finding.since), finding.since)})
        for scenario, findings in found.items()
        if not open_now.intersection(all_scenarios()[scenario].SILENCED_BY)
        for finding in findings
    ]
    return ordered(kept)


def ordered(findings: Iterable[Finding]) -> list[Finding]:
    """The gravest first, then the oldest."""
    return sorted(findings, key=lambda finding: (_ORDER[finding.severity], finding.since, finding.key))


def _found(module: Scenario, facts: Facts) -> list[Finding]:
    """What a step met says more than a probe does; where both name the same cause, the probe's answer is evidence.

    A notice says nothing of what else there is.
    """
    met = list(module.examine(facts)) if hasattr(module, "examine") else []
    asked = list(module.probed(facts)) if facts.asked and hasattr(module, "probed") else []
    known = {finding.key for finding in met}
    joined = [_joined(finding, asked) for finding in met]
    return joined if any(map(_grave, met)) else [*joined, *(one for one in asked if one.key not in known)]


def _grave(finding: Finding) -> bool:
    """Not a notice."""
    return finding.severity is not Severity.INFO


def _joined(finding: Finding, others: Sequence[Finding]) -> Finding:
    more = [item for other in others if other.key == finding.key for item in other.evidence]
    return finding.model_copy(update={"evidence": [*finding.evidence, *more][:32]}) if more else finding
