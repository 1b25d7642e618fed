"""Every flow that a firewall must let through for one gateway, derived from its configuration. Pure; for `ports.py`.

Replies belong to their flow. Everything is outbound for the data center: nothing from outside is ever let in. What
administrators reach (the installer's own page, the API server) they reach from within.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from pcg.errors import InvalidInput
from pcg.model.configuration import CloudKind, Configuration, split_host_port
from pcg.network.proxies import Proxies, parse_proxies, without_credentials

INSTALLER = "installer"
NODES = "nodes"
API_SERVER_PORT = "6443"
INSTALLER_PAGE_PORT = "5080"

_POD_NETWORKS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "calico": (
        ("179", "TCP", "calico: routes by BGP"),
        ("4789", "UDP", "calico: VXLAN"),
        ("any", "IP protocol 4", "calico: IP in IP"),
        ("5473", "TCP", "calico: Typha"),
    ),
    "cilium": (("8472", "UDP", "cilium: VXLAN"), ("4240", "TCP", "cilium: health")),
    "flannel": (("8472", "UDP", "flannel: VXLAN"),),
    "antrea": (("6081", "UDP", "antrea: Geneve"), ("10349-10350", "TCP", "antrea: memberlist and controller")),
}
"""port, protocol and purpose, from each one's own installation requirements"""


@dataclass(frozen=True)
class Flow:
    source: str
    target: str
    port: str
    """a number, a range, or `any`"""
    protocol: str
    why: str

    def shown(self) -> dict[str, str]:
        return {
            "from": self.source,
            "to": self.target,
            "port": self.port,
            "protocol": self.protocol,
            "why": self.why,
        }


def flows_of(configuration: Configuration, console: str, proxies: Proxies) -> list[Flow]:
    """`console`: its URL; `proxies`: the installer's own. The nodes' proxies stand in the configuration."""
    found = [
        *_console(configuration, console, proxies),
        *_cloud(configuration),
        *_image(configuration, proxies),
        *_addresses(configuration),
        *_cluster(configuration),
        Flow("administrators", INSTALLER, INSTALLER_PAGE_PORT, "TCP", "the installer's own page: steps, logs, tasks"),
    ]
    return _one_of_each(found)


def _one_of_each(flows: list[Flow]) -> list[Flow]:
    """A firewall's rule is written once, whatever it is for."""
    whys: dict[tuple[str, str, str, str], list[str]] = {}
    for flow in flows:
        key = (flow.source, flow.target, flow.port, flow.protocol)
        whys.setdefault(key, [])
        if flow.why not in whys[key]:
            whys[key].append(flow.why)
    return [Flow(*key, "; ".join(why)) for key, why in whys.items()]


def _console(configuration: Configuration, console: str, proxies: Proxies) -> Iterator[Flow]:
    why = "registration, then one session that stays open; events, requests, releases"
    yield from _web(INSTALLER, console, proxies, why)
    given = configuration.proxy
    of_nodes, _ = parse_proxies(given.http, given.https, ",".join(given.no), given.ca)
    yield from _web(NODES, console, of_nodes, "jet fetches its authorization token")


def _cloud(configuration: Configuration) -> Iterator[Flow]:
    host, port = split_host_port(configuration.vcenter.address, 443)
    what = "vCenter" if configuration.cloud is CloudKind.VSPHERE else "data center"
    yield Flow(INSTALLER, f"{what} {host}", str(port), "TCP", f"the {what}'s API; never through a proxy")


def _image(configuration: Configuration, proxies: Proxies) -> Iterator[Flow]:
    image = configuration.template.image
    if "://" not in image:
        return
    if configuration.cloud is not CloudKind.VSPHERE:
        # This data center fetches its images itself.
        yield from _web("data center", image, Proxies(), "fetches the node image")
        return
    yield from _web(INSTALLER, image, proxies, "fetches the node image")
    for cluster in dict.fromkeys(placement.cluster for placement in configuration.placement[:1]):
        why = "sends the node image's disks: an import goes to a host directly, past the vCenter"
        yield Flow(INSTALLER, f"ESXi hosts of {cluster}", "443", "TCP", why)


def _addresses(configuration: Configuration) -> Iterator[Flow]:
    network = configuration.network
    for source, servers in ((INSTALLER, []), (NODES, network.name_servers)):
        for server in servers or ["its own name servers"]:
            for protocol in ("UDP", "TCP"):
                yield Flow(source, server, "53", protocol, "names of console, cloud, proxies, image host")
    hosts = [("ESXi hosts", list[str]())] if configuration.cloud is CloudKind.VSPHERE else []
    for source, servers in ((INSTALLER, []), (NODES, network.ntp_servers), *hosts):
        for server in servers or ["its own time servers"]:
            yield Flow(source, server, "123", "UDP", "NTP: wrong clocks make certificates invalid")
    if network.addresses.dhcp is not None:
        yield Flow(NODES, "DHCP server or relay", "67", "UDP", "asks for an address")
        yield Flow("DHCP server or relay", NODES, "68", "UDP", "gives the address")


def _cluster(configuration: Configuration) -> Iterator[Flow]:
    shared = configuration.network.control_plane_address
    api = f"API server {shared}" if shared else "the node's API server"
    yield Flow(INSTALLER, api, API_SERVER_PORT, "TCP", "builds the cluster and looks after it")
    yield Flow("administrators", api, API_SERVER_PORT, "TCP", "kubectl with `pcg gateway kubeconfig`; only if wanted")
    yield Flow(NODES, api, API_SERVER_PORT, "TCP", "join, kubelet, jet")
    if shared:
        why = f"kube-vip announces {shared}: the nodes need one layer 2 segment"
        yield Flow(NODES, "the nodes' segment", "any", "ARP", why)
    if configuration.nodes.count > 1:
        yield Flow(INSTALLER, NODES, "2379", "TCP", "etcd: takes out a member whose machine is lost")
        yield Flow(NODES, NODES, "2379-2380", "TCP", "etcd: clients and peers")
        yield Flow(NODES, NODES, "10250", "TCP", "kubelet: logs, exec, metrics")
        for port, protocol, why in _POD_NETWORKS[configuration.kubernetes.cni]:
            yield Flow(NODES, NODES, port, protocol, why)
    if configuration.kubernetes.registry:
        registry, registry_port = _target(f"https://{configuration.kubernetes.registry}", "kubernetes.registry")
        yield Flow(NODES, f"registry {registry}", registry_port, "TCP", "container images")


def _web(source: str, url: str, proxies: Proxies, why: str) -> Iterator[Flow]:
    """To the URL's host, or to the proxy and from there on."""
    host, port = _target(url)
    proxy = proxies.proxy_for(url)
    if proxy is None:
        yield Flow(source, host, port, "TCP", why)
        return
    through, proxy_port = _target(without_credentials(proxy))
    yield Flow(source, f"proxy {through}", proxy_port, "TCP", f"{why} (on to {host})")
    yield Flow(f"proxy {through}", host, port, "TCP", f"for {source}: {why}")


def _target(url: str, field: str = "template.image") -> tuple[str, str]:
    try:
        parts = urlsplit(url)
        if not parts.hostname:
            raise ValueError("it names no host")
        return parts.hostname, str(parts.port or (80 if parts.scheme == "http" else 443))
    except ValueError as error:
        # Not the text itself: a password may stand in it.
        raise InvalidInput(
            f"The address of {field} is wrong: {error}.", reason="url-invalid", field_name=field
        ) from None
