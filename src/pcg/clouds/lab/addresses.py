"""The data center's own piece of this machine's loopback: one /24 of 127.64.0.0/10, claimed for as long as it runs.

Several data centers may run side by side (tests, demos), so the piece is chosen at random and held by a bound socket;
it is kept in the state folder, because machines that exist must find their addresses again after a restart.
"""

from __future__ import annotations

import errno
import json
import random
import socket
from dataclasses import dataclass
from pathlib import Path

from pcg.clouds.lab.dhcp import DhcpScope
from pcg.errors import SetupMissing

CLAIM_PORT = 6767
"""of the socket that holds the claim; nothing is ever sent to it"""

TRIES = 50


@dataclass(frozen=True)
class AddressBlock:
    """`network` is the first three octets."""

    network: str

    @property
    def gateway(self) -> str:
        """Router and DHCP server."""
        return f"{self.network}.1"

    @property
    def edge(self) -> str:
        """Of what stands between the data center and its console."""
        return f"{self.network}.2"

    @property
    def image_host(self) -> str:
        return f"{self.network}.3"

    @property
    def control_plane_address(self) -> str:
        """Kept free for a cluster's API server."""
        return f"{self.network}.9"

    @property
    def scope(self) -> DhcpScope:
        return DhcpScope(
            first=f"{self.network}.10",
            last=f"{self.network}.199",
            prefix=24,
            gateway=self.gateway,
            name_servers=(self.gateway,),
            server=self.gateway,
        )


class Claim:
    """Holds a block until it is closed or the process ends."""

    def __init__(self, block: AddressBlock, held: socket.socket) -> None:
        self.block = block
        self._held = held

    def close(self) -> None:
        self._held.close()


def claim_block(state: Path) -> Claim:
    """The block of this state folder, or a new one. Raises SetupMissing when it is another process's."""
    file = state / "addresses.json"
    if file.exists():
        block = AddressBlock(json.loads(file.read_text())["network"])
        held = _hold(block)
        if held is None:
            raise SetupMissing(
                f"The addresses {block.network}.0/24 of this data center are in use by another process.",
                reason="addresses-in-use",
                evidence=[f"{block.gateway}:{CLAIM_PORT} is bound"],
                remedy=["End the other data center that uses this state folder, or choose another --state."],
            )
        return Claim(block, held)
    for _ in range(TRIES):
        block = AddressBlock(f"127.{random.randrange(64, 128)}.{random.randrange(0, 256)}")
        held = _hold(block)
        if held is not None:
            made = file.with_suffix(".new")
            made.write_text(json.dumps({"network": block.network}))
            made.replace(file)
            return Claim(block, held)
    raise SetupMissing(
        "No free piece of 127.64.0.0/10 was found on this machine.",
        reason="addresses-in-use",
        remedy=["End other simulated data centers."],
    )


def _hold(block: AddressBlock) -> socket.socket | None:
    """None when somebody else holds it."""
    held = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        held.bind((block.gateway, CLAIM_PORT))
    except OSError as error:
        held.close()
        if error.errno == errno.EADDRINUSE:
            return None
        raise SetupMissing(
            f"This machine cannot use addresses of 127.64.0.0/10: {error.strerror}.",
            reason="loopback-missing",
            evidence=[f"bind to {block.gateway}: {error}"],
            remedy=[
                "On Linux the whole of 127.0.0.0/8 is there; elsewhere add these addresses to the loopback device."
            ],
        ) from error
    return held
