"""One line of a log taken apart: when, which program, what it says. Used by the scanner for candidate lines only.

kubelet, klog     E0102 15:04:05.000000    1187 server.go:12] "Starting"
containerd (CRI)  2026-01-02T15:04:05.123456789Z stderr F text
syslog            Jan  2 15:04:05 host dhclient[712]: No DHCPOFFERS received.
journalctl, ISO   2026-01-02T15:04:05+0000 host chronyd[1]: text
cloud-init        2026-01-02 15:04:05,123 - util.py[WARNING]: text
logrus, JSON      time="2026-01-02T15:04:05Z" level=error msg="text"
kernel            [   12.345678] vmxnet3 0000:0b:00.0 ens192: NIC Link is Down
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta, timezone
from functools import cached_property
from typing import Any

from pcg.diagnosis.log_files import Kind, LogFile
from pcg.diagnosis.log_search import Search, lower_ascii

_MOST_TEXT = 4096
_LAST_WORD = re.compile(rb"\w+\Z")
_CLOCK = r"(?P<clock>\d\d:\d\d:\d\d)(?:[.,](?P<fraction>\d{1,9}))?"
_ISO = re.compile(rf"\[?(?P<date>\d{{4}}-\d\d-\d\d)[T ]{_CLOCK}[ ]?(?P<zone>Z|UTC|[+-]\d\d:?\d\d)?\]?(?!\w)[ ]?")
_NAMED = re.compile(rf'"?\b(?:time|ts|timestamp)"?[=:] ?"{_ISO.pattern}')
_CRI = re.compile(r"(?P<stream>stdout|stderr) (?P<part>[FP])(?:$|[ ])")
_SYSLOG = re.compile(rf"(?:<\d+>)?(?P<month>[A-Z][a-z]{{2}})[ ]+(?P<day>\d{{1,2}}) (?:(?P<year>\d{{4}}) )?{_CLOCK} ")
_HOST_AND_PROGRAM = re.compile(r"(?P<host>[\w.-]+) (?P<program>[\w./@+-]+?)(?:\[\d+\])?: ")
_MODULE = re.compile(r"- (?P<module>[\w./-]+)\[(?P<level>\w+)\]: ")
_KLOG = re.compile(rf"(?P<level>[IWEF])(?P<month>\d\d)(?P<day>\d\d) {_CLOCK} +\d+ [\w./-]+:\d+\] ?")
_KERNEL = re.compile(r"\[[ ]*(?P<uptime>\d{1,10}\.\d{1,6})\] ")
_MONTHS = {
    name: number
    for number, name in enumerate(
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"], 1
    )
}
_PROGRAMS = {"kernel": Kind.KERNEL, "kubelet": Kind.KUBELET, "cloud-init": Kind.OUTPUT}


@dataclass(frozen=True)
class LogLine:
    file: LogFile
    number: int
    kind: Kind
    """what wrote it: a kubelet line within syslog is the kubelet's"""
    program: str
    time: datetime | None
    text: str
    """the whole line, bounded"""
    message: str
    """without stamps and source"""
    known: dict[Hashable, Any] = field(default_factory=dict, compare=False, repr=False)
    """what was asked about it already (`log_context`), since many signatures ask the same"""

    @cached_property
    def low(self) -> str | None:
        """The message for `Search`."""
        return lower_ascii(self.message)

    def search(self, search: Search) -> re.Match[str] | None:
        return search(self.message, self.low)

    def forget(self) -> None:
        """What was only for judging it: many lines are kept, and shall take no more than their text."""
        self.known.clear()
        vars(self).pop("low", None)

    @property
    def source(self) -> str:
        if self.file.pod:
            return f"container {self.file.container} of pod {self.file.namespace}/{self.file.pod}"[:128]
        return (self.program or str(self.kind))[:128]


def parse_line(raw: bytes, number: int, file: LogFile, now: datetime) -> LogLine:
    """Never raises: what has no known stamp is a line without a time. `now` tells the year where a line names none."""
    if len(raw) > _MOST_TEXT:
        # Not within a word, which might look like another one then.
        raw = _LAST_WORD.sub(b"", raw[:_MOST_TEXT])
    text = _decoded(raw).rstrip("\r\n")
    rest, kind, program, time = text, file.kind, file.container, None
    if found := _ISO.match(rest):
        time, rest = _moment(found), rest[found.end() :]
    elif found := _SYSLOG.match(rest):
        time, rest = _dated(found["year"], found["month"], found["day"], found, file, now), rest[found.end() :]
    if found := _CRI.match(rest):
        rest = rest[found.end() :]
    elif (found := _MODULE.match(rest)) and time:
        rest, program = rest[found.end() :], found["module"]
    elif time and (found := _HOST_AND_PROGRAM.match(rest)):
        rest, program = rest[found.end() :], found["program"]
        kind = _PROGRAMS.get(program.rpartition("/")[2].strip("()"), kind)
    if time is None and (found := _NAMED.search(rest)):
        time = _moment(found)
    if found := _KLOG.match(rest):
        time = _dated(None, found["month"], found["day"], found, file, now) or time
        rest = rest[found.end() :]
    elif found := _KERNEL.match(rest):
        rest = rest[found.end() :]
    return LogLine(file, number, kind, program, time, text, rest)


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.end >= len(raw) - 4 and error.start > len(raw) - 5:
            return raw.decode("utf-8", "replace")
        return raw.decode("latin-1")


def _moment(found: re.Match[str]) -> datetime | None:
    try:
        moment = datetime.fromisoformat(f"{found['date']}T{found['clock']}")
    except ValueError:
        return None
    zone = UTC
    if (named := found["zone"]) and named not in ("Z", "UTC"):
        hours, minutes = int(named[1:3]), int(named[-2:])
        if hours < 24 and minutes < 60:
            offset = timedelta(hours=hours, minutes=minutes)
            zone = timezone(-offset if named[0] == "-" else offset)
    try:
        return (moment + _fraction(found)).replace(tzinfo=zone).astimezone(UTC)
    except OverflowError:
        return None


def _dated(
    year: str | None, month: str, day: str, found: re.Match[str], file: LogFile, now: datetime
) -> datetime | None:
    """Without a year: the one that puts the line before the file's last change, a day allowed for zones."""
    number = _MONTHS.get(month) or (int(month) if month.isdecimal() else 0)
    try:
        last = datetime.fromtimestamp(file.modified, UTC) if file.modified > 0 else now
        clock = time.fromisoformat(found["clock"])
        moment = datetime(int(year) if year else last.year, number, int(day), tzinfo=UTC)
        moment = datetime.combine(moment, clock, UTC) + _fraction(found)
        if not year and moment > last + timedelta(days=2):
            moment = moment.replace(year=moment.year - 1)
    except (ValueError, OverflowError, OSError):
        return None
    return moment


def _fraction(found: re.Match[str]) -> timedelta:
    return timedelta(microseconds=int((found["fraction"] or "0").ljust(6, "0")[:6]))
