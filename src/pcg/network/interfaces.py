"""This machine's own Ethernet adapters and their IPv4 addresses, on Linux, without any right. Used by diagnosis."""

from __future__ import annotations

import fcntl
import re
import socket
import struct
from dataclasses import dataclass
from pathlib import Path

_ADAPTERS = Path("/sys/class/net")
_ETHERNET = "1"
"""ARPHRD_ETHER of linux/if_arp.h"""
_UP = 1
"""IFF_UP of linux/if.h"""
_SIOCGIFADDR = 0x8915
"""of linux/sockios.h: the first IPv4 address"""
_OTHERS = re.compile(r"^(?:docker|veth|cali|cni|br-|virbr|flannel|tunl|vxlan|kube|dummy|ifb|tap|lxc|cilium)")
"""made by container runtimes and hypervisors, for their own guests"""


@dataclass(frozen=True)
class Adapter:
    name: str
    address: str
    """IPv4; empty: none"""
    up: bool
    carrier: bool


def adapters(folder: Path = _ADAPTERS) -> list[Adapter]:
    """Those that lead out of this machine; empty where nothing can be told."""
    try:
        names = sorted(path.name for path in folder.iterdir())
    except OSError:
        return []
    return [
        Adapter(
            name,
            ipv4_address(name),
            up=bool(int(_read(folder / name / "flags") or "0", 16) & _UP),
            carrier=_read(folder / name / "carrier") == "1",
        )
        for name in names
        if not _OTHERS.match(name) and _read(folder / name / "type") == _ETHERNET
    ]


def ipv4_address(name: str) -> str:
    """Empty where the adapter has none, or is not there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            answer = fcntl.ioctl(asking, _SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
        except OSError:
            return ""
    return socket.inet_ntoa(answer[20:24])


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""  # the carrier of an adapter that is down cannot be read
