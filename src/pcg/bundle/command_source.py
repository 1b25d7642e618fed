"""What a command prints, as chunks, bounded in time, and killed with its children when nobody reads on. For
`collecting.py`.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator

from pcg.bundle.file_source import Skipped
from pcg.bundle.unpacking import CHUNK

_FOLDERS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_LOOK_SECONDS = 0.25


def output_of(
    arguments: tuple[str, ...], seconds: float, tell: Callable[[str], None], stopped: Callable[[], bool]
) -> Iterator[bytes]:
    """Raises Skipped when it cannot be started, or fails without a word."""
    try:
        process = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PATH": _FOLDERS, "LC_ALL": "C.UTF-8"},
            start_new_session=True,
        )
    except FileNotFoundError:
        raise Skipped(f"{arguments[0]} is not installed") from None
    except OSError as error:
        raise Skipped(f"{arguments[0]} cannot be started: {error.strerror}") from None
    return _chunks(process, arguments[0], time.monotonic() + seconds, tell, stopped)


def _chunks(
    process: subprocess.Popen[bytes],
    program: str,
    until: float,
    tell: Callable[[str], None],
    stopped: Callable[[], bool],
) -> Iterator[bytes]:
    assert process.stdout is not None
    descriptor, ended = process.stdout.fileno(), False
    try:
        while not ended and not stopped():
            if time.monotonic() > until:
                tell(f"{program} took too long; what it had printed is here")
                return
            if select.select([descriptor], [], [], _LOOK_SECONDS)[0]:
                chunk = os.read(descriptor, CHUNK)
                ended = not chunk
                if chunk:
                    yield chunk
        if ended and process.wait(timeout=max(until - time.monotonic(), 1.0)):
            tell(f"{program} ended with code {process.returncode}")
    except subprocess.TimeoutExpired:
        tell(f"{program} closed its output and did not end")
    finally:
        process.stdout.close()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
