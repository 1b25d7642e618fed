"""No two gateways may give out the same addresses of one network. Asked by `configurations.py` before it stores one.

Each gateway keeps its own claims, so addresses that two have are given twice. One network is the same datacenter and
network of the same vCenter address; addresses are a static pool, its reserved ones included, or the control-plane
address. What a gateway had counts until it has told that none of its machines is left.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import ValidationError
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from pcg.console.auth import Action, Actor, may
from pcg.console.gateway_state import IDLE, status_of
from pcg.console.store.models import Gateway
from pcg.errors import Conflict
from pcg.model.address_plan import Ip
from pcg.model.configuration import Configuration, split_host_port

_LOCK = int.from_bytes(hashlib.sha256(b"pcg address overlaps").digest()[:8], "big", signed=True)
"""one lock of PostgreSQL for all configurations that name addresses"""


@dataclass(frozen=True)
class Stretch:
    """Addresses from `first` to `last`, and the field that names them."""

    field: str
    first: Ip
    last: Ip

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


async def demand_apart(session: AsyncSession, actor: Actor, row: Gateway, configuration: Configuration) -> None:
    """Raises Conflict. Within the transaction that stores it: of two at the same time the second sees the first."""
    wanted = list(_stretches(configuration))
    if not wanted:
        return
    if session.get_bind().dialect.name == "postgresql":
        # SQLite's writers wait for each other anyway. Held until the transaction ends.
        await session.execute(select(func.pg_advisory_xact_lock(_LOCK)))
    networks = _networks(configuration)
    others = await session.scalars(
        select(Gateway).where(Gateway.id != row.id, Gateway.configuration.is_not(None)).order_by(Gateway.name)
    )
    for other in others:
        theirs = _present(other)
        if theirs is None or not _one_network(networks, _networks(theirs)):
            continue
        for held in _stretches(theirs):
            for mine in wanted:
                common = _common(mine, held)
                if common is not None:
                    raise _overlap(mine, common, other if may(actor, Action.SEE_GATEWAYS, other) else None)


def _present(other: Gateway) -> Configuration | None:
    """Its configuration, unless nothing of it is left in the cloud."""
    status = status_of(other)
    if other.mode == IDLE and status is not None and status.clean and status.generation == other.generation:
        return None
    try:
        return Configuration.model_validate(other.configuration)
    except ValidationError:
        # Stored by another version: it is refused when it is next changed, and must not hinder everybody else.
        return None


def _stretches(configuration: Configuration) -> Iterator[Stretch]:
    static, shared = configuration.network.addresses.static, configuration.network.control_plane_address
    if static is not None:
        form = "range" if static.subnet is None else "subnet"
        yield Stretch(f"network.addresses.static.{form}", *static.bounds)
    if shared is not None:
        address = ipaddress.ip_address(shared)
        yield Stretch("network.controlPlaneAddress", address, address)


def _common(one: Stretch, other: Stretch) -> Stretch | None:
    if one.first.version != other.first.version:
        return None
    first, last = max(one.first, other.first, key=int), min(one.last, other.last, key=int)
    return Stretch(one.field, first, last) if int(first) <= int(last) else None


def _networks(configuration: Configuration) -> set[tuple[str, str, str]]:
    host, port = split_host_port(configuration.vcenter.address, 443)
    vcenter = f"{host.lower().rstrip('.')}:{port}"
    return {(vcenter, placement.datacenter, placement.network) for placement in configuration.placement}


def _one_network(some: set[tuple[str, str, str]], others: set[tuple[str, str, str]]) -> bool:
    return any(
        one[0] == other[0] and _one_object(one[1], other[1]) and _one_object(one[2], other[2])
        for one in some
        for other in others
    )


def _one_object(one: str, other: str) -> bool:
    """A name, or an inventory path where names repeat: a path is what its last part names."""
    if "/" in one and "/" in other:
        return one.strip("/") == other.strip("/")
    return one.rstrip("/").rpartition("/")[2] == other.rstrip("/").rpartition("/")[2]


def _overlap(mine: Stretch, common: Stretch, other: Gateway | None) -> Conflict:
    whose = f"gateway {other.name}" if other is not None else "another gateway"
    return Conflict(
        f"{common} belongs to {whose} already, on the same network.",
        reason="addresses-overlap",
        evidence=[f"{mine.field}: {mine}", f"in common with {whose}: {common}"],
        cause="Each gateway gives out its own addresses; what two have would be given twice.",
        remedy=["Choose addresses that no other gateway has, or reset the other gateway first."],
        fields={"field": mine.field},
    )
