"""Evictions by the gateway's own client at the simulated API server: budgets, cordons, and what is gone already."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from pcg.gateway.kubernetes_api import KubernetesApi

from .api_server import NOW

PODS = "/api/v1/namespaces/default/pods"
BUDGETS = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"


async def pod(api: httpx.AsyncClient, name: str, *, ready: bool = True, phase: str = "Running") -> None:
    condition = {"type": "Ready", "status": str(ready)}
    body = {
        "metadata": {"name": name, "labels": {"app": "shop"}},
        "spec": {"nodeName": "node-1", "containers": [{"name": "c", "image": "i"}]},
        "status": {"phase": phase, "conditions": [condition]},
    }
    assert (await api.post(PODS, json=body)).status_code == 201


async def budget(api: httpx.AsyncClient, name: str = "b", **spec: Any) -> int:
    body = {"metadata": {"name": name}, "spec": {"selector": {"matchLabels": {"app": "shop"}}, **spec}}
    return (await api.post(BUDGETS, json=body)).status_code


async def test_without_a_budget_a_pod_is_gone_at_once_and_gone_is_gone(api: httpx.AsyncClient) -> None:
    client = KubernetesApi(api)
    await pod(api, "a")
    assert [item["metadata"]["name"] for item in await client.pods_on("node-1")] == ["a"]
    assert await client.evict("default", "a") == ""
    assert await client.pods_on("node-1") == []
    assert await client.evict("default", "a") == ""


@pytest.mark.parametrize("spec", [{"minAvailable": 1}, {"maxUnavailable": 1}])
async def test_a_budget_lets_one_of_two_go_and_then_refuses(api: httpx.AsyncClient, spec: dict[str, int]) -> None:
    client = KubernetesApi(api)
    for name in ("a", "b"):
        await pod(api, name)
    assert await budget(api, **spec) == 201
    assert await client.evict("default", "a") == ""
    if "maxUnavailable" in spec:
        await pod(api, "c", ready=False, phase="Pending")
    assert "disruption budget" in await client.evict("default", "b")
    assert (await api.get(f"{PODS}/b")).status_code == 200


async def test_a_pod_that_does_not_run_yet_may_always_go(api: httpx.AsyncClient) -> None:
    await pod(api, "a", ready=False, phase="Pending")
    await budget(api, minAvailable=1)
    assert await KubernetesApi(api).evict("default", "a") == ""


async def test_two_budgets_for_one_pod_are_refused_in_the_servers_words(api: httpx.AsyncClient) -> None:
    await pod(api, "a")
    for name in ("one", "two"):
        await budget(api, name, minAvailable=0)
    assert "more than one PodDisruptionBudget" in await KubernetesApi(api).evict("default", "a")


@pytest.mark.parametrize("spec", [{}, {"minAvailable": "50%"}, {"minAvailable": 1, "maxUnavailable": 1}])
async def test_what_is_no_budget_of_numbers_is_refused(api: httpx.AsyncClient, spec: dict[str, Any]) -> None:
    assert await budget(api, **spec) == 422


async def test_an_eviction_of_another_version_is_refused(api: httpx.AsyncClient) -> None:
    await pod(api, "a")
    body = {"apiVersion": "policy/v1beta1", "kind": "Eviction", "metadata": {"name": "a"}}
    assert (await api.post(f"{PODS}/a/eviction", json=body)).status_code == 400


async def test_a_drain_is_seen_on_the_node_and_leaves_no_trace_when_it_ends(api: httpx.AsyncClient) -> None:
    client = KubernetesApi(api)
    await api.post("/api/v1/nodes", json={"metadata": {"name": "node-1"}})
    before = (await api.get("/api/v1/nodes/node-1")).json()["spec"]
    await client.begin_drain("node-1", NOW)
    assert (await api.get("/api/v1/nodes/node-1")).json()["spec"]["unschedulable"] is True
    assert (await client.nodes())["node-1"].draining_since == NOW
    await client.end_drain("node-1")
    assert (await api.get("/api/v1/nodes/node-1")).json()["spec"] == before
    assert (await client.nodes())["node-1"].draining_since is None
    await client.end_drain("nobody")
