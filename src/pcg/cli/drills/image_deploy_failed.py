"""The private cloud's API is not at the address that was given, or does not let the account in."""

from __future__ import annotations

import socket
from typing import Any

from pcg.cli.drilling.drill import Drill, Fault, Kind, WrongConfiguration
from pcg.cli.drilling.scene import Scene


def _at_a_closed_port(scene: Scene, document: dict[str, Any]) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        document["vcenter"]["address"] = f"127.0.0.1:{probe.getsockname()[1]}"


DRILLS = (
    Drill("vcenter-unreachable", Kind.INPUT, WrongConfiguration(_at_a_closed_port, "cannot be reached")),
    Drill("vcenter-login-failed", Kind.CLOUD, Fault("api/account-locked", again=True)),
)
