"""The image cannot be brought, or breaks off, or the account may not bring it."""

from __future__ import annotations

from pcg.cli.drilling.drill import Drill, Fault, Kind
from pcg.model.states import StepName

DRILLS = (
    Drill("image-source-unreachable", Kind.CLOUD, Fault("images/host-closed")),
    Drill(
        "template-folder-permission", Kind.CLOUD, Fault("permissions/import-right-removed"), leads_to=StepName.TEMPLATE
    ),
    Drill("image-transfer-interrupted", Kind.CLOUD, Fault("images/connections-break"), leads_to=StepName.TEMPLATE),
)
