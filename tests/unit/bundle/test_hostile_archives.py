"""Archives from strangers: bounded, refused or defused, told, and never a traceback."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import tarfile
import time
import tracemalloc
import zlib
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from log_cases import NOW, archive_of
from pcg.bundle.limits import Limits
from pcg.bundle.reading import LogReading, read_logs
from pcg.cli.doctor import doctor
from pcg.cli.main import main
from pcg.errors import InvalidInput

FULL = b"Feb  3 07:10:00 node-a rsyslogd: write error: No space left on device\n"
DISK = "disk-full/node-disk-full"
SLOW = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def read(path: Path, content: bytes, limits: Limits | None = None) -> LogReading:
    path.write_bytes(content)
    return read_logs(path, NOW, limits)


def found(reading: LogReading) -> list[str]:
    return [f"{one.scenario}/{one.cause}" for one in reading.verdict.findings]


def reasons(reading: LogReading) -> str:
    return "\n".join(f"{name}: {reason}" for name, reason in reading.unread)


PACKINGS = {
    "plain": lambda data: data,
    "gzip": gzip.compress,
    "xz": lzma.compress,
    "bzip2": bz2.compress,
    "two gzip streams": lambda data: gzip.compress(data[:9]) + gzip.compress(data[9:]),
}


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("tar", [True, False])
def test_packings(tmp_path: Path, packing: str, tar: bool) -> None:
    content = archive_of({"var/log/syslog": FULL}, "w") if tar else FULL
    reading = read(tmp_path / "logs", PACKINGS[packing](content))
    assert found(reading) == [DISK]
    assert reading.unread == []
    assert reading.verdict.findings[0].evidence[0].line == 1


@pytest.mark.parametrize("name", ["var/log/syslog.1", "var/log/syslog.2.gz", "var/log/syslog.3.xz"])
def test_rotated_and_packed_members(tmp_path: Path, name: str) -> None:
    content = {"gz": gzip.compress, "xz": lzma.compress}.get(name[-2:], lambda data: data)(FULL)
    assert found(read(tmp_path / "a.tgz", archive_of({name: content}))) == [DISK]


def test_a_rotated_file_comes_before_the_one_in_use(tmp_path: Path) -> None:
    kubelet = "I0203 07:10:00.000001    1187 kubelet_node_status.go:671] event="
    late, early = f'{kubelet}"NodeHasNoDiskPressure"\n', f'{kubelet}"NodeHasDiskPressure"\n'
    files = {"tmp/kubelet.log": late.encode(), "tmp/kubelet.log.1": early.encode()}
    assert found(read(tmp_path / "a.tgz", archive_of(files))) == []
    files = {"tmp/kubelet.log": early.encode(), "tmp/kubelet.log.1": late.encode()}
    assert found(read(tmp_path / "b.tgz", archive_of(files))) == [DISK]


@pytest.mark.parametrize(
    "content",
    [
        FULL.decode().encode("utf-16"),
        b"\xfe\xff" + FULL.decode().encode("utf-16-be"),
        b"\xef\xbb\xbf" + FULL,
        "Grüße, äöü\n".encode("latin-1") + FULL,
        b"\xff\xfa\x80 broken\n" + FULL,
        FULL.replace(b"\n", b"\r\n"),
        FULL.rstrip(b"\n"),
    ],
    ids=["utf-16", "utf-16-be", "utf-8 with mark", "latin-1", "invalid", "crlf", "no newline"],
)
def test_encodings(tmp_path: Path, content: bytes) -> None:
    assert found(read(tmp_path / "syslog", content)) == [DISK]


def test_a_folder_with_links_devices_and_archives(tmp_path: Path) -> None:
    root = tmp_path / "logs"
    (root / "var" / "log" / "pods").mkdir(parents=True)
    outside = tmp_path / "secret"
    outside.write_bytes(FULL)
    (root / "var" / "log" / "syslog").symlink_to(outside)
    (root / "var" / "log" / "loop").symlink_to(root)
    (root / "var" / "log" / "nowhere").symlink_to("missing")
    os.mkfifo(root / "var" / "log" / "pipe")
    (root / "var" / "log" / "pods" / "real.log").write_bytes(b"nothing\n")
    (root / "var" / "log" / "inside.log").symlink_to("pods/real.log")
    (root / "more.tgz").write_bytes(archive_of({"var/log/syslog": b"nothing\n"}))
    reading = read_logs(root, NOW)
    assert found(reading) == []
    told = reasons(reading)
    assert "var/log/syslog: a link that leads out of the folder" in told
    assert "var/log/loop: a link to a folder" in told
    assert "var/log/nowhere: a link that leads nowhere" in told
    assert "var/log/pipe: not a plain file" in told
    assert reading.files == 3


def _member(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    return member


def test_an_archive_with_strange_members(tmp_path: Path) -> None:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as tar:
        tar.addfile(_member("var/log/syslog", tarfile.SYMTYPE, "/etc/shadow"))
        tar.addfile(_member("var/log/hard", tarfile.LNKTYPE, "../../etc/passwd"))
        tar.addfile(_member("dev/sda", tarfile.BLKTYPE))
        tar.addfile(_member("run/pipe", tarfile.FIFOTYPE))
        nested = archive_of({"var/log/syslog": FULL})
        for name, content in {
            "../../etc/cron.d/evil": FULL,
            "inner.tgz": nested,
            "a" * 300 + "/syslog": b"x\n",
        }.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    before = sorted(tmp_path.iterdir())
    reading = read(tmp_path / "a.tgz", raw.getvalue())
    told = reasons(reading)
    assert found(reading) == [DISK]
    assert reading.verdict.findings[0].evidence[0].file == "etc/cron.d/evil"
    for what in ("syslog: a link", "hard: a hard link", "sda: a device", "pipe: a pipe", "led out of the archive"):
        assert what in told
    assert "inner.tgz: an archive within an archive; not opened" in told
    assert sorted(tmp_path.iterdir()) == [*before, tmp_path / "a.tgz"]


def test_zeros_without_end_are_refused_quickly(tmp_path: Path) -> None:
    packer = zlib.compressobj(wbits=31)
    content = b"".join(packer.compress(bytes(1 << 20)) for _ in range(150)) + packer.flush()
    began = time.monotonic()
    with pytest.raises(InvalidInput) as refused:
        read(tmp_path / "zeros.gz", content)
    assert "not text" in refused.value.evidence[0]
    line = zlib.compressobj(wbits=31)
    content = b"".join(line.compress(b"a" * (1 << 20)) for _ in range(150)) + line.flush()
    reading = read(tmp_path / "line.gz", content)
    assert "unpacks to more than" in reasons(reading) and "longer than 64 KiB" in reasons(reading)
    assert time.monotonic() - began < 20


def test_too_many_members(tmp_path: Path) -> None:
    content = archive_of({f"var/log/{number}": b"x\n" for number in range(50)})
    reading = read(tmp_path / "a.tgz", content, Limits(members=20))
    assert reading.files == 20 and "more than 20 files" in reasons(reading)


def test_too_many_bytes_and_too_much_time(tmp_path: Path) -> None:
    content = archive_of({"var/log/syslog": FULL, "var/log/big": os.urandom(3 << 20).hex().encode()})
    assert "MiB when unpacked" in reasons(read(tmp_path / "a.tgz", content, Limits(total_bytes=1 << 20)))
    clock = iter(range(100_000))
    late = Limits(seconds=4.0, monotonic=lambda: float(next(clock)))
    assert "took longer than 4 s" in reasons(read(tmp_path / "a.tgz", content, late))


def test_long_lines_keep_their_beginning_and_memory_stays_small(tmp_path: Path) -> None:
    content = FULL.rstrip() + b" x" * (20 << 20) + b"\n" + FULL
    path = tmp_path / "syslog"
    path.write_bytes(content)
    read_logs(path, NOW)
    tracemalloc.start()
    reading = read_logs(path, NOW)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [item.line for item in reading.verdict.findings[0].evidence] == [1, 2]
    assert "1 lines longer than 64 KiB were cut" in reasons(reading)
    assert peak < 16 << 20


def test_terminal_escapes_are_defused(tmp_path: Path) -> None:
    hostile = b"\x1b]0;owned\x07\x1b[2J\xe2\x80\xae"
    name = "var/log/\x1b[31msyslog"
    path = tmp_path / "a.tgz"
    path.write_bytes(archive_of({name: FULL.rstrip() + hostile + b"\n"}))
    for output in ("text", "json"):
        result = CliRunner().invoke(doctor, [str(path), "--output", output])
        assert result.exit_code == 1
        assert "\x1b" not in result.stdout and "\u202e" not in result.stdout and "owned" in result.stdout


def test_every_truncation_gives_what_is_there(tmp_path: Path) -> None:
    whole = archive_of({"var/log/syslog": FULL * 3, "var/log/kern.log": os.urandom(300).hex().encode() + b"\n"})
    path = tmp_path / "a.tgz"
    seen = set()
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        try:
            reading = read_logs(path, NOW)
        except InvalidInput:
            seen.add("nothing")
            continue
        assert reading.unread and all(one.answer != "clear" for one in reading.verdict.checked)
        seen.add("found" if found(reading) else "not found")
    assert {"nothing", "found"} <= seen


@SLOW
@given(content=st.binary(max_size=4096))
def test_any_bytes(tmp_path: Path, content: bytes) -> None:
    try:
        assert read(tmp_path / "any", content).lines > 0
    except InvalidInput as refused:
        assert refused.evidence


@SLOW
@given(data=st.data(), packing=st.sampled_from(["w", "w:gz", "w:xz", "w:bz2"]))
def test_any_mutation_of_an_archive(tmp_path: Path, data: st.DataObject, packing: str) -> None:
    content = bytearray(archive_of({"var/log/syslog": FULL, "tmp/kubelet.log": b"x\n" * 50}, packing))
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    began = time.monotonic()
    try:
        reading = read(tmp_path / "any", bytes(content))
        assert set(found(reading)) <= {DISK}
    except InvalidInput as refused:
        assert refused.evidence
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "files,code",
    [
        ({"var/log/syslog": FULL}, 1),
        ({"var/log/syslog": b"nothing\n"}, 3),
        (dict.fromkeys(("var/log/cloud-init-output.log", "tmp/kubelet.log", "var/log/syslog"), b"nothing\n"), 0),
        ({"core": b"\x7fELF\0\0\0\0" * 300}, 2),
        ({}, 2),
    ],
    ids=["found", "cannot tell", "clear", "not text", "empty"],
)
def test_exit_codes(
    tmp_path: Path,
    files: dict[str, bytes],
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "a.tgz"
    path.write_bytes(archive_of(files))
    monkeypatch.setattr("sys.argv", ["pcg", "doctor", str(path), "--output", "json"])
    try:
        main()
        ended: object = 0
    except SystemExit as stopped:
        ended = stopped.code
    assert ended == code
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    if code == 2:
        assert printed.out == "" and "No log could be read" in printed.err
        return
    answer = json.loads(printed.out)
    assert {"findings", "notices", "checked", "unread"} <= set(answer)
    answers = {one["answer"] for one in answer["checked"]}
    assert answers == {0: {"clear"}, 1: {"found", "clear", "cannot-tell"}, 3: {"clear", "cannot-tell"}}[code]


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput):
        read_logs(tmp_path / "missing", NOW)


def test_a_file_full_of_what_is_looked_for_ends_in_time(tmp_path: Path) -> None:
    """Blocks that wait to be judged are dropped when the time is over, not judged for minutes."""
    file = tmp_path / "syslog"
    file.write_bytes(b"407\n" * (6 << 20))
    began = time.monotonic()
    reading = read_logs(file, NOW, Limits(seconds=2.0))
    assert [reason for _, reason in reading.unread] == ["reading took longer than 2 s; the rest is not read"]
    assert time.monotonic() - began < 20
