"""What every test shares: the list, at the end, of what was left out and why."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

if find_spec("sniffio") is None:
    # httpx looks for it at each request to an application. Said to be missing, it is not searched for in every folder.
    sys.modules["sniffio"] = None


@cache
def _can_have_own_root() -> bool:
    """Root alone is not enough: in many containers it may neither unshare nor mount."""
    needed = ("cloud-init", "netplan", "unshare", "ip")
    if os.geteuid() != 0 or not all(shutil.which(program) for program in needed):
        return False
    tried = (
        "mount --make-rprivate / && mount -t tmpfs tmpfs /mnt && mkdir /mnt/u /mnt/w /mnt/r"
        " && mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/u,workdir=/mnt/w /mnt/r"
        " && mount -t proc proc /mnt/r/proc && ip link add near type veth peer name far"
    )
    apart = ["unshare", "--mount", "--net", "--uts", "--pid", "--ipc", "--fork", "sh", "-c", tried]
    return subprocess.run(apart, capture_output=True).returncode == 0


_NEEDS = {
    "vsphere": (
        lambda: shutil.which("go") and Path("/usr/share/gocode/src/github.com/vmware/govmomi").is_dir(),
        "the vendor simulator needs Debian's golang-go and golang-github-vmware-govmomi-dev",
    ),
    "browser": (lambda: shutil.which("chromium"), "the pages' tests need Debian's chromium"),
    "cloudinit": (
        lambda: shutil.which("cloud-init") and shutil.which("netplan"),
        "the check of what nodes are given needs Debian's cloud-init and netplan.io",
    ),
    "own_root": (
        _can_have_own_root,
        "real boots of nodes need root with namespaces and overlays, cloud-init and netplan",
    ),
    "faketime": (lambda: shutil.which("faketime"), "tests of wrong clocks need Debian's faketime"),
    "atheris": (lambda: find_spec("atheris"), "fuzzing guided by coverage needs atheris (the extra fuzz)"),
    "soak": (lambda: os.environ.get("PCG_SOAK"), ""),
}


@pytest.fixture(scope="session", autouse=True)
def main_loop() -> Iterator[None]:
    """A loop of the main thread's own, closed at the end: pytest-asyncio would make one and leave it unclosed."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what this machine cannot run. Where PCG_TESTS_COMPLETE is set nothing may be left out but soak."""
    soak = [item for item in items if item.get_closest_marker("soak")] if not os.environ.get("PCG_SOAK") else []
    if soak:
        config.hook.pytest_deselected(items=soak)
        items[:] = [item for item in items if item not in soak]
    if os.environ.get("PCG_TESTS_COMPLETE"):
        return
    for item in items:
        for marker, (present, reason) in _NEEDS.items():
            if item.get_closest_marker(marker) and not present():
                item.add_marker(pytest.mark.skip(reason=reason))


def pytest_collection_finish() -> None:
    """Garbage is looked for in what the tests make, not again and again in all that was imported, and less often: a
    console of a test is some hundred thousand objects, and of its test's work a sixth was this search.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000, 10, 10)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reasons = Counter(str(report.longrepr[2]) for report in terminalreporter.stats.get("skipped", []))
    for reason, count in reasons.items():
        terminalreporter.write_line(f"left out: {count} tests: {reason.removeprefix('Skipped: ')}")
