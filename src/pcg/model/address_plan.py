"""How a configuration's addresses fit together: the pool that they make, what of it is never given, and what is wrong.

`parse_configuration` refuses what is wrong here with its field named; the gateway's step checks once more what it
received, and gives addresses from the same `Pool`; the console compares the pools of its gateways. Pure.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pcg.model.configuration import Configuration, Network, StaticAddresses

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address
IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

SPARE_ADDRESSES = 3
"""needed beside the nodes' own: control-plane address, one for a rolling replacement, one for its predecessor"""

_STATIC = "network.addresses.static"


@dataclass(frozen=True)
class Pool:
    """The addresses from `first` to `last` of the subnet `network`, without `reserved`, which are never given."""

    first: Ip
    last: Ip
    network: IpNetwork
    reserved: frozenset[Ip]

    def __contains__(self, address: str) -> bool:
        """Whether it is one that may be given."""
        value = _parsed(address)
        return value is not None and self.spans(value) and value not in self.reserved

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"

    def spans(self, value: Ip) -> bool:
        return value.version == self.first.version and int(self.first) <= int(value) <= int(self.last)

    @property
    def usable(self) -> int:
        """How many may be given. Computed, not counted: a subnet may be a whole /64."""
        return int(self.last) - int(self.first) + 1 - sum(self.spans(value) for value in self.reserved)

    def addresses(self) -> Iterator[str]:
        """What may be given, the lowest first; lazily."""
        for number in range(int(self.first), int(self.last) + 1):
            value = type(self.first)(number)
            if value not in self.reserved:
                yield str(value)


@dataclass
class Plan:
    """`problems` by field, `notices` of what is left out of the pool."""

    problems: list[tuple[str, str]] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)


def pool_of(network: Network) -> Pool | None:
    """None with DHCP, and where no subnet has such a prefix (`check_plan` refuses that)."""
    static = network.addresses.static
    if static is None:
        return None
    first, last = static.bounds
    if static.prefix > first.max_prefixlen:
        return None
    subnet = ipaddress.ip_network(f"{first}/{static.prefix}", strict=False)
    others = [static.gateway, network.control_plane_address, *network.name_servers]
    named = {ipaddress.ip_address(other) for other in others if other is not None}
    return Pool(first, last, subnet, frozenset(named | _edges(subnet)))


def needed_addresses(nodes: int) -> int:
    return nodes + SPARE_ADDRESSES


def check_plan(configuration: Configuration) -> Plan:
    plan, network = Plan(), configuration.network
    _check_single_addresses(network, plan)
    static = network.addresses.static
    if static is None:
        return plan
    pool = pool_of(network)
    if pool is None:
        version = static.bounds[0].version
        plan.problems.append((f"{_STATIC}.prefix", f"the prefix {static.prefix} is none of IPv{version}"))
        return plan
    _check_pool(static, pool, plan)
    _check_neighbours(network, static, pool, plan)
    if not plan.problems:
        _check_size(configuration, static, pool, plan)
    return plan


def _check_single_addresses(network: Network, plan: Plan) -> None:
    inner = {"podCidr": network.pod_cidr, "serviceCidr": network.service_cidr}
    for index, text in enumerate(network.name_servers):
        where = f"network.nameServers.{index}"
        if _is_no_host(text):
            plan.problems.append((where, f"{text} is not the address of a name server"))
        plan.notices += [
            f"the name server {text} lies in {name} {cidr}: pods will not reach it"
            for name, cidr in inner.items()
            if ipaddress.ip_address(text) in ipaddress.ip_network(cidr)
        ]
    shared = network.control_plane_address
    if shared is None:
        return
    where = "network.controlPlaneAddress"
    if _is_no_host(shared):
        plan.problems.append((where, f"{shared} is not an address that a machine can have"))
    if network.addresses.static is None:  # else it must lie in the nodes' subnet, which neither may overlap
        plan.problems += [
            (where, f"{shared} lies in {name} {cidr}")
            for name, cidr in inner.items()
            if ipaddress.ip_address(shared) in ipaddress.ip_network(cidr)
        ]


