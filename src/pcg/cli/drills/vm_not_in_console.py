"""A machine that runs and never tries to register: it was not told where, or got none of its properties."""

from __future__ import annotations

from pcg.cli.drilling.drill import Drill, Given, Kind, Stage, WrongInput
from pcg.cli.drilling.scene import Scene

_WITHOUT_PROPERTIES = (
    '<?xml version="1.0" encoding="UTF-8"?><Environment xmlns="http://schemas.dmtf.org/ovf/environment/1">'
    "<PlatformSection><Kind>VMware ESXi</Kind></PlatformSection></Environment>"
)


async def _no_code(scene: Scene) -> Given:
    return Given(code="")


async def _no_properties(scene: Scene) -> Given:
    environment = scene.stack.folder / "ovf-env.xml"
    environment.write_text(_WITHOUT_PROPERTIES)
    return Given(code="", options=("--ovf-env", str(environment)), bare=True)


def _input(cause: str, trouble: WrongInput) -> Drill:
    return Drill(cause, Kind.INPUT, trouble, when=Stage.START, leads_to=Stage.CONNECTED)


DRILLS = (
    _input("registration-never-began", WrongInput(_no_code, "no pairing code was given")),
    _input("guest-properties-not-delivered", WrongInput(_no_properties, "has no properties of this appliance")),
)
