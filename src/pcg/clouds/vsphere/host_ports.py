"""Whether the ESXi hosts answer on TCP 443: an image's import sends its disks to a host directly, past the vCenter.

Used by `capacity.py`, and only while the template still has to be imported. Nothing is sent, only connected.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from pcg.clouds.base import Check
from pcg.errors import Unreachable
from pcg.network.proxies import Proxies
from pcg.network.reach import reach

MOST_HOSTS = 16
SECONDS = 5.0


async def check(names: Sequence[str], port: int = 443, seconds: float = SECONDS) -> list[Check]:
    """One check when all answer, else one for each that does not. All are tried side by side."""
    asked = sorted(names)[:MOST_HOSTS]
    if not asked:
        return []
    failed = [check for check in await asyncio.gather(*(_one(name, port, seconds) for name in asked)) if check]
    return failed or [Check("host ports", True, f"{len(asked)} hosts answer on TCP {port}")]


async def _one(name: str, port: int, seconds: float) -> Check | None:
    """None: it answers."""
    shown = f"[{name}]" if ":" in name else name
    try:
        await reach(f"https://{shown}:{port}", Proxies(), seconds=seconds)
    except Unreachable as error:
        said = _said(error)
        problem = Unreachable(
            f"The ESXi host {name} cannot be reached on TCP {port}: {said}.",
            reason="host-port-unreachable",
            evidence=[f"tried: {name} port {port} for {seconds:g} s", *error.evidence],
            cause="The image is sent to a host directly; firewalls often let only the vCenter through.",
            remedy=[f"Let this machine connect to {name} on TCP {port}, or import the template by hand."],
            fields={"hop": error.fields.get("hop", "connect"), "host": name, "port": str(port), "said": said},
        )
        problem.__cause__ = error
        return Check(f"port {port} of {name}", False, problem.what, problem)
    return None


def _said(error: Unreachable) -> str:
    cause = error.__cause__
    if error.fields.get("hop") == "name":
        return "its name is not known"
    if isinstance(cause, ConnectionRefusedError):
        return "refused"
    return "timed out" if isinstance(cause, TimeoutError) else "unreachable"
