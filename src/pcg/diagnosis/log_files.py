"""What kind of log a file is, by its name, and where its lines stand in time among rotated files. No input or
output."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """The files that the vendor's script collects, by what writes them. A line of syslog may count as another kind."""

    CLOUD_INIT = "cloud-init.log"
    OUTPUT = "cloud-init-output.log"
    KERNEL = "kern.log"
    KUBELET = "the kubelet's journal"
    SYSLOG = "syslog"
    CONTAINER = "container logs"
    OTHER = "other text"


@dataclass(frozen=True)
class LogFile:
    name: str
    kind: Kind
    stream: str
    """the name without its rotation: `syslog` for `syslog.2.gz`"""
    age: int
    """0 for the file in use, 1 for the last rotated one, and so on"""
    machine: str = ""
    """whose log it is, where a folder holds those of several: the path before `var/log` or `tmp`"""
    modified: float = 0.0
    pod: str = ""
    namespace: str = ""
    container: str = ""


_ROTATED = re.compile(r"(?:[.-](?P<number>\d{1,3}|\d{8}(?:-\d+)?))?(?:\.(?:gz|xz|bz2))?$")
_CONTAINER = re.compile(
    r"(?:^|/)(?P<pod>[a-z0-9][a-z0-9.-]*)_(?P<namespace>[a-z0-9-]+)_(?P<container>[a-z0-9-]+?)(?:-"
    r"[0-9a-f]{12,64})?\.log"
)
_POD_FOLDER = re.compile(
    r"(?:^|/)pods/(?P<namespace>[a-z0-9-]+)_(?P<pod>[a-z0-9.-]+)_[0-9a-f-]{8,}/(?P<container>[a-z0-9-]+)/"
)
_MACHINE = re.compile(r"^(?P<machine>.*?)/?(?:var/log/|tmp/|$)")
_NAMES = (
    (Kind.OUTPUT, re.compile(r"cloud-init-output|^install(?:er)?\b.*\.log|bootstrap.*\.log", re.I)),
    (Kind.CLOUD_INIT, re.compile(r"cloud-init", re.I)),
    (Kind.KERNEL, re.compile(r"^kern(?:el)?\b|^dmesg", re.I)),
    (Kind.KUBELET, re.compile(r"kubelet", re.I)),
    (
        Kind.SYSLOG,
        re.compile(r"^syslog|^messages|journal|^daemon\.log|^system\.log|^chrony|^networkd|^boot\.log", re.I),
    ),
)


def log_file(name: str, modified: float = 0.0) -> LogFile:
    """By the path within the archive."""
    base = name.rpartition("/")[2]
    rotated = _ROTATED.search(base)
    number = (rotated["number"] or "0") if rotated else "0"
    stem = base[: rotated.start()] if rotated else base
    folder = name[: len(name) - len(base)]
    # A dated one (syslog-20260102): the later the date, the younger.
    age = 99_999_999 - int(number[:8]) if len(number) > 3 else int(number)
    of = _MACHINE.match(folder)
    machine = of["machine"] if of and of.end() > of.end("machine") else ""
    if found := _POD_FOLDER.search(name) or _CONTAINER.search(name):
        parts = found.groupdict()
        stream = f"{folder}{stem}" if "/pods/" not in f"/{name}" else folder
        pod, namespace, container = parts["pod"], parts["namespace"], parts["container"]
        return LogFile(name, Kind.CONTAINER, stream, age, machine, modified, pod, namespace, container)
    kind = next((kind for kind, pattern in _NAMES if pattern.search(base)), Kind.OTHER)
    if kind is Kind.OTHER and re.search(r"(?:^|/)(?:containers|pods)/", name):
        kind = Kind.CONTAINER
    return LogFile(name, kind, folder + stem, age, machine, modified)
