"""All drills, found by listing `pcg.cli.drills`: adding one edits nothing else."""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module

import click

from pcg.cli import drills
from pcg.cli.drilling.drill import Drill, Fault, Stage, Way


@cache
def all_drills() -> dict[str, Drill]:
    """By `scenario/cause`."""
    found: dict[str, Drill] = {}
    for module in sorted(module.name for module in pkgutil.iter_modules(drills.__path__)):
        scenario = module.replace("_", "-")
        for drill in import_module(f"{drills.__name__}.{module}").DRILLS:
            key = f"{scenario}/{drill.cause}"
            assert key not in found, f"{key} has two drills"
            found[key] = drill
    return found


def drill_of(key: str) -> Drill:
    """Raises a usage error that lists what can be drilled."""
    if key not in all_drills():
        raise click.UsageError(f"{key!r} cannot be caused; known: {', '.join(all_drills())}")
    return all_drills()[key]


def fault_of(key: str) -> str:
    """The data center's fault, for the demo: what strikes while a gateway is provisioned, and leaves its installer be.
    Raises a usage error that lists what fits.
    """
    known = {name: fault for name, drill in all_drills().items() if (fault := _in_demo(drill))}
    if key not in known:
        raise click.UsageError(f"{key!r} cannot be caused; known: {', '.join(known)}")
    return known[key]


def _in_demo(drill: Drill) -> str:
    plain = drill.way is Way.DIRECT and drill.when is Stage.CONNECTED and drill.change is None
    fits = plain and isinstance(drill.trouble, Fault) and drill.configures and drill.nodes == 1
    return drill.trouble.name if fits and isinstance(drill.trouble, Fault) else ""
