"""The parts of `scripts/make-dist` that need no package index; tests/e2e/test_dist.py builds a whole archive."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import tarfile
import zipfile
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "make-dist"


@pytest.fixture(scope="module")
def make_dist() -> ModuleType:
    loader = SourceFileLoader("make_dist", str(SCRIPT))
    spec = importlib.util.spec_from_loader("make_dist", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def some_content(folder: Path, seconds: int, mode: int) -> Path:
    content = folder / "pcg-1"
    for name in ("b.txt", "a/z.txt", "install.sh"):
        path = content / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        path.chmod(mode)
        os.utime(path, (seconds, seconds))
    return content


def test_the_same_content_gives_the_same_bytes_whatever_its_times_and_modes(
    make_dist: ModuleType, tmp_path: Path
) -> None:
    made = []
    for name, seconds, mode in (("one", 1_000_000_000, 0o600), ("two", 1_500_000_000, 0o755)):
        archive = tmp_path / f"{name}.tar.gz"
        make_dist.write_archive(some_content(tmp_path / name, seconds, mode), archive, 1_700_000_000)
        made.append(archive.read_bytes())
    assert made[0] == made[1]
    with tarfile.open(tmp_path / "one.tar.gz") as tar:
        members = tar.getmembers()
    assert [(member.name, member.mode) for member in members] == [
        ("pcg-1/a/z.txt", 0o644), ("pcg-1/b.txt", 0o644), ("pcg-1/install.sh", 0o755),
    ]  # fmt: skip
    assert {(member.uid, member.gid, member.uname, member.gname, member.mtime) for member in members} == {
        (0, 0, "", "", 1_700_000_000)
    }


def test_sums_are_those_that_sha256sum_reads(make_dist: ModuleType, tmp_path: Path) -> None:
    content = some_content(tmp_path, 1, 0o644)
    make_dist.write_sums(content)
    sums = dict(line.split("  ")[::-1] for line in (content / "SHA256SUMS").read_text().splitlines())
    assert sums == {name: hashlib.sha256(name.encode()).hexdigest() for name in ("a/z.txt", "b.txt", "install.sh")}
    check = ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"]
    assert subprocess.run(check, cwd=content).returncode == 0


@pytest.mark.parametrize(
    "names,needed",
    [
        (["a-1-py3-none-any.whl"], None),
        (["a-1-cp311-abi3-manylinux_2_34_x86_64.whl", "b-1-cp311-cp311-manylinux2014_x86_64.whl"], (2, 34)),
        (["a-1-cp311-cp311-manylinux1_x86_64.manylinux_2_28_x86_64.manylinux_2_5_x86_64.whl"], (2, 5)),
        (["a-1-cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64.manylinux_2_28_x86_64.whl"], (2, 17)),
        (["a-1-cp311-cp311-manylinux_2_9_x86_64.whl", "b-1-cp311-cp311-manylinux_2_10_x86_64.whl"], (2, 10)),
    ],
    ids=["pure", "newest-of-all", "oldest-of-one", "old-name", "as-numbers"],
)
def test_the_c_library_that_is_needed(make_dist: ModuleType, names: list[str], needed: tuple[int, int] | None) -> None:
    assert make_dist.glibc_needed(names) == needed


@pytest.mark.parametrize(
    "said,shown",
    [
        ("License-Expression: MIT\nLicense: long", "MIT"),
        ("Classifier: License :: OSI Approved :: BSD License\nClassifier: Typing :: Typed", "BSD License"),
        ("License: First line\n        and the whole text", "First line"),
        ("Classifier: License :: OSI Approved", "not stated in its metadata"),
    ],
    ids=["expression", "classifier", "text", "nothing"],
)
def test_licences_as_the_wheels_say_them(make_dist: ModuleType, tmp_path: Path, said: str, shown: str) -> None:
    for name in ("pcg", "Other"):
        with zipfile.ZipFile(tmp_path / f"{name}-1-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{name}-1.dist-info/METADATA", f"Name: {name}\nVersion: 1\n{said}\n\nDescription\n")
    listed = make_dist.licences(sorted(tmp_path.glob("*.whl"))).splitlines()
    assert listed[2:] == [f"Other 1: {shown}"]


def test_the_time_that_is_asked_for(make_dist: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1234567890")
    assert make_dist.when() == 1234567890
