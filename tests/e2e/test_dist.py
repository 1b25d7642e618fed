"""`make dist`, and its archive on a machine without internet: installed, run, installed again, refused when touched."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import signal
import ssl
import subprocess
import sys
import tarfile
import tomllib
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
NOWHERE = "http://127.0.0.1:9"
"""nobody listens there: whatever asks an index or a proxy fails"""


def environment() -> dict[str, str]:
    """No way out, and nothing of this environment's own pcg."""
    kept = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LANG": "C.UTF-8"}
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy"), NOWHERE)
    return kept | proxies | {"PIP_INDEX_URL": f"{NOWHERE}/simple", "PIP_RETRIES": "0", "PIP_NO_INDEX": "1"}


def run_install(unpacked: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(unpacked / "install.sh"), "--python", sys.executable, *arguments]
    return subprocess.run(command, env=environment(), cwd="/", capture_output=True, text=True, timeout=120)


@dataclass(frozen=True)
class Installed:
    prefix: Path
    unpacked: Path

    @property
    def release(self) -> Path:
        return self.prefix / (self.prefix / "venv").readlink()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of all processes that run the tests of this file."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "dist"
    folder.mkdir(exist_ok=True)
    return folder


@contextmanager
def alone(shared: Path) -> Iterator[None]:
    """No other of these processes is within at the same time."""
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="module")
def archive(shared: Path) -> Path:
    with alone(shared):
        if not list(shared.glob("pcg-*.tar.gz")):
            command = [sys.executable, str(ROOT / "scripts" / "make-dist"), "--output", str(shared)]
            made = subprocess.run(command, capture_output=True, text=True, timeout=300)
            assert made.returncode == 0, made.stderr[-4000:]
        (only,) = shared.glob("pcg-*.tar.gz")
    return only


@pytest.fixture(scope="module")
def unpacked(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    (only,) = folder.iterdir()
    assert f"{only.name}.tar.gz" == archive.name
    return only


@pytest.fixture
def installed(unpacked: Path, shared: Path) -> Iterator[Installed]:
    """Into a prefix where an earlier try was interrupted; done once, and lent to one test at a time."""
    prefix, done = shared / "prefix" / "pcg", shared / "installed"
    with alone(shared):
        if not done.exists():
            sums = hashlib.sha256((unpacked / "SHA256SUMS").read_bytes()).hexdigest()
            half_there = prefix / "releases" / f"{VERSION}-{sums[:12]}" / "bin"
            half_there.mkdir(parents=True)
            (half_there / "left-over").touch()
            made = run_install(unpacked, "--prefix", str(prefix))
            assert made.returncode == 0, made.stderr
            assert made.stderr == ""
            done.touch()
        yield Installed(prefix, unpacked)


@pytest.fixture
def touched(unpacked: Path, tmp_path: Path) -> Path:
    """A copy by links: whoever changes a file must replace it."""
    copy = tmp_path / "touched"
    copy.mkdir()
    for path in sorted(unpacked.rglob("*")):
        there = copy / path.relative_to(unpacked)
        if path.is_dir():
            there.mkdir()
        else:
            there.hardlink_to(path)
    return copy


def replace(path: Path, content: bytes) -> None:
    mode = path.stat().st_mode
    path.unlink()
    path.write_bytes(content)
    path.chmod(mode)


def test_what_was_installed_runs_from_there_alone(installed: Installed) -> None:
    pcg = str(installed.prefix / "bin" / "pcg")
    told = subprocess.run([pcg, "--version"], env=environment(), capture_output=True, text=True, check=True)
    assert told.stdout.strip() == VERSION
    help_text = subprocess.run([pcg, "--help"], env=environment(), capture_output=True, text=True, check=True).stdout
    assert "console" in help_text and "install" in help_text
    ask = "import pcg, fastapi, pyVmomi, nacl.signing, argon2; print(pcg.__file__)"
    python = str(installed.prefix / "venv" / "bin" / "python")
    where = subprocess.run([python, "-c", ask], env=environment(), cwd="/", capture_output=True, text=True, check=True)
    assert (installed.prefix / "venv" / "lib").resolve() in Path(where.stdout.strip()).resolve().parents


def test_an_interrupted_installation_is_made_anew(installed: Installed) -> None:
    assert (installed.release / ".complete").exists()
    assert not (installed.release / "bin" / "left-over").exists()


def test_the_console_serves_and_ends_cleanly(installed: Installed, tmp_path: Path) -> None:
    command = [str(installed.prefix / "bin" / "pcg"), "console", "serve", "--listen", "127.0.0.1:0"]
    process = subprocess.Popen(
        [*command, "--data", str(tmp_path / "data")],
        env=environment(), cwd="/", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        ready = process.stdout.readline()
        assert ready.startswith("console ready at https://127.0.0.1:"), process.communicate()[1]
        url = ready.removeprefix("console ready at ").strip()
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=str(tmp_path / "data" / "ca.pem"))),
        )
        with opener.open(f"{url}/readyz", timeout=10) as answer:
            assert json.load(answer) == {"status": "ok"}
        process.send_signal(signal.SIGTERM)
        _, complaints = process.communicate(timeout=20)
        assert (process.returncode, complaints) == (0, "")
    finally:
        process.kill()
        process.communicate()


