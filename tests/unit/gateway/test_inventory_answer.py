"""The inventory's answer: lists by kind, one datacenter alone, and bounds that no vCenter breaks."""

from __future__ import annotations

import json

from pcg.clouds.base import Offered, OfferedKind
from pcg.gateway.inventory_answer import MOST_BYTES, inventory_answer
from pcg.wire.frames import MAXIMUM_FRAME_BYTES

SMALL = [
    Offered(OfferedKind.DATACENTER, "dc-2", "europe/dc-2"),
    Offered(OfferedKind.RESOURCE_POOL, "p", "Resources/p", "europe/dc-2", "c-1"),
    Offered(OfferedKind.DATASTORE, "full", "full", "dc-1", free_gib=0, capacity_gib=10),
]


def test_each_kind_has_its_list_with_what_is_known() -> None:
    assert inventory_answer(SMALL) == {
        "datacenters": [{"name": "dc-2", "path": "europe/dc-2"}],
        "clusters": [],
        "resource_pools": [{"name": "p", "path": "Resources/p", "datacenter": "europe/dc-2", "cluster": "c-1"}],
        "folders": [],
        "datastores": [{"name": "full", "path": "full", "datacenter": "dc-1", "free_gib": 0, "capacity_gib": 10}],
        "networks": [],
        "templates": [],
        "cut": 0,
    }


def test_one_datacenter_alone_by_name_or_path() -> None:
    for wanted in ("dc-2", "europe/dc-2", "/europe/dc-2/"):
        answer = inventory_answer(SMALL, wanted)
        assert ([len(answer[name]) for name in ("datacenters", "resource_pools", "datastores")]) == [1, 1, 0], wanted
    assert not inventory_answer(SMALL, "c-2")["datacenters"]


def folders(count: int, length: int) -> list[Offered]:
    return [Offered(OfferedKind.FOLDER, f"f-{n}", f"{'x' * length}/f-{n}", "dc-1") for n in range(count)]


def test_long_lists_are_cut_and_short_ones_are_whole() -> None:
    answer = inventory_answer([*folders(5000, 1), *SMALL])
    assert (len(answer["folders"]), answer["cut"]) == (1997, 3003)
    assert answer["datastores"] and answer["resource_pools"] and answer["datacenters"]


def test_two_long_lists_share_the_room() -> None:
    networks = [Offered(OfferedKind.NETWORK, f"n-{n}", f"n-{n}") for n in range(3000)]
    answer = inventory_answer([*folders(3000, 1), *networks])
    assert (len(answer["folders"]), len(answer["networks"]), answer["cut"]) == (1000, 1000, 4000)


def test_long_paths_never_break_the_limit_of_bytes() -> None:
    answer = inventory_answer([*folders(1900, 500), *SMALL])
    assert len(json.dumps(answer).encode()) <= MOST_BYTES < MAXIMUM_FRAME_BYTES
    assert answer["cut"] == 1903 - sum(len(value) for value in answer.values() if isinstance(value, list))
    assert len(answer["folders"]) > 400
