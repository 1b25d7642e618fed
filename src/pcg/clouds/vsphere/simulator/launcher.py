"""Starts and stops the vCenter simulator as a child process.

Called by `pcg demo --cloud vsphere`, the contract suite and the integration tests:

    async with vcenter_simulator(state) as vcenter:
        ...  # vcenter.address, vcenter.thumbprint, vcenter.control
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pcg.clouds.vsphere.simulator.builder import build
from pcg.errors import GiveUp

START_DEADLINE = 120.0
"""seconds until the ready line; ten thousand strangers take a good ten"""
STOP_DEADLINE = 5.0


@dataclass(frozen=True)
class Account:
    """A user of the simulated vCenter. `privileges` None: an administrator; else a role at the root, propagated."""

    name: str
    password: str = field(repr=False)
    privileges: Sequence[str] | None = None
    groups: Sequence[str] = ()
    """whose permissions count for it too"""


ADMINISTRATOR = Account("administrator@vsphere.local", "correct horse battery staple")


@dataclass(frozen=True)
class RunningVcenter:
    """`address` is host:port of the vSphere API (HTTPS), `control` the URL of the control API (HTTP, loopback)."""

    address: str
    thumbprint: str
    """SHA-256 of the server's certificate, `AB:CD:…`; the same after a restart on the same state directory"""
    certificate: Path
    """the certificate as PEM; usable as a CA file too"""
    control: str
    pid: int


@asynccontextmanager
async def vcenter_simulator(
    state: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    accounts: Sequence[Account] = (ADMINISTRATOR,),
    template: str = "ubuntu-2204-k8s-1.30",
    strangers: int = 3,
    delays: Mapping[str, float] | None = None,
    program: Path | None = None,
) -> AsyncIterator[RunningVcenter]:
    """A running simulator; its certificate is kept in `state`, its inventory is not: a restart is a new data center.

    `delays` are seconds by task method, for example {"CloneVM_Task": 1.5}. Raises SetupMissing without Go (see
    `builder`). The child ends with its parent, also when that is killed.
    """
    binary = program if program is not None else await asyncio.to_thread(build)
    arguments = ["-listen", f"{host}:{port}", "-state", str(state), "-template", template, "-strangers", str(strangers)]
    if delays is not None:
        arguments += ["-delay", ",".join(f"{method}={seconds}" for method, seconds in delays.items())]
    process = await asyncio.create_subprocess_exec(
        binary,
        *arguments,
        "-leash",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=dict(os.environ, VCENTER_ACCOUNTS=json.dumps([asdict(account) for account in accounts])),
    )
    try:
        yield await _ready(process)
    finally:
        await _stop(process)


async def _ready(process: asyncio.subprocess.Process) -> RunningVcenter:
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        async with asyncio.timeout(START_DEADLINE):
            line = await process.stdout.readline()
            complaint = b"" if line else await process.stderr.read()
    except TimeoutError as error:
        raise GiveUp("The vCenter simulator did not start in time.", reason="simulator-start") from error
    if not line:
        raise GiveUp(
            "The vCenter simulator did not start.",
            reason="simulator-start",
            evidence=complaint.decode(errors="replace").splitlines()[:5],
        )
    said = json.loads(line)
    return RunningVcenter(
        address=said["address"],
        thumbprint=said["thumbprint"],
        certificate=Path(said["certificate"]),
        control=said["control"],
        pid=process.pid,
    )


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            async with asyncio.timeout(STOP_DEADLINE):
                await process.wait()
        except TimeoutError:
            process.kill()
    assert process.stdin is not None
    process.stdin.close()
    # Reading to the end lets the transport close its pipes before the loop does.
    await process.communicate()
