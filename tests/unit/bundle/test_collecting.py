"""A bundle of a machine on disk: the seed's paths, bounds, and whatever stands where a log should."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import stat
import subprocess
import tarfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from log_cases import NOW, archive_of
from pcg.bundle.collecting import Bundle, create_bundle
from pcg.bundle.limits import Limits
from pcg.bundle.manifest import bundle_name
from pcg.bundle.redacting import redact_archive
from pcg.bundle.sources import MACHINE, BundleLimits, Command, Document, Files
from pcg.cli.bundle import bundle
from pcg.errors import Conflict, InvalidInput

FILES = tuple(source for source in MACHINE if isinstance(source, Files))
LINE = b"Feb  3 07:10:00 node-a kubelet[1]: token=q7h3secretvalue\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A machine: its logs, and traps among them."""
    root = tmp_path / "machine"
    logs = root / "var/log"
    for folder in ("containers", "pods/a/jet"):
        (logs / folder).mkdir(parents=True)
    for name in ("cloud-init.log", "cloud-init-output.log", "kern.log", "syslog", "pods/a/jet/0.log"):
        (logs / name).write_bytes(LINE)
    (logs / "syslog.2.gz").write_bytes(gzip.compress(LINE))
    (logs / "containers/jet_pcg_jet-1.log").symlink_to(logs / "pods/a/jet/0.log")
    (root / "etc").mkdir()
    (root / "etc/shadow").write_text("root:x\n")
    (logs / "containers/out.log").symlink_to(root / "etc/shadow")
    (logs / "containers/loop.log").symlink_to(logs / "containers/loop.log")
    (logs / "containers/gone.log").symlink_to(logs / "pods/none.log")
    os.mkfifo(logs / "containers/fifo.log")
    (logs / "syslog.journal").write_bytes(b"LPKSHHRH" + b"\0" * 600)
    return root


def made(root: Path, tmp_path: Path, **more: object) -> Bundle:
    options = {"machine": FILES, **more}
    return asyncio.run(create_bundle(tmp_path, NOW, root=root, **options))  # type: ignore[arg-type]


def contents(found: Bundle) -> dict[str, bytes]:
    with tarfile.open(found.path) as tar:
        return {one.name: tar.extractfile(one).read() for one in tar.getmembers()}  # type: ignore[union-attr]


def test_the_seeds_paths_and_what_was_left_out(root: Path, tmp_path: Path) -> None:
    found = made(root, tmp_path)
    inside = contents(found)
    assert found.path.name == bundle_name(NOW) and found.path.name.startswith("spectro-logs-2026")
    assert stat.S_IMODE(found.path.stat().st_mode) == 0o600
    assert sorted(inside) == sorted(
        ["manifest.json", "var/log/containers/jet_pcg_jet-1.log", "var/log/syslog.2"]
        + [f"var/log/{name}" for name in ("cloud-init.log", "cloud-init-output.log", "kern.log", "syslog")]
    )
    assert inside["var/log/syslog.2"] == LINE.replace(b"q7h3secretvalue", b"[redacted]")
    skipped = {item.name.rpartition("/")[2]: item.skipped for item in found.manifest.items if item.skipped}
    assert skipped == {
        "out.log": "a link that leads out of the folders of logs; not followed",
        "loop.log": skipped["loop.log"],
        "gone.log": "a link that leads nowhere",
        "fifo.log": "not a plain file; not opened",
        "syslog.journal": "a binary journal; export it as text with `journalctl --file`",
    }
    assert (
        json.loads(inside["manifest.json"])["items"]
        and [one for one in tmp_path.iterdir() if ".part" in one.name] == []
    )


def test_bounds_of_items_and_of_all(root: Path, tmp_path: Path) -> None:
    (root / "var/log/syslog").write_bytes(b"old line\n" * 1000 + b"the newest\n")
    found = made(root, tmp_path, limits=BundleLimits(item_bytes=500))
    assert contents(found)["var/log/syslog"].endswith(b"the newest\n")
    item = next(item for item in found.manifest.items if item.name == "var/log/syslog")
    assert item.bytes <= 500 and "first" in item.truncated
    found = made(root, tmp_path, limits=BundleLimits(total_bytes=60))
    assert "the bundle is full" in [item.skipped for item in found.manifest.items]


def test_commands_are_bounded_and_their_absence_told(root: Path, tmp_path: Path) -> None:
    commands = (
        Command("a.log", ("printf", "password=q7secretvalue")),
        Command("b.log", ("pcg-no-such-program",)),
        Command("c.log", ("sh", "-c", "echo begun; exec sleep 60")),
        Command("d.log", ("true",)),
        Command("e.log", ("yes",)),
    )
    found = made(root, tmp_path, machine=commands, limits=BundleLimits(item_seconds=0.5, item_bytes=100_000))
    items, inside = {item.name: item for item in found.manifest.items}, contents(found)
    assert inside["a.log"] == b"password=[redacted]" and inside["c.log"] == b"begun\n"
    assert items["b.log"].skipped == "pcg-no-such-program is not installed"
    assert "too long" in items["c.log"].truncated and items["d.log"].skipped == "it printed nothing"
    assert items["e.log"].bytes == 100_000


