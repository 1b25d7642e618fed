"""The two cloud-init documents of a machine: user data (what to become) and meta data (who and where it is).

https://cloudinit.readthedocs.io/en/latest/reference/datasources/vmware.html The step `machines` puts them into guest
info. Nothing in them is secret for longer than the cluster's bootstrap token lives, but for the keys of its CAs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import yaml

from pcg import __version__
from pcg.model.configuration import Configuration, DhcpAddresses
from pcg.nodes import kubeadm, manifests
from pcg.nodes.pki import ClusterSecrets

KUBEADM_FILE = "/run/kubeadm/kubeadm.yaml"


@dataclass(frozen=True)
class NodePlan:
    """One node-to-be. `join` is HOST:PORT of the API server to join, None for the first node."""

    name: str
    join: str | None
    endpoint: str
    """the console's URL, for jet"""
    ca_pem: str
    """the console's CA, for jet"""
    jet_template: str = field(default_factory=lambda: manifests.jet_manifest_template(__version__), repr=False)
    """jet's manifest as the console's release gives it, or else this version's own"""


def user_data(plan: NodePlan, configuration: Configuration, secrets: ClusterSecrets) -> str:
    """`#cloud-config` YAML."""
    command = "init" if plan.join is None else "join"
    run: list[list[str]] = [["kubeadm", command, "--config", KUBEADM_FILE]]
    if plan.join is None:
        run.append(
            [
                *["kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf"],
                *["apply", "-f", "/etc/kubernetes/addons/jet.yaml"],
            ]
        )
    document: dict[str, Any] = {
        "hostname": plan.name,
        "manage_etc_hosts": "localhost",
        "ssh_authorized_keys": configuration.ssh_keys,
        "write_files": _files(plan, configuration, secrets),
        "runcmd": run,
    }
    if configuration.network.ntp_servers:
        document["ntp"] = {"enabled": True, "servers": configuration.network.ntp_servers}
    return "#cloud-config\n" + yaml.safe_dump(document, sort_keys=False)


def meta_data(name: str, instance: str, configuration: Configuration, address: str | None) -> str:
    """Network configuration version 2; `address` None asks for DHCP."""
    network = configuration.network
    ethernet: dict[str, Any] = {"match": {"name": "e*"}}
    name_servers: dict[str, Any] = {}
    if network.name_servers:
        name_servers["addresses"] = network.name_servers
    static = network.addresses.static
    search = (static or network.addresses.dhcp or DhcpAddresses()).search_domains
    if search:
        name_servers["search"] = search
    if static is None or address is None:
        ethernet["dhcp4"] = True
    else:
        ethernet["dhcp4"] = False
        ethernet["addresses"] = [f"{address}/{static.prefix}"]
        ethernet["routes"] = [{"to": "default", "via": static.gateway}]
    if name_servers:
        ethernet["nameservers"] = name_servers
    return yaml.safe_dump(
        {
            "instance-id": instance,
            "local-hostname": name,
            "network": {"version": 2, "ethernets": {"id0": ethernet}},
        },
        sort_keys=False,
    )


def _files(plan: NodePlan, configuration: Configuration, secrets: ClusterSecrets) -> list[dict[str, str]]:
    files = [
        _file("/etc/kubernetes/pki/ca.crt", secrets.ca_certificate, "0644"),
        _file("/etc/kubernetes/pki/ca.key", secrets.ca_key),
        # kubeadm joins a control-plane node only where it finds all of these (its `SharedCertificateExists`).
        _file("/etc/kubernetes/pki/sa.key", secrets.service_account_key),
        _file("/etc/kubernetes/pki/sa.pub", secrets.service_account_public_key),
        _file("/etc/kubernetes/pki/front-proxy-ca.crt", secrets.front_proxy_ca_certificate, "0644"),
        _file("/etc/kubernetes/pki/front-proxy-ca.key", secrets.front_proxy_ca_key),
        _file("/etc/kubernetes/pki/etcd/ca.crt", secrets.etcd_ca_certificate, "0644"),
        _file("/etc/kubernetes/pki/etcd/ca.key", secrets.etcd_ca_key),
    ]
    if plan.join is None:
        files.append(_file(KUBEADM_FILE, kubeadm.init_configuration(plan.name, configuration, secrets)))
        way = configuration.proxy
        proxies = {
            "PCG_HTTP_PROXY": way.http,
            "PCG_HTTPS_PROXY": way.https,
            "PCG_NO_PROXY": ",".join(way.no),
            "PCG_PROXY_CA_PEM": way.ca,
        }
        jet = manifests.jet_manifest(plan.jet_template, plan.endpoint, plan.ca_pem, proxies)
        files.append(_file("/etc/kubernetes/addons/jet.yaml", jet))
    else:
        files.append(_file(KUBEADM_FILE, kubeadm.join_configuration(plan.name, plan.join, secrets)))
    shared = configuration.network.control_plane_address
    if shared:
        files.append(_file("/etc/kubernetes/manifests/kube-vip.yaml", manifests.kube_vip_manifest(shared)))
    proxy = configuration.proxy
    if proxy.http or proxy.https:
        lines = {"HTTP_PROXY": proxy.http, "HTTPS_PROXY": proxy.https, "NO_PROXY": ",".join(proxy.no)}
        text = "".join(f'{name}="{value}"\n' for name, value in lines.items() if value)
        files.append(_file("/etc/systemd/system/containerd.service.d/proxy.env", text))
    if proxy.ca:
        files.append(_file("/usr/local/share/ca-certificates/pcg-proxy.crt", proxy.ca, "0644"))
    return files


def _file(path: str, content: str, permissions: str = "0600") -> dict[str, str]:
    return {"path": path, "owner": "root:root", "permissions": permissions, "content": content}
