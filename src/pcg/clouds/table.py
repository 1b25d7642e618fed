"""The table of clouds: a new one is its folder and one line here. Imported late, so that none costs the others."""

from __future__ import annotations

from importlib import import_module

from pcg.clouds.base import Cloud
from pcg.model.configuration import CloudKind
from pcg.network.proxies import NO_PROXIES, Proxies

_MODULES = {
    CloudKind.SIMULATED: ("pcg.clouds.simulated.cloud", "SimulatedCloud", False),
    CloudKind.VSPHERE: ("pcg.clouds.vsphere.cloud", "VsphereCloud", True),
}
"""module, class, and whether it fetches images over this machine's way out, so that it is given the proxies"""


def cloud_of(kind: CloudKind, proxies: Proxies = NO_PROXIES) -> Cloud:
    module, name, fetches = _MODULES[kind]
    make = getattr(import_module(module), name)
    made: Cloud = make(proxies) if fetches else make()
    return made
