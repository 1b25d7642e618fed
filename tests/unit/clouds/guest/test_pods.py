"""Pods as a kubelet keeps them: back-off, images, readiness, replacement, and their logs."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from .containers_for_tests import node_with
from .lab import condition, deployment

pytestmark = pytest.mark.looptime

PODS = "/api/v1/namespaces/pcg-system/pods"


async def test_a_container_that_ends_again_and_again_waits_ten_seconds_doubling_to_five_minutes(tmp_path: Path) -> None:
    async with node_with(tmp_path) as (lab, recorded):
        await lab.deploy(deployment("a", "crash:1"))
        await asyncio.sleep(1300)
        assert recorded.pauses() == [0, 10, 20, 40, 80, 160, 300, 300, 300]


async def test_ten_good_minutes_are_rewarded_with_a_short_wait(tmp_path: Path) -> None:
    async with node_with(tmp_path) as (lab, recorded):
        await lab.deploy(deployment("a", "crash:1"))
        await asyncio.sleep(100)
        recorded.lives = 601.0
        await asyncio.sleep(3000)
        assert recorded.pauses()[-2:] == [0, 0]


async def test_a_crash_loop_is_seen_in_status_events_and_kubelet_log(tmp_path: Path) -> None:
    async with node_with(tmp_path) as (lab, recorded):
        await lab.deploy(deployment("a", "crash:1"))
        await asyncio.sleep(25)
        status = await lab.waiting("a", "CrashLoopBackOff")
        assert status
        assert status["state"]["waiting"]["message"].startswith("back-off 20s restarting failed container=a pod=a-")
        assert status["lastState"]["terminated"]["exitCode"] == 3
        assert status["lastState"]["terminated"]["reason"] == "Error"
        assert (status["ready"], status["restartCount"]) == (False, 2)
        (event,) = await lab.events("BackOff")
        assert (event["type"], event["count"]) == ("Warning", 2)
        kubelet = (tmp_path / "machines/node-1/tmp/kubelet.log").read_text()
        assert '"Error syncing pod, skipping" err="failed to \\"StartContainer\\" for \\"a\\" with CrashLoop' in kubelet
        assert recorded.started


async def test_a_pod_that_shall_not_restart_ends(tmp_path: Path) -> None:
    async with node_with(tmp_path) as (lab, recorded):
        await lab.deploy(deployment("a", "crash:1", restartPolicy="Never"))
        await asyncio.sleep(100)
        pod = await lab.pod_of("a")
        assert pod
        assert pod["status"]["phase"] == "Failed"
        assert len(recorded.started) == 1


async def test_a_pod_restarted_on_failure_ends_well(tmp_path: Path) -> None:
    async with node_with(tmp_path) as (lab, recorded):
        await lab.deploy(deployment("a", "crash:1", restartPolicy="OnFailure"))
        await asyncio.sleep(5)
        recorded.exit_code = 0
        await asyncio.sleep(100)
        pod = await lab.pod_of("a")
        assert pod
        assert pod["status"]["phase"] == "Succeeded"
        assert pod["status"]["containerStatuses"][0]["state"]["terminated"]["reason"] == "Completed"


async def test_an_unknown_image_is_pulled_again_with_back_off(tmp_path: Path) -> None:
    async with node_with(tmp_path) as (lab, _):
        await lab.deploy(deployment("a", "registry.test:5000/missing:1"))
        status = await lab.until(lambda: lab.waiting("a", "ImagePullBackOff"))
        image = "registry.test:5000/missing:1"
        assert status["state"]["waiting"]["message"] == f'Back-off pulling image "{image}"'
        assert status["restartCount"] == 0
        await asyncio.sleep(100)
        (failed,) = await lab.events("Failed")
        assert f'failed to resolve reference "{image}": not found' in failed["message"]
        assert failed["count"] == 5  # at 0, 0, 10, 30 and 70 seconds
        pod = await lab.pod_of("a")
        assert pod
        assert pod["status"]["phase"] == "Pending"


async def test_an_image_that_is_named_right_later_runs_in_a_new_pod(tmp_path: Path) -> None:
    async with node_with(tmp_path) as (lab, recorded):
        await lab.deploy(deployment("a", "missing:1"))
        await lab.until(lambda: lab.waiting("a", "ImagePullBackOff"))
        path = "/apis/apps/v1/namespaces/pcg-system/deployments/a"
        await lab.send("PATCH", path, deployment("a", "stay:1"))
        pod = await lab.until(lambda: lab.running("a"), within=2)
        assert pod["spec"]["containers"][0]["image"] == "stay:1"
        assert len(await lab.pods()) == len(recorded.started) == 1


async def test_a_deleted_pod_is_replaced_by_its_deployment(tmp_path: Path) -> None:
    async with node_with(tmp_path) as (lab, recorded):
        await lab.deploy(deployment("a", "stay:1"))
        pod = await lab.until(lambda: lab.running("a"))
        await lab.send("DELETE", f"{PODS}/{pod['metadata']['name']}")
        again = await lab.until(lambda: lab.running("a"), within=2)
        assert again["metadata"]["uid"] != pod["metadata"]["uid"]
        assert len(recorded.started) == 2
        assert (await lab.events("Killing"))[0]["message"] == "Stopping container a"


async def test_a_deleted_deployment_takes_its_pod_with_it(tmp_path: Path) -> None:
    async with node_with(tmp_path) as (lab, _):
        await lab.deploy(deployment("a", "stay:1"))
        await lab.until(lambda: lab.running("a"))
        await lab.send("DELETE", "/apis/apps/v1/namespaces/pcg-system/deployments/a")
        await asyncio.sleep(1)
        assert await lab.pods() == []
        assert [task for task in asyncio.all_tasks() if "_stay" in str(task.get_coro())] == []


async def test_readiness_becomes_the_pods_condition_and_the_deployments_count(tmp_path: Path) -> None:
    async with node_with(tmp_path) as (lab, recorded):
        await lab.deploy(deployment("a", "stay:1"))
        pod = await lab.until(lambda: lab.running("a"))
        assert (condition(pod, "Ready"), condition(pod, "PodScheduled"), pod["status"]["phase"]) == (
            "False",
            "True",
            "Running",
        )
        for ready in (True, False):
            recorded.become_ready[0](ready)
            await asyncio.sleep(1)
            pod = await lab.pod_of("a") or {}
            assert condition(pod, "Ready") == condition(pod, "ContainersReady") == str(ready)
            status = (await lab.get("/apis/apps/v1/namespaces/pcg-system/deployments/a")).json()["status"]
            assert (status["readyReplicas"], status["unavailableReplicas"]) == ((1, 0) if ready else (0, 1))
        (event,) = await lab.events("Unhealthy")
        assert event["message"].startswith("Readiness probe failed")


async def test_a_condition_tells_since_when_it_holds(tmp_path: Path) -> None:
    async with node_with(tmp_path) as (lab, recorded):
        await lab.deploy(deployment("a", "stay:1"))
        await lab.until(lambda: lab.running("a"))
        recorded.become_ready[0](True)
        await asyncio.sleep(1)
        first = (await lab.pod_of("a") or {})["status"]["conditions"]
        await asyncio.sleep(30)
        assert (await lab.pod_of("a") or {})["status"]["conditions"] == first


async def test_replicas_are_made_and_removed(tmp_path: Path) -> None:
    async with node_with(tmp_path) as (lab, _):
        await lab.deploy(deployment("a", "stay:1"))
        for count in (3, 0, 1):
            path = "/apis/apps/v1/namespaces/pcg-system/deployments/a"
            await lab.send("PATCH", path, {"spec": {"replicas": count}})
            await asyncio.sleep(1)
            assert len(await lab.pods()) == count


async def test_a_containers_life_is_told_in_kubernetes_events(tmp_path: Path) -> None:
    async with node_with(tmp_path) as (lab, _):
        await lab.deploy(deployment("a", "stay:1"))
        pod = await lab.until(lambda: lab.running("a"))
        items = (await lab.get("/api/v1/namespaces/pcg-system/events")).json()["items"]
        told = {(event["reason"], event["source"]["component"]) for event in items}
        kubelet = {(reason, "kubelet") for reason in ("Pulled", "Created", "Started")}
        assert told == kubelet | {("Scheduled", "default-scheduler"), ("SuccessfulCreate", "replicaset-controller")}
        (scheduled,) = await lab.events("Scheduled")
        assert scheduled["message"] == f"Successfully assigned pcg-system/{pod['metadata']['name']} to node-1"


async def test_a_containers_lines_are_logged_in_the_cri_format(tmp_path: Path) -> None:
    async with node_with(tmp_path) as (lab, _):
        await lab.deploy(deployment("a", "crash:1", restartPolicy="Never"))
        pod = await lab.until(lambda: lab.running("a"))
        (path,) = (tmp_path / "machines/node-1/var/log/containers").iterdir()
        assert re.fullmatch(rf"{pod['metadata']['name']}_pcg-system_a-[0-9a-f]{{64}}\.log", path.name)
        line = r"2026-01-01T\d\d:\d\d:\d\d\.\d{9}Z stdout F about to end\n"
        assert re.fullmatch(line, path.read_text())


@pytest.mark.parametrize(
    "pod",
    [
        {"volumes": [{"secret": {"secretName": "x"}}]},
        {"volumes": [{"name": "../../../../../../escape", "secret": {"secretName": "x", "optional": True}}]},
        {"containers": [{"name": "a", "image": "stay:1", "volumeMounts": [{"name": "none", "mountPath": "/x"}]}]},
        {"containers": [{"name": "a", "image": "stay:1", "env": [{"value": "nameless"}]}]},
        {"containers": [{"name": "a", "image": "stay:1"}, {"name": "a", "image": "stay:1"}]},
        {"containers": ["stay:1"]},
    ],
)
async def test_a_pod_that_cannot_be_is_refused_and_harms_nobody(tmp_path: Path, pod: dict[str, Any]) -> None:
    async with node_with(tmp_path / "state") as (lab, _):
        wanted = deployment("a", "stay:1", **pod)
        answer = await lab.send("POST", "/apis/apps/v1/namespaces/pcg-system/deployments", wanted)
        assert answer.status_code == 422
        assert answer.json()["reason"] == "Invalid"
        await asyncio.sleep(10)
        assert await lab.ready_nodes() == ["node-1"]
        assert [entry.name for entry in tmp_path.iterdir()] == ["state"]


async def test_a_bare_pod_runs_without_a_deployment(tmp_path: Path) -> None:
    async with node_with(tmp_path) as (lab, _):
        pod = {"metadata": {"name": "bare", "labels": {"app": "bare"}}}
        spec = {"containers": [{"name": "c", "image": "stay:1"}]}
        answer = await lab.send("POST", PODS, pod | {"spec": spec})
        assert answer.status_code == 201
        await lab.until(lambda: lab.running("bare"), within=5)
