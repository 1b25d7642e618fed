"""docs/scenarios.md from the scenario files. `scripts/make-scenarios` writes it, a test holds it to the code."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from pcg.diagnosis.engine import all_scenarios
from pcg.diagnosis.log_rules import Cause

_HEAD = """\
# Scenarios: known failures that the system names itself

Made by `scripts/make-scenarios` from the files under `src/pcg/diagnosis/scenarios/`; do not edit.
`pcg doctor PATH` looks for all of them in logs. `pcg drill SCENARIO/CAUSE` causes those marked *drill* for real,
on this machine, and shows that they are found and go away by themselves. How it works: [diagnosis.md](diagnosis.md)."""


def scenarios_page(drills: Collection[str]) -> str:
    """`drills` are `scenario/cause`."""
    return (
        "\n".join(
            [_HEAD, *(line for name, module in all_scenarios().items() for line in _section(name, module, drills))]
        )
        + "\n"
    )


def _section(name: str, module: Any, drills: Collection[str]) -> Iterator[str]:
    yield f"\n## {name}\n"
    yield (module.__doc__ or "").strip()
    for cause in module.LOGS.causes:
        yield from _cause(f"{name}/{cause.name}", cause, module.KNOWN_BEFORE[cause.name], drills)
    yield f"\nCannot be told without {module.LOGS.missing}."
    if module.LOGS.silenced_by:
        yield f"\nNot reported beside {', '.join(f'`{other}`' for other in module.LOGS.silenced_by)}, which explain it."


def _cause(key: str, cause: Cause, known_before: str, drills: Collection[str]) -> Iterator[str]:
    marks = [str(cause.severity)] + (["*drill*"] if key in drills else [])
    yield f"\n### {key}\n"
    yield f"{cause.summary} ({', '.join(marks)})\n"
    yield f"- What tells it: {cause.tells}."
    for remedy in cause.remedy:
        yield f"- Remedy: {remedy}"
    yield f"- Known before: {known_before}"
    if cause.cured:
        yield f"- Cured: {cause.cured}"
