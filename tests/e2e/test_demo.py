"""The main job, as a person starts it: one command, real processes, one JSON object at the end."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from pcg.model.states import StepName


def run_demo(*arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "pcg.cli.main", "demo", "--once", "--output", "json", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr[-4000:]
    assert "Traceback" not in done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.mark.parametrize(
    "cloud,nodes",
    [
        ("simulated", 1),
        ("simulated", 3),
        pytest.param("vsphere", 1, marks=[pytest.mark.vsphere, pytest.mark.soak]),
        pytest.param("vsphere", 3, marks=pytest.mark.vsphere),
    ],
)
def test_a_gateway_comes_up_in_one_go(cloud: str, nodes: int) -> None:
    result = run_demo("--cloud", cloud, "--nodes", str(nodes))
    assert result["gateway"]["state"] == "running"
    assert [step["name"] for step in result["steps"]] == list(StepName)
    assert {step["state"] for step in result["steps"]} == {"done"}
    assert len(result["machines"]) == nodes
    assert {machine["state"] for machine in result["machines"]} == {"ready"}
    assert len({machine["address"] for machine in result["machines"]}) == nodes
    assert result["findings"] == []
    # Jet's loop before the configuration is expected, and told.
    assert [(notice["scenario"], notice["cause"]) for notice in result["notices"]] == [
        ("jet-crash-loop", "awaiting-configuration")
    ]
    assert result["events"] >= 10


@pytest.mark.parametrize(
    "failure",
    [
        "address-not-assigned/dhcp-scope-exhausted",
        # The drills play these too, one of them in test_drills.
        pytest.param("clone-permission-denied/privilege-missing", marks=pytest.mark.soak),
        pytest.param("stuck-after-container-manager/image-source-unreachable", marks=pytest.mark.soak),
    ],
)
def test_a_broken_data_center_is_named_and_recovers_by_itself(failure: str) -> None:
    result = run_demo("--break", failure)
    assert result["gateway"]["state"] == "running"
    assert result["recovered"] is True
    assert {f"{finding['scenario']}/{finding['cause']}" for finding in result["findings"]} == {failure}
    finding = result["findings"][0]
    assert finding["severity"] == "error" and finding["evidence"] and finding["remedy"]


def test_what_cannot_be_broken_is_a_usage_error() -> None:
    command = [sys.executable, "-m", "pcg.cli.main", "demo", "--once", "--break", "no/such"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "address-not-assigned/dhcp-scope-exhausted" in done.stderr
