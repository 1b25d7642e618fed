"""The DHCP server: one lease a card, kept until it is released, refused and counted when nothing is free."""

from __future__ import annotations

from collections.abc import Mapping

from pcg.clouds.lab.dhcp import DhcpScope, DhcpServer

SCOPE = DhcpScope("127.64.0.10", "127.64.0.12", gateway="127.64.0.1", name_servers=("127.64.0.1",), server="127.64.0.1")


def test_a_card_gets_the_lowest_free_address_with_all_that_it_needs() -> None:
    lease = DhcpServer(SCOPE).discover("card")
    assert (lease.address, lease.prefix, lease.gateway) == ("127.64.0.10", 24, "127.64.0.1")
    assert (lease.name_servers, lease.server) == (("127.64.0.1",), "127.64.0.1")


def test_asking_again_renews_the_lease() -> None:
    server = DhcpServer(SCOPE)
    assert server.discover("card") == server.discover("card")
    assert server.discover("other").address == "127.64.0.11"


def test_when_all_are_taken_a_new_card_gets_none_and_an_old_one_keeps_its_own() -> None:
    server = DhcpServer(SCOPE)
    own = [server.discover(card).address for card in "abc"]
    assert own == SCOPE.addresses()
    assert server.discover("d").address is None
    assert server.refused == 1
    assert [server.discover(card).address for card in "abc"] == own
    assert server.refused == 1


def test_a_released_address_is_given_again() -> None:
    server = DhcpServer(SCOPE)
    for card in "abc":
        server.discover(card)
    server.release(["b", "unknown"])
    assert server.free == ["127.64.0.11"]
    assert server.discover("d").address == "127.64.0.11"


def test_counting_free_addresses_meets_the_shortage_too() -> None:
    server = DhcpServer(SCOPE)
    assert server.count_free() == 3
    assert server.refused == 0
    server.take(dict(zip("abc", SCOPE.addresses(), strict=True)))
    assert server.count_free() == 0
    assert server.refused == 1


def test_every_change_is_told_and_leases_outlive_the_server() -> None:
    told: list[Mapping[str, str]] = []
    server = DhcpServer(SCOPE, on_change=lambda leases: told.append(dict(leases)))
    server.discover("card")
    server.discover("card")
    server.release(["nobody"])
    assert told == [{"card": "127.64.0.10"}]
    assert DhcpServer(SCOPE, told[-1]).discover("card").address == "127.64.0.10"
    server.release(["card"])
    assert told[-1] == {}
