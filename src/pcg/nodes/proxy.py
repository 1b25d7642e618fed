"""The proxy of a node's container runtime: a systemd drop-in, and what is never asked for through the proxy.

containerd is the only program of a node that reaches out of the data center, for images that the node image lacks. An
environment file alone would be read by nobody. Used by `cloud_config.py`.
"""

from __future__ import annotations

import ipaddress

from pcg.model.configuration import Configuration

DROP_IN = "/etc/systemd/system/containerd.service.d/http-proxy.conf"
CA_FILE = "/usr/local/share/ca-certificates/pcg-proxy.crt"
"""where update-ca-certificates looks"""

ALWAYS_DIRECT = ("localhost", "127.0.0.0/8", "::1", ".svc", ".cluster.local")


def not_through_proxy(configuration: Configuration) -> list[str]:
    """NO_PROXY: what the configuration names, the cluster's own networks and names, and the nodes themselves.

    With DHCP the nodes' network is known to nobody beforehand; then it is the configuration's to name.
    """
    network = configuration.network
    found = [*configuration.proxy.no, *ALWAYS_DIRECT, network.pod_cidr, network.service_cidr]
    static = network.addresses.static
    if static is not None:
        found.append(str(ipaddress.ip_network(f"{static.gateway}/{static.prefix}", strict=False)))
    if network.control_plane_address:
        found.append(network.control_plane_address)
    return list(dict.fromkeys(found))


def drop_in(configuration: Configuration) -> str | None:
    """None where there is no proxy."""
    proxy = configuration.proxy
    if not (proxy.http or proxy.https):
        return None
    values = {
        "HTTP_PROXY": proxy.http,
        "HTTPS_PROXY": proxy.https,
        "NO_PROXY": ",".join(not_through_proxy(configuration)),
    }
    lines = [f"Environment={_quoted(f'{name}={value}')}\n" for name, value in values.items() if value]
    return "[Service]\n" + "".join(lines)


def _quoted(text: str) -> str:
    """As systemd.syntax(7) and systemd.unit(5) want it: a password may hold a quote, a backslash or a percent sign."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("%", "%%")
    return f'"{escaped}"'
