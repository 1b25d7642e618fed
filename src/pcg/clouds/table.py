"""The table of clouds: a new one is its folder and one line here. Imported late, so that none costs the others."""

from __future__ import annotations

from importlib import import_module

from pcg.clouds.base import Cloud
from pcg.model.configuration import CloudKind

_MODULES = {
    CloudKind.SIMULATED: ("pcg.clouds.simulated.cloud", "SimulatedCloud"),
    CloudKind.VSPHERE: ("pcg.clouds.vsphere.cloud", "VsphereCloud"),
}


def cloud_of(kind: CloudKind) -> Cloud:
    module, name = _MODULES[kind]
    made: Cloud = getattr(import_module(module), name)()
    return made
