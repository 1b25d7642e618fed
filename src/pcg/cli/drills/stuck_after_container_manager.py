"""The image cannot be brought, or breaks off, or the account may not bring it."""

from __future__ import annotations

from pcg.cli.drilling.drill import Drill, Fault, Kind

DRILLS = (
    Drill("image-source-unreachable", Kind.CLOUD, Fault("images/host-closed")),
    Drill("template-folder-permission", Kind.CLOUD, Fault("permissions/import-right-removed")),
    Drill("image-transfer-interrupted", Kind.CLOUD, Fault("images/connections-break")),
)
