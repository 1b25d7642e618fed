"""Faults that a lab switches on: each changes a part of the data center as life would, and off undoes it.

No part knows of them; it only finds itself changed. Console, gateway and diagnosis cannot import this
(import-linter), and nothing that the parts answer or log names a cause.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pcg.clouds.simulated.datacenter import DataCenter
from pcg.clouds.simulated.inventory import DATACENTER
from pcg.clouds.simulated.permissions import DEPLOY_TEMPLATE
from pcg.errors import NotFound

_FOREIGN = "02:00:00"
"""cards of devices that are none of our machines"""
_TEMPLATES = f"/{DATACENTER}/vm/spectro-templates"
_KIND = "fault"


@dataclass(frozen=True)
class Fault:
    """`hits` reads the counter of the part that was changed."""

    on: Callable[[DataCenter], None]
    off: Callable[[DataCenter], None]
    hits: Callable[[DataCenter], int]


def _take_all_leases(center: DataCenter) -> None:
    # By the address's own last octets, so that leases taken at different times never share a card.
    center.dhcp.take(
        {f"{_FOREIGN}:00:00:{int(address.rpartition('.')[2]):02x}": address for address in center.dhcp.free}
    )


def _give_leases_back(center: DataCenter) -> None:
    center.dhcp.release([mac for mac in center.dhcp.leases if mac.startswith(_FOREIGN)])


def _remove_clone_right(center: DataCenter) -> None:
    center.permissions.set(_TEMPLATES, center.permissions.own(_TEMPLATES) - {DEPLOY_TEMPLATE})


def _restore_clone_right(center: DataCenter) -> None:
    center.permissions.set(_TEMPLATES, center.permissions.own(_TEMPLATES) | {DEPLOY_TEMPLATE})


def _shut_gate(center: DataCenter) -> None:
    center.gate.open = False


def _open_gate(center: DataCenter) -> None:
    center.gate.open = True


FAULTS = {
    "dhcp/leases-all-taken": Fault(_take_all_leases, _give_leases_back, lambda center: center.dhcp.refused),
    "permissions/clone-right-removed": Fault(
        _remove_clone_right, _restore_clone_right, lambda center: center.permissions.denied
    ),
    "images/host-closed": Fault(_shut_gate, _open_gate, lambda center: center.gate.turned_away),
}


def switch(center: DataCenter, name: str, *, on: bool) -> None:
    """The same again is harmless. Raises NotFound."""
    fault = FAULTS.get(name)
    if fault is None:
        raise NotFound(f"There is no fault {name!r}.", reason="fault-unknown", evidence=[f"known: {', '.join(FAULTS)}"])
    with center.state.transaction():
        (fault.on if on else fault.off)(center)
        center.state.put(_KIND, name, {"on": on})


def restore(center: DataCenter) -> None:
    """After a restart: what was on is on."""
    for name, document in center.state.all(_KIND).items():
        if document["on"]:
            FAULTS[name].on(center)


def described(center: DataCenter) -> dict[str, dict[str, object]]:
    known = center.state.all(_KIND)
    return {name: {"on": known.get(name, {}).get("on", False), "hits": FAULTS[name].hits(center)} for name in FAULTS}
