"""Builds the vCenter simulator once and keeps the program in a cache.

Called by `launcher.py` and by whoever prepares a machine. A build takes about 20 s; its result is named after the
SHA-256 of the Go sources, so a changed source is built anew and an unchanged one never.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from pcg.errors import GiveUp, SetupMissing

SOURCES = Path(__file__).parent / "vcenter"
GOVMOMI = Path("src/github.com/vmware/govmomi/simulator")
DEBIAN_GOPATH = Path("/usr/share/gocode")
BUILD_DEADLINE = 900.0
"""seconds; a slow machine that shares its cores needs minutes, never more"""

MISSING = (
    "The vCenter simulator needs Debian's packages golang-go and golang-github-vmware-govmomi-dev: "
    "apt-get install golang-go golang-github-vmware-govmomi-dev"
)


def default_cache() -> Path:
    """`$XDG_CACHE_HOME/pcg`, or `~/.cache/pcg`."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "pcg"


def program_path(cache: Path | None = None) -> Path:
    """Where the program for the present sources lies, built or not."""
    digest = hashlib.sha256()
    for source in sorted(SOURCES.glob("*.go")):
        digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    return (cache or default_cache()) / f"vcenter-{digest.hexdigest()[:32]}"


def build(cache: Path | None = None) -> Path:
    """The program, built if need be; blocks meanwhile. Raises SetupMissing when Go or the library is not installed.

    Several builds at once are safe: one builds, the others wait for it and use its result.
    """
    program = program_path(cache)
    if program.is_file():
        return program
    go = shutil.which("go")
    if go is None or not (DEBIAN_GOPATH / GOVMOMI).is_dir():
        raise SetupMissing(MISSING, reason="simulator-packages-missing")
    program.parent.mkdir(parents=True, exist_ok=True)
    with (program.parent / "vcenter.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.is_file():
            _compile(go, program)
    return program


def _compile(go: str, program: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="vcenter-build-", dir=program.parent) as workshop:
        built = Path(workshop) / "vcenter"
        environment = dict(os.environ, GO111MODULE="off", GOPATH=str(DEBIAN_GOPATH), GOFLAGS="", CGO_ENABLED="0")
        if "HOME" not in environment and "XDG_CACHE_HOME" not in environment:
            environment["GOCACHE"] = str(Path(workshop) / "go-build")  # Go refuses to build without one
        names = sorted(source.name for source in SOURCES.glob("*.go"))
        try:
            done = subprocess.run(
                [go, "build", "-o", str(built), *names],
                cwd=SOURCES,
                env=environment,
                capture_output=True,
                text=True,
                timeout=BUILD_DEADLINE,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise GiveUp("The vCenter simulator could not be built in time.", reason="simulator-build") from error
        if done.returncode != 0:
            raise GiveUp(
                "The vCenter simulator could not be built.",
                reason="simulator-build",
                evidence=done.stderr.strip().splitlines()[-20:],
            )
        built.replace(program)  # atomic: nobody ever sees half a program
