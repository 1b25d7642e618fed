"""What a bundle is made of, as declarations: files, commands, documents. `collecting.py` goes through them in order.

Files and commands are those of the seed's script, under the same names in the archive (`/var/log/containers/`,
`/var/log/cloud-init.log`, `cloud-init-output.log`, `kern.log`, `/tmp/kubelet.log`, `/var/log/syslog*`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from pcg.bundle.limits import MEBIBYTE


@dataclass(frozen=True)
class BundleLimits:
    """Bytes before packing, but `packed_bytes`."""

    item_bytes: int = 64 * MEBIBYTE
    item_seconds: float = 60.0
    total_bytes: int = 512 * MEBIBYTE
    packed_bytes: int = 256 * MEBIBYTE
    seconds: float = 300.0
    files: int = 2000


@dataclass(frozen=True)
class Files:
    """Plain files that match; a link is followed only to below one of `within`, as the links of
    /var/log/containers lead to /var/log/pods or to the container runtime's own folder."""

    pattern: str
    """a path with `*`, without its leading slash"""
    within: tuple[str, ...] = ("var/log",)


@dataclass(frozen=True)
class Command:
    """What it prints, as a file of the archive. Never run through a shell."""

    name: str
    arguments: tuple[str, ...]


@dataclass(frozen=True)
class Document:
    """What a part of the gateway knows: JSON values, or what gives them when it is asked, bounded in time.

    `name` without folder and ending: `steps` becomes `pcg/steps.json`.
    """

    name: str
    content: Any | Callable[[], Awaitable[Any]]


Source = Files | Command | Document

_KUBELET_LINES = "--lines=400000"
"""the latest ones: of a longer journal its end counts"""

MACHINE: tuple[Files | Command, ...] = (
    Files("var/log/cloud-init.log"),
    Files("var/log/cloud-init-output.log"),
    Files("var/log/kern.log"),
    Command("tmp/kubelet.log", ("journalctl", "--unit=kubelet", "--no-pager", "--quiet", _KUBELET_LINES)),
    Files("var/log/syslog*"),
    Files("var/log/containers/*", within=("var/log", "var/lib/docker/containers")),
)
