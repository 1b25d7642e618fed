"""What a cloud has to choose from, as the answer to the console's request `inventory`: lists by kind, bounded.

Called by `answers.py`. A vCenter may hold thousands of folders; what is cut is told, and no kind crowds out another.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from pcg.clouds.base import Inventory, Offered, OfferedKind

MOST_ENTRIES = 2000
MOST_BYTES = 400_000
"""below the limit that the console sets for this request"""
LISTS = {kind: f"{kind.value.replace('-', '_')}s" for kind in OfferedKind}
"""for example resource_pools"""


def inventory_answer(found: Inventory, datacenter: str = "") -> dict[str, Any]:
    """Lists of `{name, path, …}` by kind, and in `cut` the number of entries that were left out."""
    wanted = datacenter.strip("/")
    here = [entry for entry in found if not wanted or _lies_in(entry, wanted)]
    most = MOST_ENTRIES
    while True:
        answer = _answer(here, most)
        if len(json.dumps(answer).encode()) <= MOST_BYTES or most == 0:
            return answer
        most //= 2


def _answer(found: Sequence[Offered], most: int) -> dict[str, Any]:
    by_kind = {kind: [entry for entry in found if entry.kind is kind] for kind in OfferedKind}
    room, kept = most, 0
    shares: dict[OfferedKind, list[Offered]] = {}
    # The short lists first: what they leave of their share goes to the long ones.
    for done, kind in enumerate(sorted(by_kind, key=lambda kind: len(by_kind[kind]))):
        shares[kind] = by_kind[kind][: room // (len(by_kind) - done)]
        room -= len(shares[kind])
        kept += len(shares[kind])
    return {
        **{name: [_shown(entry) for entry in shares[kind]] for kind, name in LISTS.items()},
        "cut": len(found) - kept,
    }


def _shown(entry: Offered) -> dict[str, Any]:
    """Only what is known."""
    shown: dict[str, Any] = {"name": entry.name, "path": entry.path}
    shown |= {name: value for name in ("datacenter", "cluster") if (value := getattr(entry, name))}
    sizes = {name: getattr(entry, name) for name in ("free_gib", "capacity_gib")}
    return shown | {name: value for name, value in sizes.items() if value is not None}


def _lies_in(entry: Offered, datacenter: str) -> bool:
    of = entry.path if entry.kind is OfferedKind.DATACENTER else entry.datacenter
    return of == datacenter or of.endswith("/" + datacenter)
