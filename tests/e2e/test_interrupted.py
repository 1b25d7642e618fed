"""Commands that hold processes and a folder, ended in the midst: nothing of them is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    "arguments,midst,ending,code",
    [
        (["drill", "installer-not-registered/name-not-resolved"], "trouble comes\n", signal.SIGINT, 130),
        (["demo"], "the installer starts\n", signal.SIGTERM, 143),
    ],
)
def test_what_is_ended_in_the_midst_leaves_nothing(
    tmp_path: Path, arguments: list[str], midst: str, ending: signal.Signals, code: int
) -> None:
    command = [sys.executable, "-m", "pcg.cli.main", *arguments]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    with process, process.stderr:
        for line in process.stderr:
            if line.endswith(midst):
                break
        assert any(tmp_path.iterdir()) and processes_that_name(tmp_path)
        process.send_signal(ending)
        assert process.wait(60) == code
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
