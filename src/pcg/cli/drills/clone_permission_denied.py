"""A right is taken from the gateway's account."""

from __future__ import annotations

from pcg.cli.drilling.drill import Drill, Fault, Kind

DRILLS = (Drill("privilege-missing", Kind.CLOUD, Fault("permissions/clone-right-removed")),)
