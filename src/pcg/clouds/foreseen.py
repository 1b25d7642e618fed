"""What a configuration foretells by itself: checks that need neither a data center nor a gateway.

The same rules for everybody: the console while it is typed, `pcg preflight -f`, and the gateway's preflight. What is
wrong is False; None where the configuration leaves open what the answer depends on. The model's own rules come before.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from urllib.parse import urlsplit

from pcg.clouds.base import Check
from pcg.errors import InvalidInput
from pcg.model.address_plan import IpNetwork, Pool, needed_addresses, pool_of
from pcg.model.configuration import Configuration, Proxy, split_host_port
from pcg.model.configuration import Trust as ConfiguredTrust
from pcg.network.proxies import parse_proxies
from pcg.network.trust import Trust


def foreseen(configuration: Configuration) -> list[Check]:
    """Every check, clear ones too."""
    pool = pool_of(configuration.network)
    checks = [] if pool is None else [_pool_size(configuration, pool)]
    checks += [_shared_address(configuration, pool), _overlaps(configuration), _name_servers(configuration)]
    return [*checks, _image(configuration), _trust(configuration.vcenter.trust), _proxies(configuration)]


def check_proxies(proxy: Proxy) -> None:
    """Jet reads them as strictly, in a cluster where nobody would look for the reason. Raises InvalidInput."""
    try:
        parse_proxies(proxy.http, proxy.https, ",".join(proxy.no), proxy.ca)
    except InvalidInput as error:
        error.field_name = _PROXY_FIELDS.get(error.field_name, "proxy")
        raise


_PROXY_FIELDS = {
    "http-proxy": "proxy.http",
    "https-proxy": "proxy.https",
    "no-proxy": "proxy.no",
    "proxy-ca": "proxy.ca",
}


def _pool_size(configuration: Configuration, pool: Pool) -> Check:
    needed = needed_addresses(configuration.nodes.count)
    return Check("addresses", True, f"{pool} has {pool.usable} addresses; {needed} are needed")


def _shared_address(configuration: Configuration, pool: Pool | None) -> Check:
    """It moves from node to node by ARP, so it must be a free address of the nodes' own subnet."""
    name, address = "control-plane address", configuration.network.control_plane_address
    if address is None:
        return Check(name, True, "the API server has the only node's own address")
    if pool is not None:
        return Check(name, True, f"{address} lies in {pool.network}")
    unsure = InvalidInput(
        f"Whether {address} lies in the nodes' subnet and outside the DHCP server's scope cannot be told.",
        reason="control-plane-address-unsure",
        field_name="network.controlPlaneAddress",
        cause="The subnet is known to the DHCP server alone.",
        remedy=["Take an address of the nodes' subnet that the DHCP server never gives away."],
    )
    return Check(name, None, unsure.what, unsure)


def _overlaps(configuration: Configuration) -> Check:
    """What lies in the pods' or services' network is not reachable from a node: traffic never leaves the cluster."""
    network = configuration.network
    inside = {"network.podCidr": network.pod_cidr, "network.serviceCidr": network.service_cidr}
    found = [
        f"{what} {outer} overlaps {field} {cidr}"
        for field, cidr in inside.items()
        for what, outer in _outside(configuration)
        if outer.version == (within := ipaddress.ip_network(cidr)).version and outer.overlaps(within)
    ]
    if not found:
        return Check(
            "overlaps", True, "the pods' and services' networks overlap nothing that is named in the configuration"
        )
    wrong = InvalidInput(
        f"Networks overlap: {found[0]}.",
        reason="networks-overlap",
        field_name=found[0].rpartition("overlaps ")[2].split()[0],
        evidence=found,
        cause="What lies in the pods' or services' network cannot be reached from a node.",
        remedy=["Choose other networks for network.podCidr and network.serviceCidr."],
    )
    return Check("overlaps", False, wrong.what, wrong)


def _outside(configuration: Configuration) -> Iterator[tuple[str, IpNetwork]]:
    """Beside the pool's own subnet, which the configuration's own rules compare."""
    network = configuration.network
    if network.addresses.static is None and network.control_plane_address is not None:
        yield "the control-plane address", ipaddress.ip_network(network.control_plane_address)
    named = [("the name server", item) for item in network.name_servers]
    named += [("the time server", item) for item in network.ntp_servers]
    named.append(("the cloud's address", split_host_port(configuration.vcenter.address, 443)[0]))
    for what, text in named:
        try:
            yield what, ipaddress.ip_network(text)
        except ValueError:
            continue  # a name: what it leads to is not known here


def _name_servers(configuration: Configuration) -> Check:
    network = configuration.network
    if network.name_servers or network.addresses.static is None:
        return Check("name servers", True, ", ".join(network.name_servers) or "name servers come by DHCP")
    unsure = InvalidInput(
        "No name server is given, and static addresses bring none: nodes find nothing by name.",
        reason="name-servers-missing",
        field_name="network.nameServers",
        remedy=["Give network.nameServers, unless console, proxies and time servers are all given by address."],
    )
    return Check("name servers", None, unsure.what, unsure)


def _image(configuration: Configuration) -> Check:
    image, why = configuration.template.image, ""
    ok: bool | None = False
    if "://" not in image:
        return Check("image", True, f"{image} is the name of a template, which the gateway looks for")
    try:
        parts = urlsplit(image)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        parts, host, why = urlsplit(""), None, str(error)
    if not why and parts.scheme == "file" and parts.path.strip("/"):
        return Check("image", True, f"{parts.path}, a file on the gateway's machine")
    if not why and parts.scheme not in ("http", "https"):
        why = f"its scheme is {parts.scheme}; http and https are fetched"
    elif not why and not host:
        why = "it names no host"
    elif not why and (parts.username or parts.password):
        why = "a user or password in it would be shown to whoever sees the configuration"
    elif not why and not parts.path.strip("/"):
        why = "it names no file"
    elif not why and parts.scheme == "http" and configuration.template.sha256 is None:
        ok, why = None, "over http without template.sha256 nobody notices when it was changed on the way"
    if not why:
        return Check("image", True, f"{configuration.template.name} from {host}")
    wrong = InvalidInput(
        f"The image's URL: {why}.", reason="image-url", field_name="template.image", remedy=["Correct template.image."]
    )
    return Check("image", ok, wrong.what, wrong)


def _trust(trust: ConfiguredTrust) -> Check:
    name = "trust"
    if trust.ca is None:
        return Check(name, True, "the cloud is known by its thumbprint" if trust.thumbprint else "system CAs")
    try:
        Trust.only_ca(trust.ca).context()
    except InvalidInput as error:
        error.field_name = "vcenter.trust.ca"
        return Check(name, False, error.what, error)
    return Check(name, True, "the cloud's CA can be read")


def _proxies(configuration: Configuration) -> Check:
    try:
        check_proxies(configuration.proxy)
    except InvalidInput as error:
        return Check("proxies", False, error.what, error)
    given = configuration.proxy.https or configuration.proxy.http
    return Check("proxies", True, "the nodes' proxies are well-formed" if given else "the nodes use no proxy")
