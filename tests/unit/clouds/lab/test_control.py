"""The lab's control side: every route behind the key, each doing what it is named for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from pcg.clouds.lab.control import control_application
from pcg.errors import NotFound

KEY = "the key of this lab"
ROUTES: list[tuple[str, str, Any, int, str]] = [
    ("GET", "/lab/faults", None, 200, "faults"),
    ("PUT", "/lab/faults/dhcp/leases-all-taken", {"on": True}, 200, "switch dhcp/leases-all-taken True"),
    ("PUT", "/lab/faults/images/host-closed", {"on": False}, 200, "switch images/host-closed False"),
    ("GET", "/lab/tasks", None, 200, "task_log"),
    ("GET", "/lab/counters", None, 200, "counters"),
    ("POST", "/lab/counters/reset", None, 204, "reset_counters"),
    ("GET", "/lab/machines", None, 200, "machines"),
    ("POST", "/lab/machines", {"name": "web-1"}, 201, "add_stranger web-1"),
    ("POST", "/lab/machines/vm-1/clone", None, 201, "copy vm-1"),
    ("POST", "/lab/machines/vm-1/power-off", None, 204, "power_off vm-1"),
    ("DELETE", "/lab/machines/vm-1", None, 204, "remove vm-1"),
    ("POST", "/lab/touch", None, 204, "touch"),
]
ANSWERS: dict[str, Any] = {
    "faults": {"dhcp/leases-all-taken": {"on": False, "hits": 0}},
    "switch": {"on": True},
    "task_log": {"tasks": [{"kind": "create"}]},
    "counters": {"calls": 3},
    "machines": {"machines": [{"id": "vm-1"}]},
    "add_stranger": {"id": "vm-9"},
    "copy": {"id": "vm-9"},
}


class Bench:
    """A laboratory that writes down what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def faults(self) -> dict[str, dict[str, Any]]:
        self.asked.append("faults")
        return dict(ANSWERS["faults"])

    async def switch(self, fault: str, *, on: bool) -> None:
        if fault == "dhcp/none":
            raise NotFound("There is no fault 'dhcp/none'.", reason="fault-unknown")
        self.asked.append(f"switch {fault} {on}")

    async def task_log(self) -> list[dict[str, Any]]:
        self.asked.append("task_log")
        return list(ANSWERS["task_log"]["tasks"])

    async def counters(self) -> dict[str, int]:
        self.asked.append("counters")
        return dict(ANSWERS["counters"])

    async def reset_counters(self) -> None:
        self.asked.append("reset_counters")

    async def machines(self) -> list[dict[str, Any]]:
        self.asked.append("machines")
        return list(ANSWERS["machines"]["machines"])

    async def add_stranger(self, name: str) -> str:
        self.asked.append(f"add_stranger {name}")
        return "vm-9"

    async def copy(self, machine_id: str) -> str:
        self._known(machine_id)
        self.asked.append(f"copy {machine_id}")
        return "vm-9"

    async def power_off(self, machine_id: str) -> None:
        self._known(machine_id)
        self.asked.append(f"power_off {machine_id}")

    async def remove(self, machine_id: str) -> None:
        self._known(machine_id)
        self.asked.append(f"remove {machine_id}")

    async def touch(self) -> None:
        self.asked.append("touch")

    def _known(self, machine_id: str) -> None:
        if machine_id == "vm-0":
            raise NotFound("There is no machine vm-0.", reason="machine-unknown")


@asynccontextmanager
async def control(key: str | None = KEY) -> AsyncIterator[tuple[httpx.AsyncClient, Bench]]:
    bench = Bench()
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    transport = httpx.ASGITransport(control_application(bench, KEY))
    async with httpx.AsyncClient(transport=transport, base_url="https://127.64.0.2", headers=headers) as http:
        yield http, bench


@pytest.mark.parametrize("method,path,body,status,asked", ROUTES)
async def test_every_route_asks_the_laboratory_for_one_thing(
    method: str, path: str, body: Any, status: int, asked: str
) -> None:
    async with control() as (http, bench):
        answer = await http.request(method, path, json=body)
        assert (answer.status_code, bench.asked) == (status, [asked])
        if status != 204:
            expected = {"on": body["on"]} if asked.startswith("switch") else ANSWERS[asked.split()[0]]
            assert answer.json() == expected


@pytest.mark.parametrize("key", [None, "", "wrong", KEY + "x"])
async def test_without_the_key_no_route_is_open(key: str | None) -> None:
    async with control(key) as (http, bench):
        for method, path, body, _, _ in ROUTES:
            answer = await http.request(method, path, json=body)
            assert answer.status_code == 401, path
            assert KEY not in answer.text
        assert (await http.get("/lab/unknown")).status_code == 401
        assert bench.asked == []


@pytest.mark.parametrize(
    "method,path,body",
    [
        ("PUT", "/lab/faults/dhcp/none", {"on": True}),
        ("POST", "/lab/machines/vm-0/clone", None),
        ("POST", "/lab/machines/vm-0/power-off", None),
        ("DELETE", "/lab/machines/vm-0", None),
    ],
)
async def test_what_is_not_there_is_told(method: str, path: str, body: Any) -> None:
    async with control() as (http, _):
        answer = await http.request(method, path, json=body)
        assert answer.status_code == 404
        assert "There is no" in answer.json()["error"]


@pytest.mark.parametrize(
    "method,path,body",
    [
        ("PUT", "/lab/faults/dhcp/leases-all-taken", {"on": "perhaps"}),
        ("PUT", "/lab/faults/dhcp/leases-all-taken", {}),
        ("POST", "/lab/machines", {"name": ""}),
        ("POST", "/lab/machines", {"name": "n" * 81}),
    ],
)
async def test_a_wrong_request_is_refused_before_the_laboratory_hears_of_it(method: str, path: str, body: Any) -> None:
    async with control() as (http, bench):
        assert (await http.request(method, path, json=body)).status_code == 422
        assert bench.asked == []
