"""How addresses fit together: each misfit is refused with its field named, what is left out of a pool is told."""

from __future__ import annotations

import ipaddress
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pcg.errors import InvalidInput
from pcg.model.address_plan import Pool, pool_of
from pcg.model.configuration import Configuration, parse_configuration

DOCUMENT: dict[str, Any] = {
    "cloud": "vsphere",
    "vcenter": {"address": "vc.example.com", "username": "svc@vsphere.local"},
    "placement": [{"datacenter": "dc-1", "cluster": "c-1", "datastore": "ds-1", "network": "VM Network"}],
    "template": {"image": "node"},
    "nodes": {"count": 3},
    "network": {
        "addresses": {"static": {"range": "10.10.20.10-10.10.20.29", "prefix": 24, "gateway": "10.10.20.1"}},
        "nameServers": ["10.10.1.2"],
        "controlPlaneAddress": "10.10.20.9",
    },
}


def changed(static: dict[str, Any] | None = None, **network: Any) -> dict[str, Any]:
    """The document with another pool (`static`: what differs; None takes a key out) or other network values."""
    document = deepcopy(DOCUMENT)
    pool = document["network"]["addresses"]["static"] | (static or {})
    document["network"]["addresses"]["static"] = {key: value for key, value in pool.items() if value is not None}
    document["network"].update(network)
    return document


def pool(document: dict[str, Any]) -> Pool:
    configuration, _ = parse_configuration(document)
    found = pool_of(configuration.network)
    assert found is not None
    return found


STATIC = "network.addresses.static"


