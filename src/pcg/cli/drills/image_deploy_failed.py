"""The private cloud's API is not at the address that was given, or does not let the account in; or its address was
given with a scheme, which is put right.
"""

from __future__ import annotations

import socket
from typing import Any

from pcg.cli.drilling.drill import Act, Drill, Fault, Kind, WrongConfiguration
from pcg.cli.drilling.scene import Scene
from pcg.errors import PcgError
from pcg.model.states import StepName

_CONNECTED_SECONDS = 30.0


def _at_a_closed_port(scene: Scene, document: dict[str, Any]) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        document["vcenter"]["address"] = f"127.0.0.1:{probe.getsockname()[1]}"


def _with_scheme(scene: Scene, document: dict[str, Any]) -> None:
    document["vcenter"]["address"] = f"https://{document['vcenter']['address']}/"


async def _type_scheme(scene: Scene) -> None:
    scene.change = _with_scheme


async def _type_address_alone(scene: Scene) -> None:
    """Nothing waits for it: the gateway has used what it was given."""
    if not await scene.until(lambda: scene.reached(StepName.CONNECT), _CONNECTED_SECONDS):
        raise PcgError("the gateway did not connect by the address that was given with a scheme")
    scene.change = None
    await scene.configure()


async def _put_right(scene: Scene) -> int:
    """What the console says of the configuration that it has."""
    path = f"/gateways/{scene.gateway_id}"
    if not (await scene.console.call("GET", path))["configured"]:
        return 0
    return len((await scene.console.call("GET", f"{path}/configuration"))["notices"])


DRILLS = (
    Drill(
        "vcenter-address-has-scheme",
        Kind.INPUT,
        Act(_type_scheme, _type_address_alone, _put_right),
        leads_to=StepName.TEMPLATE,
        notice=True,
    ),
    Drill("vcenter-unreachable", Kind.INPUT, WrongConfiguration(_at_a_closed_port, "cannot be reached")),
    Drill("vcenter-login-failed", Kind.CLOUD, Fault("api/account-locked", again=True), leads_to=StepName.TEMPLATE),
)
