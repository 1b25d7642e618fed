"""Addresses by pseudonyms that keep what a network problem is solved by: which lie in one subnet, which are private,
which is the gateway (.1) or the broadcast address. Pure; used by `pseudonyms.py`.

Prefix-preserving as Crypto-PAn is (Xu et al., 2002): each bit is flipped or not by a keyed hash of the bits before it:
two addresses share as many leading bits after as before, and no two become one. Its Python packages know no exceptions;
here a bit on the way to a range that must stay one is not flipped, which keeps both properties.

The last eight bits of IPv4, and small interface numbers of IPv6, stay: a pool of .20 to .30 is still seen to be full.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from hashlib import blake2s
from ipaddress import IPv4Address, IPv6Address

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_UNTOUCHED = tuple(
    ipaddress.ip_network(network)
    for network in [
        "0.0.0.0/8",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "10.96.0.0/12",
        "100.100.100.200/32",
        "::/8",
        "ff00::/8",
    ]
)
"""unspecified, loopback, link-local and metadata, multicast, masks and broadcast; Kubernetes' own default services"""

_STAY_WITHIN = tuple(
    ipaddress.ip_network(network)
    for network in ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fe80::/10", "fc00::/7"]
)
"""ranges whose meaning stays: what was private is private"""

_KEPT_BITS = {4: 8, 6: 16}
_INTERFACE_BITS = 64


class AddressPseudonyms:
    """`key`: of one bundle; the same key gives the same pseudonyms."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._flips = lru_cache(65536)(self._upper_flips)

    def of(self, address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            return IPv6Address((0xFFFF << 32) | int(self.of(address.ipv4_mapped)))
        if any(address in network for network in _UNTOUCHED if network.version == address.version):
            return address
        kept = _KEPT_BITS[address.version]
        number, width = int(address), address.max_prefixlen
        upper = number >> (_INTERFACE_BITS if width == 128 else kept)
        if width == 32:
            return IPv4Address(number ^ (self._flips(4, upper, width - kept) << kept))
        number ^= self._flips(6, upper, width - _INTERFACE_BITS) << _INTERFACE_BITS
        return IPv6Address(number ^ self._interface_flips(int(address)))

    def of_network(self, address: IPv4Address, prefix: int) -> IPv4Address:
        """Of a network's own address: inside it lie the pseudonyms of its addresses."""
        mapped = int(self.of(address))
        free = 32 - prefix
        return IPv4Address(mapped >> free << free) if int(address) % (1 << free) == 0 else IPv4Address(mapped)

    def _upper_flips(self, version: int, upper: int, bits: int) -> int:
        width = 32 if version == 4 else 128
        flips = 0
        for length in range(bits):
            prefix = upper >> (bits - length)
            flips = (flips << 1) | (
                not _leads_to_a_range(version, prefix, length, width) and self._bit(version, prefix, length)
            )
        return flips

    def _interface_flips(self, number: int) -> int:
        """None for ::1 and the like: only numbers made from a MAC address, or drawn, tell of a machine."""
        own = number & ((1 << _INTERFACE_BITS) - 1)
        if own < 1 << _KEPT_BITS[6]:
            return 0
        flips = 0
        for length in range(64, 128):
            prefix = number >> (128 - length)
            small = length < 112 and prefix & ((1 << (length - 64)) - 1) == 0
            flips = (flips << 1) | (not small and self._bit(6, prefix, length))
        return flips

    def _bit(self, version: int, prefix: int, length: int) -> int:
        data = bytes([version, length]) + prefix.to_bytes(16, "big")
        return blake2s(data, key=self._key, digest_size=1).digest()[0] & 1


def _leads_to_a_range(version: int, prefix: int, length: int, width: int) -> bool:
    """Whether these leading bits are the beginning of such a range's own, or lie in one that stays as it is."""
    return any(
        network.version == version
        and length < network.prefixlen
        and int(network.network_address) >> (width - length) == prefix
        for network in (*_UNTOUCHED, *_STAY_WITHIN)
    )
