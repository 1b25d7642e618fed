"""Building the simulator: what is said without Go, and builds at the same time."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from pcg.clouds.vsphere.simulator import builder
from pcg.errors import SetupMissing


def test_without_go_one_line_names_the_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SetupMissing) as missing:
        builder.build(tmp_path)
    text = str(missing.value)
    assert "\n" not in text
    assert "golang-go" in text
    assert "golang-github-vmware-govmomi-dev" in text


def test_builds_at_the_same_time_end_with_one_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[Path] = []

    def compile_slowly(go: str, target: Path) -> None:
        compiled.append(target)
        time.sleep(0.2)
        target.write_bytes(b"program")

    monkeypatch.setattr(builder, "_compile", compile_slowly)
    monkeypatch.setattr(builder.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(builder, "DEBIAN_GOPATH", tmp_path)
    (tmp_path / builder.GOVMOMI).mkdir(parents=True)
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(builder.build(tmp_path))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(compiled) == 1
    assert set(found) == {compiled[0]}
