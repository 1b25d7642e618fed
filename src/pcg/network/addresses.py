"""Whether a host is written as an address, so that no name server need be asked for it."""

from __future__ import annotations

import ipaddress


def is_address(host: str) -> bool:
    """`host`: without brackets."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
