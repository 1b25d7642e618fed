"""The Kubernetes API's objects: list, get, create, replace, patch, delete, and what the server adds."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import pytest

from pcg.clouds.guest.kubernetes_api.store import KEPT_EVENTS, merge

from .api_server import DEPLOYMENTS, MAPS, MERGE, SECRETS, SPACES, Server
from .lab import deployment


async def test_a_created_object_is_completed_by_the_server(api: httpx.AsyncClient) -> None:
    answer = await api.post(MAPS, json={"metadata": {"name": "a"}, "data": {"k": "v"}})
    made = answer.json()
    assert answer.status_code == 201
    assert (made["kind"], made["apiVersion"], made["data"]) == ("ConfigMap", "v1", {"k": "v"})
    assert made["metadata"]["namespace"] == "default"
    assert made["metadata"]["creationTimestamp"] == "2026-01-01T00:00:00Z"
    assert made["metadata"]["uid"]
    assert (await api.get(f"{MAPS}/a")).json() == made


async def test_a_list_is_of_one_namespace_or_of_all_and_tells_its_version(api: httpx.AsyncClient) -> None:
    await api.post(SPACES, json={"metadata": {"name": "other"}})
    for space in ("default", "other"):
        for name in ("b", "a"):
            await api.post(f"{SPACES}/{space}/configmaps", json={"metadata": {"name": name}})
    one = (await api.get(MAPS)).json()
    assert (one["kind"], one["apiVersion"]) == ("ConfigMapList", "v1")
    assert [item["metadata"]["name"] for item in one["items"]] == ["a", "b"]
    assert int(one["metadata"]["resourceVersion"]) >= max(int(i["metadata"]["resourceVersion"]) for i in one["items"])
    every = (await api.get("/api/v1/configmaps")).json()
    assert len(every["items"]) == 4


async def test_labels_and_fields_select(api: httpx.AsyncClient) -> None:
    for name, color in (("a", "red"), ("b", "blue")):
        await api.post(MAPS, json={"metadata": {"name": name, "labels": {"color": color}}})

    async def names(**query: str) -> list[str]:
        return [item["metadata"]["name"] for item in (await api.get(MAPS, params=query)).json()["items"]]

    assert await names(labelSelector="color=red") == ["a"]
    assert await names(labelSelector="color==blue,metal=gold") == []
    assert await names(fieldSelector="metadata.name=b") == ["b"]
    for selector in ("color!=red", "color in (red)"):
        assert (await api.get(MAPS, params={"labelSelector": selector})).status_code == 400


async def test_a_generated_name_begins_as_asked(api: httpx.AsyncClient) -> None:
    names = set()
    for _ in range(3):
        made = (await api.post(MAPS, json={"metadata": {"generateName": "token-"}})).json()
        names.add(made["metadata"]["name"])
    assert len(names) == 3
    assert all(name.startswith("token-") and len(name) == 11 for name in names)


async def test_a_deleted_namespace_takes_its_objects_with_it(api: httpx.AsyncClient) -> None:
    await api.post(SPACES, json={"metadata": {"name": "gone"}})
    await api.post(f"{SPACES}/gone/secrets", json={"metadata": {"name": "a"}})
    answer = await api.delete(f"{SPACES}/gone")
    assert (answer.status_code, answer.json()["status"]) == (200, "Success")
    assert (await api.get(f"{SPACES}/gone/secrets/a")).status_code == 404
    assert (await api.get("/api/v1/secrets")).json()["items"] == []


async def test_a_namespace_is_active(api: httpx.AsyncClient) -> None:
    made = (await api.post(SPACES, json={"metadata": {"name": "x"}})).json()
    assert made["status"] == {"phase": "Active"}
    assert "namespace" not in made["metadata"]


async def test_what_changes_nothing_writes_nothing(api: httpx.AsyncClient, server: Server) -> None:
    made = (await api.post(MAPS, json={"metadata": {"name": "a"}, "data": {"k": "1"}})).json()
    commits = server.commits
    assert (await api.put(f"{MAPS}/a", json=made)).json() == made
    assert (await api.patch(f"{MAPS}/a", json={"data": {"k": "1"}}, headers=MERGE)).json() == made
    assert server.commits == commits


async def test_a_merge_patch_changes_adds_and_removes(api: httpx.AsyncClient) -> None:
    await api.post(MAPS, json={"metadata": {"name": "a"}, "data": {"stays": "1", "changes": "1", "goes": "1"}})
    change = {"data": {"changes": "2", "goes": None, "comes": "1"}}
    patched = (await api.patch(f"{MAPS}/a", json=change, headers=MERGE)).json()
    assert patched["data"] == {"stays": "1", "changes": "2", "comes": "1"}


@pytest.mark.parametrize(
    ("target", "change", "result"),
    [
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"a": "c"}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        (["a"], "c", "c"),
    ],
)
def test_merging_follows_the_examples_of_rfc_7386(target: Any, change: Any, result: Any) -> None:
    assert merge(target, change) == result


async def test_a_secrets_plain_strings_are_stored_encoded(api: httpx.AsyncClient) -> None:
    given = {"metadata": {"name": "s"}, "data": {"a": "b25l"}, "stringData": {"b": "two"}}
    made = (await api.post(SECRETS, json=given)).json()
    assert made["data"] == {"a": "b25l", "b": base64.b64encode(b"two").decode()}
    assert "stringData" not in made
    assert made["type"] == "Opaque"
    patched = (await api.patch(f"{SECRETS}/s", json={"stringData": {"a": "new"}}, headers=MERGE)).json()
    assert base64.b64decode(patched["data"]["a"]) == b"new"
    assert patched["data"]["b"] == made["data"]["b"]


async def test_a_deployment_gets_one_replica_unless_it_says_otherwise(api: httpx.AsyncClient) -> None:
    wanted = deployment("d", "image")
    del wanted["spec"]["replicas"]
    assert (await api.post(DEPLOYMENTS, json=wanted)).json()["spec"]["replicas"] == 1


async def test_only_the_newest_events_are_kept(api: httpx.AsyncClient) -> None:
    for number in range(KEPT_EVENTS + 3):
        await api.post(f"{SPACES}/default/events", json={"metadata": {"name": f"e{number}"}})
    names = {item["metadata"]["name"] for item in (await api.get("/api/v1/events")).json()["items"]}
    assert len(names) == KEPT_EVENTS
    assert not names & {"e0", "e1", "e2"}


async def test_what_a_caller_does_to_an_answer_changes_nothing(server: Server) -> None:
    made = server.store.create("configmaps", {"metadata": {"name": "a"}, "data": {"k": "1"}}, "default")
    made["data"]["k"] = "changed"
    server.store.get("configmaps", "a", "default")["data"]["k"] = "changed"
    assert server.store.get("configmaps", "a", "default")["data"]["k"] == "1"


async def test_a_store_read_from_a_disk_is_the_same_store(server: Server) -> None:
    server.store.create("configmaps", {"metadata": {"name": "a"}}, "default")
    other = Server().store
    other.load(server.store.document())
    assert other.document() == server.store.document()
    assert other.get("configmaps", "a", "default") == server.store.get("configmaps", "a", "default")


async def test_the_version_is_kubernetes_own(api: httpx.AsyncClient) -> None:
    answer = (await api.get("/version")).json()
    assert (answer["major"], answer["minor"], answer["gitVersion"]) == ("1", "30", "v1.30.2")


async def test_readyz_is_ok_or_a_list_of_checks(api: httpx.AsyncClient, server: Server) -> None:
    short = await api.get("/readyz")
    assert (short.status_code, short.text, short.headers["content-type"].partition(";")[0]) == (200, "ok", "text/plain")
    lines = (await api.get("/readyz?verbose")).text.splitlines()
    assert lines[:4] == ["[+]ping ok", "[+]log ok", "[+]etcd ok", "[+]etcd-readiness ok"]
    assert all(line.startswith("[+]") and line.endswith(" ok") for line in lines[:-1])
    assert lines[-1] == "readyz check passed"
    server.quorum = False
    answer = await api.get("/readyz")
    assert answer.status_code == 500
    failed = [line for line in answer.text.splitlines() if line.startswith("[-]")]
    assert failed == ["[-]etcd failed: reason withheld", "[-]etcd-readiness failed: reason withheld"]
    assert answer.text.splitlines()[-1] == "readyz check failed"


async def test_livez_has_fewer_checks(api: httpx.AsyncClient) -> None:
    lines = (await api.get("/livez?verbose")).text.splitlines()
    assert "[+]etcd-readiness ok" not in lines
    assert lines[-1] == "livez check passed"
