"""The image cannot be brought."""

from __future__ import annotations

from pcg.cli.drilling.drill import Drill, Fault, Kind

DRILLS = (Drill("image-source-unreachable", Kind.CLOUD, Fault("images/host-closed")),)
