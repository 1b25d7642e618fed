"""The guest's log files in the formats that the real programs write: people and diagnosis read them as such.

Paths follow the seed's log archive: kern.log, syslog, cloud-init.log, cloud-init-output.log, containers/, kubelet.log.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from pcg.clock import Clock

CLOUD_INIT_VERSION = "23.4.4-0ubuntu0~22.04.1"


class GuestLogs:
    """`host_name` may change during boot; lines written after carry the new one."""

    def __init__(self, folder: Path, clock: Clock, speed: float) -> None:
        self.host_name = "ubuntu"
        self._clock = clock
        self._speed = speed
        self._powered_on = clock.monotonic()
        self._log = folder / "var" / "log"
        self._kubelet = folder / "tmp" / "kubelet.log"
        (self._log / "containers").mkdir(parents=True, exist_ok=True)
        self._kubelet.parent.mkdir(parents=True, exist_ok=True)

    @property
    def uptime(self) -> float:
        """In the guest's own seconds."""
        return (self._clock.monotonic() - self._powered_on) * self._speed

    def kernel(self, message: str) -> None:
        self._append("kern.log", f"{self._stamp()} {self.host_name} kernel: [{self.uptime:12.6f}] {message}")

    def system(self, program: str, message: str, pid: int = 0) -> None:
        who = f"{program}[{pid}]" if pid else program
        self._append("syslog", f"{self._stamp()} {self.host_name} {who}: {message}")

    def cloud_init(self, module: str, level: str, message: str) -> None:
        """`module` as `cc_write_files.py`; WARNING and above also go to the output log, as cloud-init's do."""
        now = self._clock.now()
        stamp = f"{now:%Y-%m-%d %H:%M:%S},{now.microsecond // 1000:03d}"
        self._append("cloud-init.log", f"{stamp} - {module}[{level}]: {message}")
        if level not in ("DEBUG", "INFO"):
            self.output(f"{stamp} - {module}[{level}]: {message}")

    def stage(self, stage: str) -> None:
        """The line with which each of cloud-init's four stages begins."""
        line = f"Cloud-init v. {CLOUD_INIT_VERSION} running '{stage}' at {self._date()}. Up {self.uptime:.2f} seconds."
        self.cloud_init("util.py", "DEBUG", line)
        self.output(line)

    def finished(self, data_source: str) -> None:
        line = (
            f"Cloud-init v. {CLOUD_INIT_VERSION} finished at {self._date()}. Datasource {data_source}.  "
            f"Up {self.uptime:.2f} seconds"
        )
        self.cloud_init("util.py", "DEBUG", line)
        self.output(line)

    def output(self, text: str) -> None:
        """What the stages and the commands print."""
        self._append("cloud-init-output.log", text)

    def kubelet(self, message: str, *, level: str = "I", source: str = "kubelet.go:2400") -> None:
        """As `journalctl -u kubelet` shows klog's lines; `level` is I, W or E."""
        now = self._clock.now()
        line = (
            f"{self._stamp()} {self.host_name} kubelet[1187]: {level}{now:%m%d %H:%M:%S.%f}    1187 {source}] {message}"
        )
        _write(self._kubelet, line)

    def container_path(self, pod: str, namespace: str, container: str, container_id: str) -> Path:
        return self._log / "containers" / f"{pod}_{namespace}_{container}-{container_id}.log"

    def container(self, path: Path, stream: str, line: str) -> None:
        """The CRI's format: time with nanoseconds, stream, F for a full line."""
        now = self._clock.now()
        _write(path, f"{now:%Y-%m-%dT%H:%M:%S.%f}000Z {stream} F {line}")

    def _append(self, name: str, line: str) -> None:
        _write(self._log / name, line)

    def _stamp(self) -> str:
        return syslog_time(self._clock.now())

    def _date(self) -> str:
        return f"{self._clock.now():%a, %d %b %Y %H:%M:%S} +0000"


def syslog_time(moment: datetime) -> str:
    """RFC 3164: the day of the month padded with a blank."""
    return f"{moment:%b} {moment.day:2d} {moment:%H:%M:%S}"


def _write(path: Path, line: str) -> None:
    with path.open("a", encoding="utf-8", errors="replace") as file:
        file.write(line + "\n")
