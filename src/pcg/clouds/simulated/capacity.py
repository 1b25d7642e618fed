"""Whether hosts and datastore have room for the nodes. Called by `preflight.py` with what the data center told.

Machines of ours that are there already do not need their room again. CPUs are shared out more than once here, so they
are never missing; the data center has no clocks of hosts and no licence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pcg.clouds.base import Check
from pcg.clouds.missing_room import machines_of, missing_room
from pcg.model.configuration import CustomSize


@dataclass(frozen=True)
class Domain:
    """One placement, with as many nodes as shall be there, and the data center's answer about it."""

    suffix: str
    nodes: int
    spare: bool
    """one more is made there for a while, to take another's place"""
    told: dict[str, Any]


def check(domains: Sequence[Domain], size: CustomSize) -> list[Check]:
    """Domains that share an object share its room; there is one spare machine at a time."""
    groups: dict[str, list[Domain]] = {}
    for domain in domains:
        groups.setdefault(domain.told["datastore"]["name"], []).append(domain)
    checks = []
    for group in groups.values():
        suffix, told = group[0].suffix, group[0].told
        nodes = machines_of(group)
        checks.append(_memory(f"memory{suffix}", told["hosts"], max(0, nodes - told["own"]["running"]), size))
        checks.append(_space(f"datastore{suffix}", told["datastore"], max(0, nodes - told["own"]["there"]), size))
    return checks


def _memory(name: str, hosts: list[dict[str, Any]], nodes: int, size: CustomSize) -> Check:
    free = {str(host["name"]): int(host["free"]) for host in hosts}
    fitting, total = sum(value // size.memory_gi_b for value in free.values()), sum(free.values())
    if fitting >= nodes:
        return Check(name, True, f"{total} GiB of memory are free on {len(free)} hosts")
    evidence = [
        f"of {nodes} nodes of {size.memory_gi_b} GiB {fitting} fit, each on one host",
        *(f"{host}: {value} GiB free" for host, value in free.items()),
    ]
    return missing_room(name, "memory", "the hosts", nodes * size.memory_gi_b, total, "GiB", evidence)


def _space(name: str, datastore: dict[str, Any], nodes: int, size: CustomSize) -> Check:
    free, where, needed = int(datastore["free"]), str(datastore["name"]), nodes * size.disk_gi_b
    if free >= needed:
        return Check(name, True, f"{free} GiB are free on {where}")
    evidence = [f"{nodes} nodes of {size.disk_gi_b} GiB"]
    return missing_room(name, "datastore-space", where, needed, free, "GiB", evidence)