def test_again_it_only_puts_its_own_release_back_in_use(installed: Installed) -> None:
    """As after an upgrade that shall be rolled back: `venv` leads to another release."""
    mine, made = (installed.prefix / "venv").readlink(), (installed.release / ".complete").stat().st_mtime_ns
    (installed.prefix / "venv").unlink()
    (installed.prefix / "venv").symlink_to("releases/another")
    done = run_install(installed.unpacked, "--prefix", str(installed.prefix))
    assert done.returncode == 0, done.stderr
    assert (installed.prefix / "venv").readlink() == mine
    assert "already" in done.stdout and "before it was releases/another" in done.stdout
    assert (installed.release / ".complete").stat().st_mtime_ns == made
    assert sorted(path.name for path in installed.prefix.iterdir()) == ["bin", "releases", "venv"]


def test_units_and_settings_for_an_image(installed: Installed, tmp_path: Path) -> None:
    services = ("--with-systemd", "console", "--with-systemd", "installer", "--root", str(tmp_path))
    settings = tmp_path / "etc" / "pcg" / "console.env"
    for _ in range(2):
        done = run_install(installed.unpacked, "--prefix", str(installed.prefix), *services)
        assert done.returncode == 0, done.stderr
        for service in ("console", "installer"):
            unit = (tmp_path / "etc" / "systemd" / "system" / f"pcg-{service}.service").read_text()
            assert f"{installed.prefix}/venv/bin/pcg " in unit
            assert "/opt/pcg" not in unit
            assert ((tmp_path / "etc" / "pcg" / f"{service}.env").stat().st_mode & 0o777) == 0o600
        if not settings.read_text().startswith("# mine\n"):
            settings.write_text("# mine\n" + settings.read_text())
    assert settings.read_text().startswith("# mine\n")
    assert ((tmp_path / "etc" / "pcg").stat().st_mode & 0o777) == 0o700
    for kind in ("sysusers", "tmpfiles"):
        assert (tmp_path / "etc" / f"{kind}.d" / "pcg.conf").read_text() == (
            ROOT / "packaging" / "systemd" / f"pcg.{kind}"
        ).read_text()


def changed_wheel(folder: Path) -> str:
    wheel = next((folder / "wheels").glob("rich-*.whl"))
    content = bytearray(wheel.read_bytes())
    content[len(content) // 2] ^= 1
    replace(wheel, bytes(content))
    return f"wheels/{wheel.name}"


def missing_wheel(folder: Path) -> str:
    wheel = next((folder / "wheels").glob("uvicorn-*.whl"))
    wheel.unlink()
    return f"wheels/{wheel.name}"


def added_wheel(folder: Path) -> str:
    (folder / "wheels" / "pcg-99.0-py3-none-any.whl").write_bytes(b"")
    return "that SHA256SUMS does not name"


def no_sums(folder: Path) -> str:
    (folder / "SHA256SUMS").unlink()
    return "SHA256SUMS is missing"


def changed_script(folder: Path) -> str:
    replace(folder / "install.sh", (folder / "install.sh").read_bytes() + b"\n# more\n")
    return "install.sh"


@pytest.mark.parametrize("touch", [changed_wheel, missing_wheel, added_wheel, no_sums, changed_script])
def test_a_touched_archive_is_refused_before_anything_is_made(
    touched: Path, tmp_path: Path, touch: Callable[[Path], str]
) -> None:
    expected = touch(touched)
    done = run_install(touched, "--prefix", str(tmp_path / "prefix"))
    assert done.returncode == 1
    assert expected in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "prefix").exists()


@pytest.mark.parametrize(
    "key,value,told",
    [
        ("python", "cp399", "these wheels need Python 3.99"),
        ("platform", "linux_vax", "these wheels are for linux_vax"),
        ("glibc", "99.0", "these wheels need glibc 99.0 or newer"),
    ],
)
def test_another_machine_is_told_what_it_lacks(touched: Path, tmp_path: Path, key: str, value: str, told: str) -> None:
    lines = (touched / "TARGET").read_text().splitlines()
    other = "".join(f"{key}={value}\n" if line.startswith(f"{key}=") else f"{line}\n" for line in lines).encode()
    before = hashlib.sha256((touched / "TARGET").read_bytes()).hexdigest()
    replace(touched / "TARGET", other)
    sums = (touched / "SHA256SUMS").read_text().replace(before, hashlib.sha256(other).hexdigest())
    replace(touched / "SHA256SUMS", sums.encode())
    done = run_install(touched, "--prefix", str(tmp_path / "prefix"))
    assert done.returncode == 1
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "prefix").exists()


@pytest.mark.parametrize(
    "arguments,told",
    [
        (["--prefix"], "--prefix needs a value"),
        (["--with-systemd", "jet"], "not jet"),
        (["--no-such"], "unknown argument --no-such"),
    ],
    ids=["no-value", "no-such-service", "no-such-option"],
)
def test_a_mistyped_call_is_refused(unpacked: Path, arguments: list[str], told: str) -> None:
    done = run_install(unpacked, *arguments)
    assert done.returncode == 1
    assert told in done.stderr


def test_the_archive_names_no_index(archive: Path, unpacked: Path) -> None:
    """Where this machine's packages come from is nobody's business; the wheels are as their makers published them."""
    asked = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.splitlines()
    places = {word for line in listed if "index" in line or "links" in line for word in line.split("'")[1].split()}
    texts = [path for path in unpacked.rglob("*") if path.is_file() and path.suffix != ".whl"]
    assert len(texts) > 10
    for place in {*places, "pypi"}:
        assert [path.name for path in texts if place in path.read_text()] == []
    with tarfile.open(archive) as tar:
        assert {(member.uid, member.gid, member.uname) for member in tar.getmembers()} == {(0, 0, "")}
