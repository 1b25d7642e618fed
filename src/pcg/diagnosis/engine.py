"""Runs every scenario over the facts and orders what they found. Called by the gateway before it sends its status.

A scenario is a module in `scenarios/`, its file name is its id. It may have one pure function `examine(facts)` which
yields findings, and a declaration `LOGS` of what it looks like in logs (`log_engine`). It names in `SILENCED_BY` the
scenarios whose findings explain its own away: a cause silences its effects.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator, Sequence
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


@cache
def all_scenarios() -> dict[str, Scenario]:
    """By id. Found by listing the folder, so that adding one edits nothing else."""
    names = sorted(module.name for module in pkgutil.iter_modules(scenarios.__path__))
    return {name.replace("_", "-"): cast(Scenario, import_module(f"{scenarios.__name__}.{name}")) for name in names}


def diagnose(facts: Facts, earlier: Sequence[Finding] = ()) -> list[Finding]:
    """Findings now, the gravest first. One that was open before keeps the time since when it is."""
    found = {
        scenario: list(module.examine(facts))
        for scenario, module in all_scenarios().items()
        if hasattr(module, "examine")
    }
    since = {finding.key: finding.since for finding in earlier}
    open_now = {scenario for scenario, findings in found.items() if findings}
    kept = [
        finding.model_copy(update={"since": min(since.get(finding.key, finding.since), finding.since)})
        for scenario, findings in found.items()
        if not open_now.intersection(all_scenarios()[scenario].SILENCED_BY)
        for finding in findings
    ]
    return sorted(kept, key=lambda finding: (_ORDER[finding.severity], finding.since, finding.key))
