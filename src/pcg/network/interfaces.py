"""This machine's own Ethernet adapters and their IPv4 addresses, on Linux, without any right. Used by diagnosis.

Asked by ioctl (netdevice(7)), which sees this process's own network; /sys/class/net shows that of whoever mounted it.
"""

from __future__ import annotations

import fcntl
import re
import socket
import struct
from dataclasses import dataclass

_SIOCGIFFLAGS, _SIOCGIFADDR, _SIOCGIFHWADDR = 0x8913, 0x8915, 0x8927
"""of linux/sockios.h"""
_ETHERNET = 1
"""ARPHRD_ETHER of linux/if_arp.h"""
_UP, _RUNNING = 0x1, 0x40
"""IFF_UP, IFF_RUNNING of linux/if.h"""
_OTHERS = re.compile(r"^(?:docker|veth|cali|cni|br-|virbr|flannel|tunl|vxlan|kube|dummy|ifb|tap|lxc|cilium)")
"""made by container runtimes and hypervisors, for their own guests"""


@dataclass(frozen=True)
class Adapter:
    name: str
    address: str
    """IPv4, the first; empty: none"""
    up: bool
    carrier: bool


def adapters() -> list[Adapter]:
    """Those that lead out of this machine, by name; empty where nothing can be told."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            names = sorted(name for _, name in socket.if_nameindex())
        except OSError:
            return []
        return [adapter for name in names if not _OTHERS.match(name) and (adapter := _adapter(asking, name))]


def _adapter(asking: socket.socket, name: str) -> Adapter | None:
    hardware, told = _ask(asking, _SIOCGIFHWADDR, name), _ask(asking, _SIOCGIFFLAGS, name)
    if hardware is None or told is None or struct.unpack_from("H", hardware, 16)[0] != _ETHERNET:
        return None
    flags = struct.unpack_from("H", told, 16)[0]
    address = _ask(asking, _SIOCGIFADDR, name)
    shown = socket.inet_ntoa(address[20:24]) if address is not None else ""
    return Adapter(name, shown, up=bool(flags & _UP), carrier=bool(flags & _RUNNING))


def _ask(asking: socket.socket, request: int, name: str) -> bytes | None:
    """A struct ifreq: the name in 16 bytes, then the answer. None: the adapter is gone, or has no such thing."""
    try:
        return fcntl.ioctl(asking, request, struct.pack("256s", name.encode()[:15]))
    except OSError:
        return None
