"""Whether an address is in use: on loopback, and what the kernel's tables and ARP packets mean."""

from __future__ import annotations

import ipaddress
import struct
from contextlib import AbstractAsyncContextManager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doubles.serving import serving
from pcg.network.address_in_use import Presence, address_in_use, neighbour_in
from pcg.network.arp_probe import claimant, on_link, probe_packet

OWN, OTHER = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
WANTED, NOBODY = ipaddress.ip_address("10.10.20.10").packed, b"\0" * 4


def listening(host: str) -> AbstractAsyncContextManager[int]:
    return serving(lambda reader, writer: None, host)


async def test_a_machine_of_the_lab_that_answers_is_there() -> None:
    async with listening("127.64.77.10") as port:
        answer = await address_in_use("127.64.77.10", (port,))
    assert answer.presence is Presence.IN_USE
    assert str(port) in answer.evidence


async def test_a_refusal_on_loopback_proves_nothing() -> None:
    async with listening("127.64.77.10") as port:
        answer = await address_in_use("127.64.77.11", (port,))
    assert answer.presence is Presence.CANNOT_TELL
    assert "loopback" in answer.evidence


async def test_who_listens_everywhere_on_this_machine_has_no_single_address() -> None:
    async with listening("0.0.0.0") as port:
        answer = await address_in_use("127.64.77.10", (port,))
    assert answer.presence is Presence.CANNOT_TELL


TABLE = """\
10.10.20.1       0x1         0x2         00:50:56:00:00:01     *        eth0
10.10.20.10      0x1         0x0         00:00:00:00:00:00     *        eth0
10.10.20.11      0x1         0x0         00:00:00:00:00:00     *        eth0
10.10.20.11      0x1         0x2         00:50:56:00:00:02     *        eth1
broken
""".splitlines()


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("10.10.20.1", "00:50:56:00:00:01"),
        ("10.10.20.10", ""),
        ("10.10.20.11", "00:50:56:00:00:02"),
        ("10.10.20.100", None),
    ],
)
def test_the_kernels_neighbours_are_read(address: str, found: str | None) -> None:
    assert neighbour_in(TABLE, address) == found


def route(interface: str, network: str, gateway: str, flags: int, mask: str) -> str:
    target, by, masked = (
        f"{struct.unpack('=I', ipaddress.ip_address(text).packed)[0]:08X}" for text in (network, gateway, mask)
    )
    return f"{interface}\t{target}\t{by}\t{flags:04X}\t0\t0\t0\t{masked}\t0\t0\t0"


ROUTES = [
    route("eth0", "0.0.0.0", "10.10.20.1", 3, "0.0.0.0"),
    route("eth0", "10.10.20.0", "0.0.0.0", 1, "255.255.255.0"),
    route("eth1", "10.10.0.0", "0.0.0.0", 1, "255.255.0.0"),
    route("eth1", "10.10.30.0", "10.10.40.1", 3, "255.255.255.0"),
    route("eth2", "10.20.0.0", "0.0.0.0", 0, "255.255.0.0"),
]


@pytest.mark.parametrize(
    ("address", "interface"),
    [("10.10.20.9", "eth0"), ("10.10.21.9", "eth1"), ("10.10.30.9", None), ("10.20.0.9", None), ("8.8.8.8", None)],
)
def test_the_interface_is_that_of_the_most_exact_route(address: str, interface: str | None) -> None:
    assert on_link(ROUTES, ipaddress.IPv4Address(address)) == interface


def arp(operation: int, sender: bytes, sender_address: bytes, target_address: bytes) -> bytes:
    packet = struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation) + sender + sender_address + b"\0" * 6 + target_address
    return b"\xff" * 6 + sender + b"\x08\x06" + packet + b"\0" * 18


@pytest.mark.parametrize(
    ("frame", "mac"),
    [
        pytest.param(arp(2, OTHER, WANTED, NOBODY), "02:00:00:00:00:02", id="it answers"),
        pytest.param(arp(1, OTHER, WANTED, WANTED), "02:00:00:00:00:02", id="it announces itself"),
        pytest.param(arp(1, OTHER, NOBODY, WANTED), "02:00:00:00:00:02", id="it probes for the same"),
        pytest.param(probe_packet(OWN, WANTED), "", id="our own probe"),
        pytest.param(arp(1, OTHER, b"\x0a\x0a\x14\x01", WANTED), "", id="somebody else looks for it"),
        pytest.param(arp(2, OTHER, b"\x0a\x0a\x14\x01", NOBODY), "", id="another address"),
        pytest.param(arp(2, OTHER, WANTED, NOBODY)[:30], "", id="cut off"),
        pytest.param(b"\0" * 60, "", id="no ARP"),
    ],
)
def test_which_packets_show_that_an_address_is_taken(frame: bytes, mac: str) -> None:
    assert claimant(frame, OWN, WANTED) == mac


def test_a_probe_is_in_nobodys_name() -> None:
    assert probe_packet(OWN, WANTED) == arp(1, OWN, NOBODY, WANTED)[:42]


@given(st.binary(max_size=80))
def test_no_frame_breaks_it(frame: bytes) -> None:
    assert len(claimant(frame, OWN, WANTED)) in (0, 17)
