"""The ids of scenarios and causes, and where a text names one: simulated parts must not; drills cover all of them."""

from __future__ import annotations

from typing import Any, cast

from pcg.diagnosis.engine import all_scenarios


def all_rows() -> set[str]:
    """`scenario/cause`."""
    modules = {name: cast(Any, module) for name, module in all_scenarios().items()}
    return {f"{name}/{cause.name}" for name, module in modules.items() for cause in module.LOGS.causes}


def ids_in(text: str) -> set[str]:
    return {name for row in all_rows() for name in row.split("/") if name in text}
