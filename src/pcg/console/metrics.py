"""What `/metrics` tells: counts that are kept while the process runs, and Prometheus' text format for them.

`service.py` holds the one `Counts`; `app.py` puts `CountedRequests` round the application, `api/gateway_side.py` counts
refusals, `api/health.py` writes all of it down. Labels come from closed lists (routes, reasons), never from a request:
whoever knocks cannot make the number of series grow.
"""

from __future__ import annotations

import resource
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pcg.errors import PcgError

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_STARTED = time.time()

Labels = tuple[tuple[str, str], ...]


class Counts:
    """All since this process started."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str, str]] = Counter()
        """by method, route and status"""
        self.under_way = 0
        self.refused_registrations: Counter[str] = Counter()
        """by the reason that the installer was told"""

    @contextmanager
    def counting_refusals(self) -> Iterator[None]:
        try:
            yield
        except PcgError as error:
            self.refused_registrations[error.reason] += 1
            raise


class CountedRequests:
    """The outermost layer, so that what is refused by others is counted too."""

    def __init__(self, app: ASGIApp, counts: Counts) -> None:
        self._app = app
        self._counts = counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = "500"

        async def send_watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        self._counts.under_way += 1
        try:
            await self._app(scope, receive, send_watched)
        finally:
            self._counts.under_way -= 1
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self._counts.requests[method, _route(scope), status] += 1


def _route(scope: Scope) -> str:
    """As it is written in the code, `/gateways/{gateway_id}`; what no route was found for is one and the same.

    A route of FastAPI knows its own part only, so the prefixes of its routers are taken from the path, where values of
    the request give way to their names.
    """
    own = str(getattr(scope.get("route"), "path", ""))
    if not own:
        return "none"
    prefix = scope["path"].split("/")[: -own.count("/")] if own.count("/") else []
    for name, value in scope.get("path_params", {}).items():
        if f"{{{name}}}" not in own and str(value) in prefix:
            last = len(prefix) - 1 - prefix[::-1].index(str(value))
            prefix[last] = f"{{{name}}}"
    return "/".join(prefix) + own


def family(name: str, kind: str, meaning: str, values: Mapping[Labels, float] | float) -> list[str]:
    """The lines of one metric."""
    samples = values if isinstance(values, Mapping) else {(): values}
    lines = [f"# HELP {name} {meaning}", f"# TYPE {name} {kind}"]
    return lines + [f"{name}{_written(labels)} {value:.17g}" for labels, value in samples.items()]


def process_families() -> list[str]:
    """Under the names that every Prometheus client gives them; what this system does not tell is left out."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    lines = family("process_cpu_seconds_total", "counter", "CPU time used.", used.ru_utime + used.ru_stime)
    lines += family("process_start_time_seconds", "gauge", "When this process began, as Unix time.", _STARTED)
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        files = len(list(Path("/proc/self/fd").iterdir()))
    except OSError:
        return lines  # only Linux has these
    lines += family("process_resident_memory_bytes", "gauge", "Memory in use.", pages * resource.getpagesize())
    lines += family("process_open_fds", "gauge", "Open files and connections.", files)
    return lines


def text(families: Iterable[list[str]]) -> str:
    return "\n".join(line for lines in families for line in lines) + "\n"


def _written(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
