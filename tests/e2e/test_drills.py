"""Drills as a person starts them: real processes, one JSON object, and no simulated part that says what it plays."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from diagnosis_ids import ids_in


def run_drills(*arguments: str) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "pcg.cli.main", "drill", "--output", "json", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-4000:]}"
    assert "Traceback" not in done.stderr
    rows: list[dict[str, Any]] = json.loads(done.stdout)["drills"]
    return rows


def assert_nothing_gave_a_hint(logs: Path) -> None:
    """Neither the data center with its edge nor a machine in it said what was played."""
    said = [file for file in logs.rglob("*") if file.is_file() and "data-center" in str(file.relative_to(logs))]
    assert said
    hints = {file: found for file in said if (found := ids_in(f"{file.name}\n{file.read_text(errors='replace')}"))}
    assert hints == {}


def test_what_goes_wrong_is_caused_found_and_over(tmp_path: Path) -> None:
    names = ["installer-not-registered/pairing-code-mistyped", "gateway-disconnected/certificate-expired"]
    rows = run_drills(*names, "--logs", str(tmp_path))
    assert [f"{row['scenario']}/{row['cause']}" for row in rows] == names
    assert all(row[told] for row in rows for told in ("caused", "found", "only", "recovered"))
    assert_nothing_gave_a_hint(tmp_path)


def test_a_drill_that_is_interrupted_leaves_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pcg.cli.main", "drill", "installer-not-registered/name-not-resolved"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    with process, process.stderr:
        for line in process.stderr:
            if line.endswith("trouble comes\n"):
                break
        assert any(tmp_path.iterdir()) and processes_that_name(tmp_path)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) != 0
        assert "Traceback" not in process.stderr.read()
    assert list(tmp_path.iterdir()) == []
    assert processes_that_name(tmp_path) == []


def processes_that_name(folder: Path) -> list[str]:
    """Every part is told where its data is."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended meanwhile
            arguments = file.read_bytes().decode(errors="replace")
            found += [arguments] if str(folder) in arguments else []
    return found


@pytest.mark.soak
def test_the_whole_table(tmp_path: Path) -> None:
    rows = run_drills("--all", "--logs", str(tmp_path))
    assert len(rows) >= 31
    assert all(row[told] for row in rows for told in ("caused", "found", "only", "recovered"))
    assert_nothing_gave_a_hint(tmp_path)
