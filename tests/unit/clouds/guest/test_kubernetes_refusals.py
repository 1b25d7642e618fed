"""How the Kubernetes API says no: Status objects with code, reason and Kubernetes' own words; nothing changes then."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from pcg.clouds.guest.kubernetes_api.app import LARGEST_BODY

from .api_server import DEPLOYMENTS, MAPS, MERGE, SECRETS, SPACES, Server
from .lab import deployment


def refused(answer: httpx.Response, code: int, reason: str, words: str = "") -> None:
    document = answer.json()
    assert answer.status_code == document["code"] == code
    assert (document["kind"], document["apiVersion"], document["status"]) == ("Status", "v1", "Failure")
    assert document["reason"] == reason
    assert words in document["message"]


async def test_what_exists_cannot_be_created_again(api: httpx.AsyncClient) -> None:
    await api.post(MAPS, json={"metadata": {"name": "a"}})
    answer = await api.post(MAPS, json={"metadata": {"name": "a"}})
    refused(answer, 409, "AlreadyExists", 'configmaps "a" already exists')
    assert answer.json()["details"] == {"name": "a", "kind": "configmaps"}


@pytest.mark.parametrize("method", ["GET", "DELETE", "PATCH", "PUT"])
async def test_what_is_not_there_is_not_found(api: httpx.AsyncClient, method: str) -> None:
    answer = await api.request(method, f"{MAPS}/none", json={"metadata": {"name": "none"}}, headers=MERGE)
    refused(answer, 404, "NotFound", 'configmaps "none" not found')


async def test_a_namespace_must_exist_before_what_is_in_it(api: httpx.AsyncClient) -> None:
    answer = await api.post(f"{SPACES}/none/configmaps", json={"metadata": {"name": "a"}})
    refused(answer, 404, "NotFound", 'namespaces "none" not found')


async def test_an_older_version_does_not_replace_a_newer_one(api: httpx.AsyncClient) -> None:
    first = (await api.post(MAPS, json={"metadata": {"name": "a"}, "data": {"k": "1"}})).json()
    second = (await api.put(f"{MAPS}/a", json=first | {"data": {"k": "2"}})).json()
    assert second["metadata"]["resourceVersion"] != first["metadata"]["resourceVersion"]
    assert second["metadata"]["uid"] == first["metadata"]["uid"]
    answer = await api.put(f"{MAPS}/a", json=first | {"data": {"k": "3"}})
    refused(answer, 409, "Conflict", "the object has been modified; please apply your changes to the latest version")
    assert (await api.get(f"{MAPS}/a")).json()["data"] == {"k": "2"}
    del first["metadata"]["resourceVersion"]
    assert (await api.put(f"{MAPS}/a", json=first | {"data": {"k": "4"}})).status_code == 200


async def test_a_patch_with_an_older_version_conflicts_too(api: httpx.AsyncClient) -> None:
    await api.post(MAPS, json={"metadata": {"name": "a"}})
    change = {"metadata": {"resourceVersion": "0"}, "data": {"k": "1"}}
    refused(await api.patch(f"{MAPS}/a", json=change, headers=MERGE), 409, "Conflict")


async def test_other_kinds_of_patch_are_an_unsupported_medium(api: httpx.AsyncClient) -> None:
    await api.post(MAPS, json={"metadata": {"name": "a"}})
    refused(await api.patch(f"{MAPS}/a", json=[]), 415, "UnsupportedMediaType", "application/json")


async def test_a_name_cannot_be_changed(api: httpx.AsyncClient) -> None:
    await api.post(MAPS, json={"metadata": {"name": "a"}})
    answer = await api.patch(f"{MAPS}/a", json={"metadata": {"name": "b"}}, headers=MERGE)
    refused(answer, 422, "Invalid", "field is immutable")


@pytest.mark.parametrize(
    ("body", "code", "reason"),
    [
        (b"{", 400, "BadRequest"),
        (b"[]", 400, "BadRequest"),
        (b"\xff\xfe", 400, "BadRequest"),
        (b"[" * 100_000, 400, "BadRequest"),
        (b'{"metadata": 7}', 422, "Invalid"),
        (b'{"metadata": {"name": 7}}', 422, "Invalid"),
        (b'{"metadata": {"name": "Upper"}}', 422, "Invalid"),
        (b'{"metadata": {"name": "a\\n"}}', 422, "Invalid"),
        (b'{"metadata": {"name": "a", "namespace": "other"}}', 400, "BadRequest"),
        (b'{"metadata": {"name": "a", "labels": [1]}}', 422, "Invalid"),
        (b'{"metadata": {"name": "a"}, "kind": "Pod"}', 400, "BadRequest"),
        (b'{"metadata": {"name": "a"}, "apiVersion": "v2"}', 400, "BadRequest"),
        (b'"' + b"x" * LARGEST_BODY + b'"', 413, "RequestEntityTooLarge"),
    ],
)
async def test_a_body_that_is_no_such_object_is_refused(
    api: httpx.AsyncClient, body: bytes, code: int, reason: str
) -> None:
    refused(await api.post(MAPS, content=body), code, reason)
    assert (await api.get(MAPS)).json()["items"] == []


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"data": {"a": "%"}}, 400),
        ({"data": {"a": 1}}, 422),
        ({"stringData": {"a": 1}}, 422),
        ({"stringData": [1]}, 422),
    ],
)
async def test_a_secret_with_other_values_is_refused(api: httpx.AsyncClient, values: dict[str, Any], code: int) -> None:
    assert (await api.post(SECRETS, json={"metadata": {"name": "s"}, **values})).status_code == code


@pytest.mark.parametrize(
    "change",
    [
        {"replicas": -1},
        {"replicas": "1"},
        {"selector": {"matchLabels": {"app": "other"}}},
        {"selector": {"matchLabels": {}}},
        {"selector": None},
        {"template": {"metadata": {"labels": {"app": "d"}}, "spec": {"containers": []}}},
        {"template": {"metadata": {"labels": ["app"]}, "spec": {"containers": [{"name": "c", "image": "i"}]}}},
        {"template": 7},
    ],
)
async def test_a_deployment_that_cannot_work_is_invalid(api: httpx.AsyncClient, change: dict[str, Any]) -> None:
    wanted = deployment("d", "image")
    wanted["spec"] |= change
    refused(await api.post(DEPLOYMENTS, json=wanted), 422, "Invalid", 'Deployment "d" is invalid: ')


async def test_unknown_paths_and_methods_get_a_status(api: httpx.AsyncClient) -> None:
    refused(await api.get("/api/v1/gadgets"), 404, "NotFound", "the server could not find the requested resource")
    refused(await api.get("/apis/batch/v1/jobs"), 404, "NotFound")
    refused(await api.put(MAPS, json={}), 405, "MethodNotAllowed")
    refused(await api.get(MAPS, params={"watch": "true"}), 405, "MethodNotAllowed", "watch")


async def test_without_a_quorum_nothing_is_read_or_written(api: httpx.AsyncClient, server: Server) -> None:
    server.quorum = False
    for answer in (
        await api.get(MAPS),
        await api.get(f"{MAPS}/a"),
        await api.post(MAPS, json={"metadata": {"name": "a"}}),
    ):
        refused(answer, 500, "InternalError", "etcdserver: no leader")
