"""Real children: heard to the last line, stopped with their group, and gone when their parent is killed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from pcg.clock import SystemClock
from pcg.processes.child import LINE_BYTES, module_command, start
from pcg.processes.supervised import Supervised

ENVIRONMENT = {"PATH": os.environ["PATH"]}


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def gone(pid: int) -> None:
    async with asyncio.timeout(10):
        while alive(pid):
            await asyncio.sleep(0.01)


async def test_hears_every_line_of_both_streams_and_the_exit_code() -> None:
    heard: list[tuple[str, str]] = []
    code = "import sys; print('one'); print('two', file=sys.stderr); sys.stdout.write('last'); sys.exit(7)"
    child = await start(python(code), ENVIRONMENT, lambda stream, line: heard.append((stream, line)))
    assert await child.wait() == 7
    assert sorted(heard) == [("stderr", "two"), ("stdout", "last"), ("stdout", "one")]
    assert not child.running


async def test_a_line_without_end_is_cut_and_what_follows_is_heard() -> None:
    heard: list[str] = []
    code = f"print('x' * {3 * LINE_BYTES}); print('after')"
    child = await start(python(code), ENVIRONMENT, lambda _, line: heard.append(line))
    assert await child.wait() == 0
    assert sum(map(len, heard[:-1])) == 3 * LINE_BYTES
    assert max(map(len, heard)) <= 2 * LINE_BYTES
    assert heard[-1] == "after"


async def test_the_environment_is_exactly_the_given_one() -> None:
    heard: list[str] = []
    child = await start(
        python("import os; print(sorted(os.environ))"), {"ONLY": "this"}, lambda _, line: heard.append(line)
    )
    await child.wait()
    assert "ONLY" in heard[0] and "PATH" not in heard[0]


async def test_stopping_ends_a_child_that_ignores_sigterm_and_its_own_children() -> None:
    heard: list[str] = []
    code = (
        "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "inner = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
        "print(inner.pid, flush=True); time.sleep(60)"
    )
    child = await start(python(code), ENVIRONMENT, lambda _, line: heard.append(line))
    async with asyncio.timeout(10):
        while not heard:
            await asyncio.sleep(0.01)
    assert await child.stop(within=0.2) == -signal.SIGKILL
    await gone(int(heard[0]))


@pytest.mark.skipif(sys.platform != "linux", reason="the parent-death signal is Linux's")
async def test_a_child_does_not_outlive_a_killed_parent() -> None:
    code = (
        "import asyncio, os, sys\n"
        "from pcg.processes.child import start\n"
        "async def main():\n"
        "    child = await start([sys.executable, '-c', 'import time; time.sleep(60)'], dict(os.environ), print)\n"
        "    print(child.pid, flush=True)\n"
        "    await child.wait()\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen(python(code), stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert alive(pid)
        parent.kill()
    await gone(pid)


async def test_supervised_restarts_and_can_be_told_to_at_once() -> None:
    lines: list[str] = []
    changes: list[bool] = []
    supervised = Supervised(
        python("print('started')"),
        environment=ENVIRONMENT,
        clock=SystemClock(),
        speed=0.01,  # the second restart would come after a quarter of an hour
        on_line=lines.append,
        on_change=lambda: changes.append(supervised.back_off),
    )
    running = asyncio.create_task(supervised.run())
    try:
        async with asyncio.timeout(20):
            while not supervised.back_off:
                await asyncio.sleep(0.01)
            assert (supervised.restarts, supervised.last_exit, len(lines)) == (1, 0, 2)
            supervised.restart()
            while len(lines) < 3:
                await asyncio.sleep(0.01)
        assert changes[:2] == [True, False]
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


def test_no_module_is_taken_from_the_folder_that_somebody_is_in(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit(9)\n")
    run = subprocess.run(module_command("json.tool", "--help"), cwd=tmp_path, capture_output=True, check=False)
    assert (run.returncode, b"usage" in run.stdout.lower()) == (0, True)
