"""Each format's time, program and message; and the kind of a file by its name."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pcg.diagnosis.log_files import Kind, log_file
from pcg.diagnosis.log_lines import parse_line

NOW = datetime(2026, 3, 1, tzinfo=UTC)
AT = datetime(2026, 2, 3, 15, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    "line,time,program,message",
    [
        ("E0203 15:04:05.000000    1187 server.go:12] text", AT, "", "text"),
        ("2026-02-03T15:04:05.000000000Z stderr F text", AT, "", "text"),
        ("Feb  3 15:04:05 host dhclient[712]: text", AT, "dhclient", "text"),
        ("Feb 03 15:04:05 host kubelet[1]: I0203 15:04:05.000000    1 a.go:1] text", AT, "kubelet", "text"),
        ("2026-02-03T16:04:05+0100 host chronyd[1]: text", AT, "chronyd", "text"),
        ("2026-02-03 15:04:05,000 - util.py[WARNING]: text", AT, "util.py", "text"),
        ("Feb  3 15:04:05 host kernel: [   12.345678] text", AT, "kernel", "text"),
        ("[   12.345678] text", None, "", "text"),
        ('time="2026-02-03T15:04:05Z" level=error', AT, "", 'time="2026-02-03T15:04:05Z" level=error'),
        ("Dec 31 23:59:59 host cron[1]: text", datetime(2025, 12, 31, 23, 59, 59, tzinfo=UTC), "cron", "text"),
        ("Feb 31 15:04:05 host cron[1]: text", None, "", "host cron[1]: text"),
        ("9999-99-99T99:99:99Z text", None, "", "text"),
        ("text", None, "", "text"),
    ],
)
def test_formats(line: str, time: datetime | None, program: str, message: str) -> None:
    parsed = parse_line(line.encode(), 7, log_file("some.txt"), NOW)
    assert (parsed.time, parsed.program, parsed.message, parsed.number) == (time, program, message, 7)


@given(st.binary(max_size=300))
def test_any_line(raw: bytes) -> None:
    assert parse_line(raw, 1, log_file("var/log/syslog", 1e9), NOW).number == 1


@pytest.mark.parametrize(
    "name,kind,age",
    [
        ("var/log/cloud-init-output.log", Kind.OUTPUT, 0),
        ("var/log/cloud-init.log.1.gz", Kind.CLOUD_INIT, 1),
        ("var/log/kern.log", Kind.KERNEL, 0),
        ("tmp/kubelet.log", Kind.KUBELET, 0),
        ("var/log/syslog.2.gz", Kind.SYSLOG, 2),
        ("var/log/containers/jet-7c9-x_pcg-system_jet-0123456789abcdef.log", Kind.CONTAINER, 0),
        ("var/log/pods/pcg-system_jet-7c9-x_0c1d2e3f-aaaa/jet/0.log", Kind.CONTAINER, 0),
        ("notes.txt", Kind.OTHER, 0),
    ],
)
def test_kinds(name: str, kind: Kind, age: int) -> None:
    file = log_file(name)
    assert (file.kind, file.age) == (kind, age)
    assert (file.container == "jet" and file.namespace == "pcg-system") == (kind is Kind.CONTAINER)


def test_a_kubelet_line_within_syslog_is_the_kubelets() -> None:
    assert parse_line(b"Feb  3 15:04:05 h kubelet[1]: x", 1, log_file("var/log/syslog"), NOW).kind is Kind.KUBELET


def test_machines_in_one_folder_are_told_apart() -> None:
    assert log_file("node-1/var/log/syslog").machine == "node-1"
    assert log_file("var/log/syslog").machine == log_file("tmp/kubelet.log").machine == ""
