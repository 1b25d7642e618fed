"""What a container is given: variables from manifest, pod and Secrets; and how a Secret that comes late heals a pod."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from pcg.clock import LoopClock

from .containers_for_tests import node_with
from .lab import condition, deployment, node_machine, running_lab

pytestmark = pytest.mark.looptime

SECRETS_PATH = "/api/v1/namespaces/pcg-system/secrets"


def container_log(state: Path) -> str:
    (path,) = (state / "machines/node-1/var/log/containers").iterdir()
    return path.read_text()


def with_secret(*, optional: bool) -> dict[str, Any]:
    wanted = deployment("a", "stay:1")
    pod = wanted["spec"]["template"]["spec"]
    pod["volumes"] = [{"name": "token", "secret": {"secretName": "late", "optional": optional}}]
    pod["containers"][0] |= {
        "env": [{"name": "TOKEN_FILE", "value": "/run/token/token"}],
        "volumeMounts": [{"name": "token", "mountPath": "/run/token"}],
    }
    return wanted


async def test_a_pod_waits_for_its_secret_and_starts_once_that_is_there(tmp_path: Path) -> None:
    async with node_with(tmp_path) as (lab, recorded):
        await lab.deploy(with_secret(optional=False))
        await asyncio.sleep(60)
        (event,) = await lab.events("FailedMount")
        assert event["message"] == 'MountVolume.SetUp failed : secret "late" not found'
        assert event["count"] > 3
        assert await lab.waiting("a", "ContainerCreating")
        assert recorded.started == []
        await lab.send("POST", SECRETS_PATH, {"metadata": {"name": "late"}, "stringData": {"token": "t0ken"}})
        await lab.until(lambda: lab.running("a"), within=3)
        assert "token t0ken" in container_log(tmp_path)


async def test_jets_missing_token_heals_at_the_next_restart(tmp_path: Path) -> None:
    async with running_lab(tmp_path, LoopClock()) as lab:
        lab.hypervisor.put(node_machine(1))
        await lab.nodes_are_ready()

        async def back_off() -> bool:
            (status,) = [entry for pod in await lab.pods() for entry in pod["status"].get("containerStatuses", [{}])]
            return status.get("restartCount") == 3 and "waiting" in status["state"]

        await lab.until(back_off)
        await lab.give_token()

        async def ready() -> bool:
            return condition((await lab.pods())[0], "Ready") == "True"

        began = lab.clock.monotonic()
        await lab.until(ready)
        assert lab.clock.monotonic() - began <= 40.5


async def test_a_secret_that_a_variable_needs_is_waited_for(tmp_path: Path) -> None:
    async with node_with(tmp_path) as (lab, recorded):
        wanted = deployment("a", "stay:1")
        source = {"secretKeyRef": {"name": "late", "key": "token"}}
        maybe = {"secretKeyRef": {"name": "never", "key": "token", "optional": True}}
        wanted["spec"]["template"]["spec"]["containers"][0]["env"] = [
            {"name": "TOKEN", "valueFrom": source},
            {"name": "MAYBE", "valueFrom": maybe},
        ]
        await lab.deploy(wanted)
        await asyncio.sleep(10)
        assert recorded.started == []
        await lab.send("POST", SECRETS_PATH, {"metadata": {"name": "late"}, "stringData": {"token": "t0ken"}})
        await lab.until(lambda: lab.running("a"), within=3)
        assert recorded.environments == [{"TOKEN": "t0ken"}]


async def test_variables_come_from_the_manifest_the_pod_and_the_node(tmp_path: Path) -> None:
    async with node_with(tmp_path) as (lab, recorded):
        wanted = deployment("a", "stay:1")
        wanted["spec"]["template"]["spec"]["containers"][0]["env"] = [
            {"name": "HOST_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}},
            {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
            {"name": "SPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
            {"name": "LISTEN", "value": "$(HOST_IP):9440 $(LATER)"},
            {"name": "LATER", "value": "x"},
        ]
        await lab.deploy(wanted)
        await lab.until(lambda: lab.running("a"))
        expected = {"HOST_IP": "127.64.0.10", "NODE": "node-1", "SPACE": "pcg-system", "LATER": "x"}
        assert recorded.environments == [expected | {"LISTEN": "127.64.0.10:9440 $(LATER)"}]
