"""Everything that a data center's processes answer, as it leaves them: the API, the lab's side, the edge, the API
servers of guests. What TLS would hide is kept before it is encrypted.

A piece of Python of our own runs in each of these processes before anything else does, and writes down what they send.
What the edge only passes on, from the console or from a gateway, are the words of those, and left out.
"""

from __future__ import annotations

import os
from pathlib import Path

_HOOK = '''\
import sys


def record(folder):
    import asyncio.selector_events as plain
    import asyncio.sslproto as tls
    import itertools
    import os

    numbers, files = itertools.count(), {}

    def not_said(frame):
        """By TLS, which says again what was said before it was encrypted; by a pipe, which passes on."""
        while frame is not None:
            code = frame.f_code
            if code.co_filename == tls.__file__ or (code.co_name == "_pipe" and "streams" in code.co_filename):
                return True
            frame = frame.f_back
        return False

    def listen(kind, name):
        send = getattr(kind, name)

        def recorded(self, data, *more):
            if not not_said(sys._getframe(1)):
                key = id(self)
                if key not in files:
                    files[key] = os.path.join(folder, f"{os.getpid()}-{next(numbers)}")
                with open(files[key], "ab") as file:
                    file.write(data)
            return send(self, data, *more)

        setattr(kind, name, recorded)

    listen(plain._SelectorSocketTransport, "write")
    listen(plain._SelectorDatagramTransport, "sendto")
    listen(tls._SSLProtocolTransport, "write")


if "simulate" in sys.orig_argv:
    record(%r)
'''


class Record:
    """Of the processes that are started with `environment`."""

    def __init__(self, folder: Path) -> None:
        self._said = folder / "said"
        self._said.mkdir(parents=True)
        hook = folder / "hook"
        hook.mkdir()
        (hook / "sitecustomize.py").write_text(_HOOK % str(self._said))
        paths = [str(hook), *filter(None, [os.environ.get("PYTHONPATH")])]
        self.environment = {"PYTHONPATH": os.pathsep.join(paths)}

    def answers(self) -> dict[str, str]:
        """One text for each connection."""
        return {file.name: file.read_bytes().decode(errors="replace") for file in sorted(self._said.iterdir())}
