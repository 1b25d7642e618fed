"""Drills as a person starts them: real processes, one JSON object, and no simulated part that says what it plays, in
its logs or in anything that it answers.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from diagnosis_ids import all_rows, ids_in
from e2e.said_by_the_lab import Record

IN_EACH_PART = {
    "jet-crash-loop/console-unreachable": "",
    "gateway-disconnected/proxy-refused": "X-Squid-Error: ERR_ACCESS_DENIED",
    "gateway-disconnected/console-down": "503 Service Unavailable",
    "gateway-disconnected/name-not-resolved": "console\4edge\4test",
    "installer-not-registered/artifact-download-failed": "HTTP/1.1 403 Forbidden",
    "clone-permission-denied/privilege-missing": '"missing":',
    "image-deploy-failed/vcenter-login-failed": '"error":"login-refused"',
    "no-route-to-api-server/api-server-down": '"kind":"NodeList"',
}
"""drills, and words by which the part that is broken in it answers"""


def run_drills(*arguments: str, record: Record | None = None) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "pcg.cli.main", "drill", "--output", "json", *arguments]
    environment = {**os.environ, **(record.environment if record else {})}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500)
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


def assert_no_answer_gave_a_hint(answers: dict[str, str]) -> None:
    hints = {name: (found, answer[:2000]) for name, answer in answers.items() if (found := ids_in(answer))}
    assert hints == {}


def test_what_goes_wrong_is_caused_found_and_over(tmp_path: Path) -> None:
    names = [
        "image-deploy-failed/vcenter-address-has-scheme",
        "installer-not-registered/pairing-code-mistyped",
        "gateway-disconnected/certificate-expired",
    ]
    rows = run_drills(*names, "--logs", str(tmp_path))
    assert [f"{row['scenario']}/{row['cause']}" for row in rows] == names
    assert all(row[told] for row in rows for told in ("caused", "found", "only", "recovered"))
    assert_nothing_gave_a_hint(tmp_path)


def test_nothing_that_the_lab_answers_names_what_is_played(tmp_path: Path) -> None:
    record = Record(tmp_path)
    rows = run_drills(*IN_EACH_PART, record=record)
    assert all(row[told] for row in rows for told in ("caused", "found", "only", "recovered"))
    answers = record.answers()
    assert_no_answer_gave_a_hint(answers)
    unheard = [words for words in IN_EACH_PART.values() if not any(words in answer for answer in answers.values())]
    assert unheard == [], "what is not recorded cannot be looked through"


@pytest.mark.soak
def test_the_whole_table(tmp_path: Path) -> None:
    logs, record = tmp_path / "logs", Record(tmp_path / "record")
    rows = run_drills("--all", "--logs", str(logs), record=record)
    assert {f"{row['scenario']}/{row['cause']}" for row in rows} == all_rows()
    assert all(row[told] for row in rows for told in ("caused", "found", "only", "recovered"))
    assert_nothing_gave_a_hint(logs)
    assert_no_answer_gave_a_hint(record.answers())