def _check_pool(static: StaticAddresses, pool: Pool, plan: Plan) -> None:
    if static.subnet is not None:
        whole = ipaddress.ip_network(static.subnet)
        if static.prefix > whole.prefixlen:
            message = f"the prefix {static.prefix} is longer than that of the subnet {whole}"
            plan.problems.append((f"{_STATIC}.prefix", message))
    elif pool.last not in pool.network:
        plan.problems.append((f"{_STATIC}.range", f"the last address {pool.last} lies outside {pool.network}"))
    else:
        plan.notices += [
            f"{edge} is the network or broadcast address of {pool.network}: it is left out of the pool"
            for edge in sorted(_edges(pool.network), key=int)
            if pool.spans(edge)
        ]
    gateway = ipaddress.ip_address(static.gateway)
    if gateway not in pool.network or gateway in _edges(pool.network):
        message = f"the gateway {gateway} lies outside the hosts of {pool.network}"
        plan.problems.append((f"{_STATIC}.gateway", message))
    elif pool.spans(gateway) and static.subnet is None:
        plan.notices.append(f"the gateway {gateway} lies in the range {pool}: it is left out of the pool")


def _check_neighbours(network: Network, static: StaticAddresses, pool: Pool, plan: Plan) -> None:
    """What else has an address in the subnet, or must have none there."""
    for name, cidr in (("podCidr", network.pod_cidr), ("serviceCidr", network.service_cidr)):
        if ipaddress.ip_network(cidr).overlaps(pool.network):
            plan.problems.append((f"network.{name}", f"{cidr} overlaps the nodes' own subnet {pool.network}"))
    for index, text in enumerate(network.name_servers):
        server = ipaddress.ip_address(text)
        if server in _edges(pool.network):
            message = f"{server} is the network or broadcast address of {pool.network}"
            plan.problems.append((f"network.nameServers.{index}", message))
        elif pool.spans(server):
            plan.notices.append(f"the name server {server} lies in the pool {pool}: it is left out of it")
    if network.control_plane_address is None:
        return
    shared, where = ipaddress.ip_address(network.control_plane_address), "network.controlPlaneAddress"
    if shared not in pool.network or shared in _edges(pool.network):
        plan.problems.append((where, f"{shared} lies outside the hosts of {pool.network}, the nodes' own subnet"))
    elif str(shared) == static.gateway or str(shared) in network.name_servers:
        plan.problems.append((where, f"{shared} is the address of the gateway or of a name server already"))
    elif pool.spans(shared):
        plan.notices.append(f"the control-plane address {shared} lies in the pool {pool}: no node is given it")


def _check_size(configuration: Configuration, static: StaticAddresses, pool: Pool, plan: Plan) -> None:
    needed, has = needed_addresses(configuration.nodes.count), size_of(pool, configuration.network)
    if has < needed:
        where = f"{_STATIC}.{'range' if static.subnet is None else 'subnet'}"
        nodes = configuration.nodes.count
        message = (
            f"the pool has {has} usable addresses; {needed} are needed ({nodes} for nodes, {SPARE_ADDRESSES} spare)"
        )
        plan.problems.append((where, message))


def size_of(pool: Pool, network: Network) -> int:
    """To be compared with what is needed: a control-plane address out of the pool is one of the spare ones."""
    shared = network.control_plane_address
    return pool.usable + int(shared is not None and pool.spans(ipaddress.ip_address(shared)))


def _edges(network: IpNetwork) -> frozenset[Ip]:
    """What no machine can have: IPv4's network and broadcast address, IPv6's anycast address of all routers."""
    edges: set[Ip] = {network.network_address}
    if network.version == 4:
        edges.add(network.broadcast_address)
    return frozenset(edges)


def _is_no_host(text: str) -> bool:
    value = ipaddress.ip_address(text)
    return value.is_unspecified or value.is_multicast or text == "255.255.255.255"


def _parsed(text: str) -> Ip | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
