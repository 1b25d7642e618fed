"""Hosts that answer, refuse, stay silent or have no name, over real sockets."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

from pcg.clouds.vsphere import host_ports
from pcg.errors import PcgError


@contextmanager
def listening(*, silent: bool = False) -> Iterator[int]:
    """A port that answers, or whose queue is so full that nothing answers any more, as behind a firewall that drops."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0 if silent else 16)
        port = int(server.getsockname()[1])
        waiting = [socket.socket() for _ in range(4 if silent else 0)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        try:
            yield port
        finally:
            for one in waiting:
                one.close()


async def said(port: int, *names: str) -> dict[str, str]:
    found = {}
    for check in await host_ports.check(names, port, seconds=0.5):
        if check.ok is not True:
            assert isinstance(check.problem, PcgError)
            found[check.problem.fields["host"]] = check.problem.fields["said"]
    return found


async def test_all_that_answer_are_one_check() -> None:
    with listening() as port:
        (check,) = await host_ports.check(["127.0.0.1", "localhost"], port)
        assert (check.ok, check.what) == (True, f"2 hosts answer on TCP {port}")


async def test_refused_silent_and_unknown_are_told_apart() -> None:
    with listening() as port, listening(silent=True) as deaf:
        assert await said(port, "127.0.0.1", "127.0.0.9", "no-such-host.invalid") == {
            "127.0.0.9": "refused", "no-such-host.invalid": "its name is not known",
        }  # fmt: skip
        assert await said(deaf, "127.0.0.1") == {"127.0.0.1": "timed out"}


async def test_many_are_tried_side_by_side_and_no_more_than_sixteen() -> None:
    with listening(silent=True) as deaf:
        began = time.monotonic()
        # One queue for all: each of these addresses leads to the same full one.
        found = await asyncio.wait_for(host_ports.check(["127.0.0.1"] * 40, deaf, seconds=0.5), 10)
        assert len(found) == host_ports.MOST_HOSTS
        assert time.monotonic() - began < 3
