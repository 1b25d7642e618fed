"""The driver's side: refusals become the contract's errors, a lost session is renewed once, odd answers are told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from pcg.clouds.base import Connection, Login, ObservedMachine, PowerState, TaskState
from pcg.clouds.simulated.cloud import SimulatedCloud
from pcg.clouds.simulated.errors import translate
from pcg.clouds.simulated.refusals import STATUS, Refusal
from pcg.errors import (
    Conflict,
    CredentialsRejected,
    GiveUp,
    NotFound,
    PcgError,
    PermissionMissing,
    ResourcesMissing,
    TryAgain,
    Unreachable,
)

pytestmark = pytest.mark.looptime

LOGIN = Login("https://127.64.0.2", "svc", "secret")
FIELDS = {"privilege": "VApp.Import", "object": "/dc-1/vm/spectro-templates", "kind": "datastore", "there": "ds-1"}
ERRORS: dict[str, tuple[type[PcgError], str]] = {
    "not-authenticated": (TryAgain, "session-lost"),
    "login-refused": (CredentialsRejected, "credentials-rejected"),
    "no-permission": (PermissionMissing, "permission-missing"),
    "not-found": (NotFound, "datastore-not-found"),
    "name-taken": (Conflict, "name-taken"),
    "instance-exists": (Conflict, "instance-exists"),
    "wrong-instance": (GiveUp, "refused-wrong-instance"),
    "not-enough": (ResourcesMissing, "resources-missing"),
    "gone": (NotFound, "object-gone"),
    "invalid": (GiveUp, "refused-invalid"),
    "fetch-failed": (Unreachable, "image-not-fetched"),
    "fetch-interrupted": (TryAgain, "image-transfer-interrupted"),
    "host-not-responding": (TryAgain, "data-center-failed"),
}


@pytest.mark.parametrize("kind", STATUS)
def test_every_refusal_has_an_error_of_the_contract(kind: str) -> None:
    error = translate(Refusal(kind, "its words", FIELDS), "127.64.0.2", "svc")
    expected, reason = ERRORS[kind]
    assert (type(error), error.reason) == (expected, reason)
    assert "its words" in " ".join([error.what, *error.evidence])


def test_a_missing_privilege_names_object_type_and_account() -> None:
    paths = {
        "/dc-1": "Datacenter",
        "/dc-1/vm/pcg": "Folder",
        "/dc-1/vm/spectro-templates/node": "VirtualMachine",
        "/dc-1/host/c-1/Resources": "ResourcePool",
        "/dc-1/datastore/ds-1": "Datastore",
        "/dc-1/network/VM Network": "Network",
    }
    for path, kind in paths.items():
        error = translate(Refusal("no-permission", "", {"privilege": "P", "object": path}), "address", "svc")
        expected = {"privilege": "P", "object": path, "object-type": kind, "account": "svc"}
        assert error.fields == expected


class Server(httpx.AsyncBaseTransport):
    """Answers as a test says; `sessions` counts logins."""

    def __init__(self, answer: Callable[[httpx.Request], httpx.Response]) -> None:
        self.answer = answer
        self.sessions = 0
        self.accepts = True
        self.calls: list[str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.calls.append(f"{request.method} {request.url.path}")
        await asyncio.sleep(0.1)
        if request.url.path != "/api/session":
            return self.answer(request)
        if request.method == "DELETE":
            return httpx.Response(204)
        self.sessions += 1
        return httpx.Response(200, json={"token": str(self.sessions)}) if self.accepts else refusal("login-refused")


def refusal(kind: str) -> httpx.Response:
    return httpx.Response(STATUS[kind], json=Refusal(kind, "its words", FIELDS).document())


async def used(server: Server, use: Callable[[Connection], Any]) -> Any:
    async with SimulatedCloud(server).connect(LOGIN) as connection:
        return await use(connection)


def bulk_read(connection: Connection) -> Any:
    return connection.list_machines("gateway-1")


async def test_a_session_that_was_lost_is_renewed_once_and_the_call_made_again() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        known = request.headers["authorization"] == "Bearer 2"
        return httpx.Response(200, json={"revision": 1, "machines": []}) if known else refusal("not-authenticated")

    server = Server(answer)
    assert await used(server, bulk_read) == []
    assert server.sessions == 2
    assert server.calls[-1] == "DELETE /api/session"


async def test_a_session_that_is_lost_again_at_once_is_told() -> None:
    server = Server(lambda request: refusal("not-authenticated"))
    with pytest.raises(TryAgain) as caught:
        await used(server, bulk_read)
    assert caught.value.reason == "session-lost"
    assert server.sessions == 2


async def test_calls_at_once_renew_a_lost_session_together() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        known = request.headers["authorization"] == "Bearer 2"
        return httpx.Response(200, json={"revision": 1, "machines": []}) if known else refusal("not-authenticated")

    server = Server(answer)
    await used(server, lambda connection: asyncio.gather(*(bulk_read(connection) for _ in range(5))))
    assert server.sessions == 2


async def test_calls_at_once_try_a_password_that_is_rejected_once() -> None:
    server = Server(lambda request: refusal("not-authenticated"))

    async def use(connection: Connection) -> list[Any]:
        server.accepts = False
        reads = [bulk_read(connection) for _ in range(5)]
        return list(await asyncio.gather(*reads, return_exceptions=True))

    errors = await used(server, use)
    assert [type(error) for error in errors] == [CredentialsRejected] * 5
    assert server.sessions == 2


async def test_a_session_that_cannot_be_renewed_is_a_rejected_password_tried_once() -> None:
    server = Server(lambda request: refusal("not-authenticated"))

    async def use(connection: Connection) -> None:
        server.accepts = False
        await connection.list_machines("gateway-1")

    with pytest.raises(CredentialsRejected):
        await used(server, use)
    assert server.sessions == 2


@pytest.mark.parametrize(
    "odd",
    [
        httpx.Response(502, text="<html>Bad Gateway</html>"),
        httpx.Response(200, text="not JSON"),
        httpx.Response(500, json=["a list"]),
        httpx.Response(500, json={"message": "no kind"}),
    ],
)
async def test_an_answer_that_is_no_data_centers_is_an_unreachable_one(odd: httpx.Response) -> None:
    with pytest.raises(Unreachable) as caught:
        await used(Server(lambda request: odd), bulk_read)
    assert caught.value.fields["hop"] == "http"
    assert f"HTTP {odd.status_code}" in caught.value.evidence[1]


@pytest.mark.parametrize(
    "error,hop",
    [
        (httpx.ConnectError("refused"), "connect"),
        (httpx.ReadTimeout("slow"), "http"),
        (httpx.ReadError("reset"), "http"),
    ],
)
async def test_a_call_that_does_not_come_through_names_the_hop(error: httpx.HTTPError, hop: str) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise error

    with pytest.raises(Unreachable) as caught:
        await used(Server(answer), bulk_read)
    assert (caught.value.fields["hop"], caught.value.__cause__) == (hop, error)


def observed(instance: str = "instance-1") -> ObservedMachine:
    marks = {"pcg.gateway": "gateway-1", "pcg.machine": "1/1", "pcg.instance": "instance-1"}
    return ObservedMachine("vm-1", "node-1", instance, marks, PowerState.OFF, None, (4, 4))


async def test_somebodys_copy_is_not_even_asked_to_be_removed() -> None:
    server = Server(lambda request: refusal("gone"))
    with pytest.raises(GiveUp) as caught:
        await used(server, lambda connection: connection.delete_machine(observed("another")))
    assert caught.value.reason == "not-ours"
    assert server.calls == ["POST /api/session", "DELETE /api/session"]


async def test_removing_what_is_gone_is_success() -> None:
    task = await used(Server(lambda request: refusal("gone")), lambda connection: connection.delete_machine(observed()))
    assert task.state is TaskState.DONE


async def test_starting_what_runs_is_success() -> None:
    server = Server(lambda request: httpx.Response(204))
    task = await used(server, lambda connection: connection.start_machine(observed()))
    assert task.state is TaskState.DONE


async def test_a_forgotten_task_is_none() -> None:
    assert await used(Server(lambda request: refusal("gone")), lambda connection: connection.task("task-1")) is None


async def test_a_failed_task_brings_the_contracts_error() -> None:
    told = {"id": "task-1", "kind": "create", "object": "node-1", "state": "failed", "progress": 100}
    document = told | {"error": Refusal("not-enough", "no memory", {}).document()}
    server = Server(lambda request: httpx.Response(200, json=document))
    task = await used(server, lambda connection: connection.task("task-1"))
    assert (task.state, task.machine_name) == (TaskState.FAILED, "node-1")
    assert isinstance(task.error, ResourcesMissing)


def test_a_login_shows_no_password() -> None:
    assert "secret" not in repr(LOGIN)
