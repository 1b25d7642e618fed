"""The data center's door: who may come in, and what a request may look like."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from pcg.clouds.simulated.api import LARGEST_BODY, LONGEST_WAIT, MOST_SESSIONS, Sessions, api_application
from pcg.clouds.simulated.datacenter import DataCenter
from pcg.clouds.simulated.requests import LoginRequest
from unit.clouds.simulated.rooms import ACCOUNT, GATEWAY, data_center, machine_request, made, refused

pytestmark = pytest.mark.looptime

PASSWORD = "correct horse"
INSIDE = [
    ("DELETE", "/api/session"),
    ("POST", "/api/overview"),
    ("GET", "/api/templates"),
    ("POST", "/api/templates"),
    ("POST", "/api/images/probe"),
    ("GET", "/api/machines"),
    ("POST", "/api/machines"),
    ("POST", "/api/machines/vm-1/start"),
    ("DELETE", "/api/machines/vm-1"),
    ("GET", "/api/tasks"),
    ("GET", "/api/tasks/task-1"),
    ("GET", "/api/changes"),
]


@asynccontextmanager
async def door(folder: Path, *, logged_in: bool = True) -> AsyncIterator[tuple[httpx.AsyncClient, DataCenter]]:
    async with data_center(folder) as center:
        transport = httpx.ASGITransport(api_application(center, Sessions(ACCOUNT, PASSWORD)))
        async with httpx.AsyncClient(transport=transport, base_url="https://127.64.0.2") as http:
            if logged_in:
                answer = await http.post("/api/session", json={"username": ACCOUNT, "password": PASSWORD})
                http.headers["authorization"] = f"Bearer {answer.json()['token']}"
            yield http, center


@pytest.mark.parametrize("given", [None, "Bearer wrong", "Bearer ", "", "Basic \xe4"])
async def test_without_a_session_every_path_is_shut(tmp_path: Path, given: str | None) -> None:
    async with door(tmp_path, logged_in=False) as (http, center):
        headers = {} if given is None else {"authorization": given.encode("latin-1")}
        for method, path in INSIDE:
            answer = await http.request(method, path, headers=headers)  # type: ignore[arg-type]
            assert (answer.status_code, answer.json()["error"]) == (401, "not-authenticated"), path
        assert center.calls["calls"] == 0


@pytest.mark.parametrize("username,password", [(ACCOUNT, "wrong"), ("other", PASSWORD), ("", ""), ("ä", "ä")])
async def test_a_wrong_login_is_refused_without_saying_which_part(tmp_path: Path, username: str, password: str) -> None:
    async with door(tmp_path, logged_in=False) as (http, _):
        answer = await http.post("/api/session", json={"username": username, "password": password})
        assert (answer.status_code, answer.json()["error"]) == (401, "login-refused")
        assert PASSWORD not in answer.text


async def test_after_logging_out_the_session_is_over(tmp_path: Path) -> None:
    async with door(tmp_path) as (http, _):
        assert (await http.get("/api/tasks")).status_code == 200
        assert (await http.delete("/api/session")).status_code == 204
        assert (await http.get("/api/tasks")).status_code == 401


def test_sessions_are_bounded_and_the_oldest_go() -> None:
    sessions = Sessions(ACCOUNT, PASSWORD)
    login = LoginRequest(username=ACCOUNT, password=PASSWORD)
    tokens = [sessions.log_in(login) for _ in range(MOST_SESSIONS + 1)]
    with refused("not-authenticated"):
        sessions.demand(f"Bearer {tokens[0]}")
    sessions.demand(f"Bearer {tokens[1]}")
    sessions.demand(f"Bearer {tokens[-1]}")
    assert tokens[-1] not in repr(sessions)
    assert PASSWORD not in repr(sessions)


@pytest.mark.parametrize(
    "changes,field",
    [
        ({"cpus": 0}, "cpus"),
        ({"memory": 100_000}, "memory"),
        ({"disk": "much"}, "disk"),
        ({"name": ""}, "name"),
        ({"name": "n" * 81}, "name"),
        ({"marks": {str(number): "" for number in range(17)}}, "marks"),
        ({"placement": {"folder": "f" * 513}}, "placement.folder"),
        ({"user_data": "u" * 262145}, "user_data"),
        ({"surprise": 1}, "surprise"),
    ],
)
async def test_a_wrong_value_is_refused_with_its_field(tmp_path: Path, changes: dict[str, Any], field: str) -> None:
    async with door(tmp_path) as (http, center):
        answer = await http.post("/api/machines", json=machine_request().model_dump() | changes)
        assert (answer.status_code, answer.json()["error"]) == (422, "invalid")
        assert answer.json()["fields"] == {"field": field}
        assert center.tasks.running() == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff\xfe", b'{"url": "file:///etc/passwd"}'])
async def test_a_body_that_is_no_request_is_refused(tmp_path: Path, body: bytes) -> None:
    async with door(tmp_path) as (http, _):
        answer = await http.post("/api/images/probe", content=body)
        assert (answer.status_code, answer.json()["error"]) == (422, "invalid")
        assert "passwd" not in answer.text


async def test_a_huge_body_is_refused_before_it_is_whole(tmp_path: Path) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 64 * LARGEST_BODY:
            sent += 65536
            yield b" " * 65536

    async with door(tmp_path) as (http, _):
        answer = await http.post("/api/machines", content=endless())
        assert (answer.status_code, answer.json()["error"]) == (422, "invalid")
        assert sent < 2 * LARGEST_BODY


@pytest.mark.parametrize("query", [{}, {"after": "1"}, {"after": "x", "timeout": "1"}, {"after": "1", "timeout": "x"}])
async def test_a_wait_wants_numbers(tmp_path: Path, query: dict[str, str]) -> None:
    async with door(tmp_path) as (http, _):
        assert (await http.get("/api/changes", params=query)).status_code == 422


async def test_no_wait_lasts_longer_than_its_bound(tmp_path: Path) -> None:
    async with door(tmp_path) as (http, center):
        after = center.news.revision(GATEWAY)
        began = asyncio.get_running_loop().time()
        query = {"gateway": GATEWAY, "after": str(after), "timeout": "inf"}
        answer = await http.get("/api/changes", params=query, timeout=None)
        assert answer.json() == {"revision": after}
        assert asyncio.get_running_loop().time() - began == LONGEST_WAIT


async def test_the_end_of_a_task_is_news(tmp_path: Path) -> None:
    async with door(tmp_path) as (http, center):
        center.create_machine(machine_request())
        revision = (await http.get("/api/machines", params={"gateway": GATEWAY})).json()["revision"]
        query = {"gateway": GATEWAY, "after": str(revision), "timeout": "100"}
        await http.get("/api/changes", params=query, timeout=None)
        assert asyncio.get_running_loop().time() == 20.0


async def test_a_machine_from_its_making_to_its_end(tmp_path: Path) -> None:
    async with door(tmp_path) as (http, center):
        machine = await made(center)
        started = (await http.post(f"/api/machines/{machine.id}/start")).json()
        assert (await http.get(f"/api/tasks/{started['id']}")).json()["state"] == "running"
        listed = (await http.get("/api/tasks", params={"gateway": GATEWAY})).json()["tasks"]
        assert [task["id"] for task in listed] == [started["id"]]
        await asyncio.sleep(3.1)
        assert (await http.post(f"/api/machines/{machine.id}/start")).status_code == 204
        query = {"instance": machine.instance}
        assert (await http.delete(f"/api/machines/{machine.id}", params=query)).json()["kind"] == "delete"
        await asyncio.sleep(5.1)
        assert (await http.delete(f"/api/machines/{machine.id}", params=query)).status_code == 410


@pytest.mark.parametrize("path", ["/api/tasks/none", "/api/machines/none/start"])
async def test_what_is_gone_is_told_as_gone(tmp_path: Path, path: str) -> None:
    async with door(tmp_path) as (http, _):
        method = "POST" if path.endswith("start") else "GET"
        assert (await http.request(method, path)).status_code == 410
