"""The addresses that nodes would get are taken."""

from __future__ import annotations

from pcg.cli.drilling.drill import Drill, Fault, Kind

DRILLS = (Drill("dhcp-scope-exhausted", Kind.CLOUD, Fault("dhcp/leases-all-taken")),)