@pytest.mark.parametrize(
    ("static", "network", "where"),
    [
        pytest.param({"prefix": None}, {}, f"{STATIC}.prefix", id="prefix missing"),
        pytest.param({"prefix": 64}, {}, f"{STATIC}.prefix", id="prefix of another family"),
        pytest.param({"range": "10.10.20.10-10.10.21.29"}, {}, f"{STATIC}.range", id="range leaves the subnet"),
        pytest.param({"range": "10.10.20.29-10.10.20.10"}, {}, f"{STATIC}.range", id="range backwards"),
        pytest.param({"range": "10.10.20.10"}, {}, f"{STATIC}.range", id="no range"),
        pytest.param({"range": "10.10.20.10-10.10.20.14"}, {}, f"{STATIC}.range", id="too small"),
        pytest.param({"range": None, "subnet": "10.10.20.12/30"}, {}, f"{STATIC}.subnet", id="subnet too small"),
        pytest.param({"range": None, "subnet": "10.10.20.5/24"}, {}, f"{STATIC}.subnet", id="subnet with host bits"),
        pytest.param(
            {"range": None, "subnet": "10.10.20.0/24", "prefix": 25},
            {},
            f"{STATIC}.prefix",
            id="longer than the subnet",
        ),
        pytest.param({"gateway": "10.10.30.1"}, {}, f"{STATIC}.gateway", id="gateway outside"),
        pytest.param({"gateway": "10.10.20.255"}, {}, f"{STATIC}.gateway", id="gateway is the broadcast address"),
        pytest.param({"gateway": "fd00::1"}, {}, f"{STATIC}.gateway", id="gateway of another family"),
        pytest.param({"searchDomains": ["a b"]}, {}, f"{STATIC}.searchDomains.0", id="no domain"),
        pytest.param({}, {"controlPlaneAddress": "10.10.30.9"}, "network.controlPlaneAddress", id="shared outside"),
        pytest.param({}, {"controlPlaneAddress": "10.10.20.1"}, "network.controlPlaneAddress", id="shared is gateway"),
        pytest.param({}, {"controlPlaneAddress": "10.10.20.0"}, "network.controlPlaneAddress", id="shared is network"),
        pytest.param({}, {"controlPlaneAddress": "224.0.0.1"}, "network.controlPlaneAddress", id="shared multicast"),
        pytest.param({}, {"podCidr": "10.10.0.0/16"}, "network.podCidr", id="pods over nodes"),
        pytest.param({}, {"serviceCidr": "10.0.0.0/8"}, "network.serviceCidr", id="services over nodes"),
        pytest.param({}, {"nameServers": ["10.10.1.2", "0.0.0.0"]}, "network.nameServers.1", id="no name server"),
        pytest.param({}, {"nameServers": ["10.10.20.255"]}, "network.nameServers.0", id="name server is broadcast"),
    ],
)
def test_a_misfit_is_refused_with_its_field(static: dict[str, Any], network: dict[str, Any], where: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_configuration(changed(static, **network))
    assert caught.value.field_name == where
    assert caught.value.reason == "configuration-invalid"


@pytest.mark.parametrize("static", [{"subnet": "10.10.20.0/24"}, {"range": None}], ids=["both", "neither"])
def test_either_a_range_or_a_subnet(static: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_configuration(changed(static))
    assert caught.value.field_name.startswith(STATIC)


def test_a_control_plane_address_by_dhcp_must_not_lie_among_the_pods() -> None:
    document = changed(controlPlaneAddress="192.168.0.9", addresses={"dhcp": {}})
    with pytest.raises(InvalidInput) as caught:
        parse_configuration(document)
    assert caught.value.field_name == "network.controlPlaneAddress"


def test_the_example_of_the_manual_has_no_notice() -> None:
    _, notices = parse_configuration(DOCUMENT)
    assert notices == []


def test_what_lies_in_the_range_and_is_somebodys_is_left_out_with_a_notice() -> None:
    document = changed(
        {"range": "10.10.20.0-10.10.20.255"}, nameServers=["10.10.20.2"], controlPlaneAddress="10.10.20.3"
    )
    _, notices = parse_configuration(document)
    told = " ".join(notices)
    assert len(notices) == 5
    assert all(f"10.10.20.{last} " in told for last in (0, 1, 2, 3, 255))
    given = pool(document)
    assert next(given.addresses()) == "10.10.20.4"
    assert given.usable == 251
    assert "10.10.20.255" not in given and "10.10.20.4" in given and "no address" not in given


def test_a_name_server_among_the_pods_is_told() -> None:
    _, notices = parse_configuration(changed(nameServers=["192.168.1.1"]))
    assert len(notices) == 1 and "podCidr" in notices[0]


def test_a_subnet_gives_all_its_hosts_and_its_prefix() -> None:
    document = changed({"range": None, "subnet": "10.10.20.0/27", "prefix": None})
    configuration, notices = parse_configuration(document)
    static = configuration.network.addresses.static
    assert static is not None and static.prefix == 27
    assert [notice for notice in notices if "control-plane" not in notice] == []
    addresses = list(pool(document).addresses())
    assert (addresses[0], addresses[-1]) == ("10.10.20.2", "10.10.20.30")
    again = Configuration.model_validate(configuration.model_dump(mode="json", by_alias=True))
    assert again == configuration


def test_a_subnet_may_be_a_piece_of_the_network_that_the_nodes_are_on() -> None:
    document = changed({"range": None, "subnet": "10.10.20.64/27", "prefix": 24})
    assert pool(document).usable == 32
    assert str(pool(document).network) == "10.10.20.0/24"


def test_the_control_plane_address_in_the_pool_counts_as_one_of_the_spare_ones() -> None:
    inside = changed({"range": "10.10.20.9-10.10.20.14"})
    assert pool(inside).usable == 5
    with pytest.raises(InvalidInput, match="6 are needed"):
        parse_configuration(changed({"range": "10.10.20.9-10.10.20.13"}))


def test_a_pool_of_ipv6_may_be_huge() -> None:
    document = changed(
        {"range": None, "subnet": "fd00:1::/64", "prefix": None, "gateway": "fd00:1::1"},
        controlPlaneAddress="fd00:1::9",
    )
    given = pool(document)
    assert next(given.addresses()) == "fd00:1::2"
    assert given.usable == 2**64 - 3


@given(
    first=st.integers(0, 255),
    size=st.integers(1, 64),
    reserved=st.sets(st.integers(0, 300)),
)
def test_what_is_counted_is_what_is_given(first: int, size: int, reserved: set[int]) -> None:
    base = int(ipaddress.ip_address("10.0.0.0"))
    low, high = ipaddress.ip_address(base + first), ipaddress.ip_address(base + first + size - 1)
    left_out = frozenset(ipaddress.ip_address(base + item) for item in reserved)
    given_pool = Pool(low, high, ipaddress.ip_network("10.0.0.0/16"), left_out)
    addresses = list(given_pool.addresses())
    assert len(addresses) == len(set(addresses)) == given_pool.usable
    assert all(address in given_pool for address in addresses)
    assert not any(str(item) in given_pool for item in left_out)