def test_documents_that_fail_or_hang_do_not_end_it(root: Path, tmp_path: Path) -> None:
    async def fails() -> object:
        raise ValueError("password=q7secretvalue")

    async def hangs() -> object:
        await asyncio.Event().wait()

    given = [Document("probes", {"password": "q7secret", "ok": True}), Document("bad", fails), Document("slow", hangs)]
    found = made(root, tmp_path, documents=given, machine=(), limits=BundleLimits(item_seconds=0.1))
    assert json.loads(contents(found)["pcg/probes.json"]) == {"password": "[redacted]", "ok": True}
    assert [item.skipped for item in found.manifest.items if item.skipped] == [
        "it could not be told: ValueError",
        "it was not there within 0.1 s",
    ]


def test_a_cancelled_caller_leaves_nothing(root: Path, tmp_path: Path) -> None:
    endless = (Command("e.log", ("yes",)),)

    async def run() -> None:
        begun = asyncio.Event()
        loop = asyncio.get_running_loop()
        work = asyncio.create_task(
            create_bundle(
                tmp_path, NOW, root=root, machine=endless, progress=lambda line: loop.call_soon_threadsafe(begun.set)
            )
        )
        await begun.wait()
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work

    asyncio.run(run())
    assert [one.name for one in tmp_path.iterdir()] == ["machine"]


def test_redact_never_overwrites_and_leaves_secret_files_out(tmp_path: Path) -> None:
    archive = tmp_path / "spectro-logs-1.tgz"
    archive.write_bytes(
        archive_of({"var/log/syslog": LINE, "etc/kubernetes/admin.conf": b"x: y\n", "manifest.json": b"{}"})
    )
    before = archive.read_bytes()
    found = redact_archive(archive, NOW)
    assert found.path.name == "spectro-logs-1-redacted.tgz" and archive.read_bytes() == before
    assert sorted(contents(found)) == ["manifest.json", "pcg/manifest-before.json", "var/log/syslog"]
    with pytest.raises(Conflict):
        redact_archive(archive, NOW)
    archive.write_bytes(b"\0" * 4096)
    with pytest.raises(InvalidInput):
        redact_archive(archive, NOW)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["spectro-logs-1-redacted.tgz", "spectro-logs-1.tgz"]


def test_a_bomb_is_cut_and_told(tmp_path: Path) -> None:
    archive = tmp_path / "bomb.tgz"
    archive.write_bytes(archive_of({"var/log/syslog": b"word \n" * 2_000_000}))
    found = redact_archive(archive, NOW, limits=Limits(total_bytes=1 << 20))
    assert [item.skipped for item in found.manifest.items if item.name == "(the rest)"]
    assert sum(item.bytes for item in found.manifest.items) <= 1 << 20


def test_the_command(tmp_path: Path) -> None:
    archive = tmp_path / "logs.tgz"
    archive.write_bytes(archive_of({"var/log/syslog": LINE + b"see fileserver.acme.test\n"}))
    arguments = ["redact", str(archive), "--pseudonyms", "--map-file", str(tmp_path / "map")]
    told = CliRunner().invoke(bundle, [*arguments, "--support-address", "help@example.com"])
    assert told.exit_code == 0 and told.stdout.strip() == str(tmp_path / "logs-redacted.tgz")
    assert "send it to help@example.com" in told.stderr
    assert "fileserver.acme.test" in json.loads((tmp_path / "map").read_text())
    assert stat.S_IMODE((tmp_path / "map").stat().st_mode) == 0o600


def test_a_file_of_logs_is_never_larger_than_it_may_be(root: Path, tmp_path: Path) -> None:
    """What packs badly too: the file that does not fit is cut, and what comes after it is told."""
    noise = "\n".join(os.urandom(40).hex() for _ in range(20_000)).encode()
    for name in ("cloud-init-output.log", "kern.log", "syslog"):
        (root / "var/log" / name).write_bytes(noise)
    found = made(root, tmp_path, limits=BundleLimits(packed_bytes=1_500_000))
    assert 1_200_000 < found.size < 1_550_000
    listed = subprocess.run(["tar", "tzf", found.path], check=True, capture_output=True, text=True).stdout.split()
    packed = contents(found)
    assert sorted(listed) == sorted(packed)
    assert packed["var/log/cloud-init-output.log"] == noise
    kernel = packed["var/log/kern.log"]
    assert noise.endswith(kernel) and noise[-len(kernel) - 1 : -len(kernel)] == b"\n"  # the newest whole lines
    assert "var/log/syslog" not in packed
    items = {item.name: item for item in found.manifest.items}
    assert "the bundle is full" in items["var/log/kern.log"].truncated
    assert items["var/log/kern.log"].bytes == len(packed["var/log/kern.log"])
    assert items["(the rest)"].skipped == "the bundle is full"
