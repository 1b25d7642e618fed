"""Faults that a lab switches on: each changes a part of the data center as life would, and off undoes it.

No part knows of them; it only finds itself changed. Console, gateway and diagnosis cannot import this
(import-linter), and nothing that the parts answer or log names a cause.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from pcg.clouds.guest.api_servers import API_PORT
from pcg.clouds.simulated.datacenter import DataCenter
from pcg.clouds.simulated.inventory import DATACENTER, DATASTORE, HOSTS, NETWORK
from pcg.clouds.simulated.permissions import DEPLOY_TEMPLATE, IMPORT
from pcg.errors import NotFound

_FOREIGN = "02:00:00"
"""cards of devices that are none of our machines"""
_TEMPLATES = f"/{DATACENTER}/vm/spectro-templates"
_HOARDER = "stranger-backup"
"""a machine of others that takes what room there is"""
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


def _around(
    attribute: str,
    restarted: bool = False,
    ill_as: bool | frozenset[int] = False,
    well_as: bool | frozenset[int] = True,
) -> Fault:
    """What machines find around them. `restarted`: whoever mends it starts the machines anew that met it."""

    def mend(center: DataCenter) -> None:
        ill = getattr(center.surroundings, attribute) != well_as
        center.surroundings.change(**{attribute: well_as})
        if ill and restarted:
            center.life.restart_machines()

    return Fault(
        lambda center: center.surroundings.change(**{attribute: ill_as}),
        mend,
        lambda center: center.surroundings.times_met(attribute),
    )


def _at_ports(attribute: str, *ports: int) -> Fault:
    return _around(attribute, ill_as=frozenset(ports), well_as=frozenset())


def _set(part: str, attribute: str, ill: object, well: object, counter: str) -> Fault:
    """An attribute of one of the data center's parts."""
    return Fault(
        lambda center: setattr(getattr(center, part), attribute, ill),
        lambda center: setattr(getattr(center, part), attribute, well),
        lambda center: int(getattr(getattr(center, part), counter)),
    )


def _right(path: str, name: str) -> Fault:
    """A right taken from the account's role on an object."""
    return Fault(
        lambda center: center.permissions.set(path, center.permissions.own(path) - {name}),
        lambda center: center.permissions.set(path, center.permissions.own(path) | {name}),
        lambda center: center.permissions.denied[name],
    )


def _fill_datastore(center: DataCenter) -> None:
    if not any(machine.name == _HOARDER for machine in center.machines):
        made = center.life.add_stranger(_HOARDER)
        center.machines.put(replace(made, disk=made.disk + center.machines.free_space(DATASTORE) - 1))


def _empty_datastore(center: DataCenter) -> None:
    for machine in [machine for machine in center.machines if machine.name == _HOARDER]:
        center.life.remove(machine.id)


def _rename_network(center: DataCenter) -> None:
    center.network = "VM Network (old)"


def _name_network_again(center: DataCenter) -> None:
    center.network = NETWORK


FAULTS = {
    "dhcp/leases-all-taken": Fault(_take_all_leases, _give_leases_back, lambda center: center.dhcp.refused),
    "dhcp/server-stopped": _set("dhcp", "running", False, True, "unheard"),
    "permissions/clone-right-removed": _right(_TEMPLATES, DEPLOY_TEMPLATE),
    "permissions/import-right-removed": _right(_TEMPLATES, IMPORT),
    "images/host-closed": _set("gate", "open", False, True, "turned_away"),
    "images/connections-break": _set("gate", "lasts", False, True, "broken_off"),
    "api/account-locked": _set("door", "account_locked", True, False, "turned_away"),
    "api/sessions-ended": _set("door", "keeps_sessions", False, True, "logged_out"),
    "hosts/clock-ahead": _set("hosts", "ahead", {HOSTS[0].name: 7200.0}, {}, "asked"),
    "hosts/not-responding": _set("hosts", "connected", False, True, "failed"),
    "inventory/network-renamed": Fault(_rename_network, _name_network_again, lambda center: center.missed),
    "datastore/filled": Fault(_fill_datastore, _empty_datastore, lambda center: center.machines.short),
    "node-image/data-source-missing": _around("data_source", restarted=True),
    "node-image/network-configuration-off": _around("network_configuration", restarted=True),
    "node-image/root-read-only": _around("writable", restarted=True),
    "machines/agents-stopped": Fault(
        lambda center: center.surroundings.change(agents_run=False),
        lambda center: center.life.start_agents(),
        lambda center: center.surroundings.times_met("agents_run"),
    ),
    "machines/cards-disconnected": _around("cards_connected"),
    "machines/kubelets-stopped": _around("kubelets_run"),
    "machines/disks-full": _around("disks_have_room"),
    "machines/api-servers-stopped": _around("api_servers_run"),
    "machines/join-tokens-run-out": _around("tokens_valid"),
    "network/foreign-addresses-dropped": _around("announcements"),
    "network/not-routed": _around("routed"),
    "network/port-6443-dropped": _at_ports("closed_ports", API_PORT),
    "network/port-6443-intercepted": _at_ports("intercepted_ports", API_PORT),
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
