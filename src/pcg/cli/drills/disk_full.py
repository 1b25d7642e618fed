"""Nodes whose disks are full."""

from __future__ import annotations

from pcg.cli.drilling.drill import Drill, Fault, Kind

DRILLS = (Drill("node-disk-full", Kind.CLUSTER, Fault("machines/disks-full")),)
