"""The two cloud-init documents of a machine: user data (what to become) and meta data (who and where it is).

https://cloudinit.readthedocs.io/en/latest/reference/datasources/vmware.html The step `machines` puts them into guest
info; user data is taken out again once the machine has joined, meta data stays, since cloud-init reads it at each boot.
What both need of the node image stands in docs/node-image.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pcg import __version__
from pcg.model.configuration import Configuration, DhcpAddresses
from pcg.model.yaml_document import write_yaml
from pcg.nodes import control_plane_address, kubeadm, manifests, proxy
from pcg.nodes.pki import ClusterSecrets

KUBEADM_FILE = "/run/kubeadm/kubeadm.yaml"
JET_FILE = "/etc/kubernetes/addons/jet.yaml"
POD_NETWORK_FOLDER = "/usr/share/pcg/cni"
"""in the node image: a manifest for each pod network, NAME.yaml"""
POD_CIDR_PLACEHOLDER = "__POD_CIDR__"
"""in those manifests: replaced by `network.podCidr`"""
MODULES_FILE = "/etc/modules-load.d/kubernetes.conf"
KERNEL_MODULES = ("overlay", "br_netfilter")
SYSCTL_FILE = "/etc/sysctl.d/99-kubernetes.conf"
SYSCTLS = ("net.ipv4.ip_forward", "net.bridge.bridge-nf-call-iptables", "net.bridge.bridge-nf-call-ip6tables")
"""each must be 1: https://kubernetes.io/docs/setup/production-environment/container-runtimes/"""


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
    ordinal: int = 1
    """the machine's number, from which its bootstrap token follows"""
    joining: tuple[int, ...] = ()
    """for the first node: the numbers of the machines that join while it is still being made"""


def user_data(plan: NodePlan, configuration: Configuration, secrets: ClusterSecrets) -> str:
    """`#cloud-config` YAML."""
    document: dict[str, Any] = {
        "hostname": plan.name,
        "manage_etc_hosts": "localhost",
        "ssh_pwauth": False,
        "ssh_authorized_keys": configuration.ssh_keys,
        "write_files": _files(plan, configuration, secrets),
        "runcmd": _commands(plan, configuration),
    }
    if not configuration.ssh_keys:
        del document["ssh_authorized_keys"]
    if configuration.network.ntp_servers:
        # By name: cloud-init would else take what it finds first, and install a package where it finds none.
        servers = configuration.network.ntp_servers
        document["ntp"] = {"enabled": True, "ntp_client": "chrony", "servers": servers}
    return "#cloud-config\n" + write_yaml(document)


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
        # Clones of one template may share a machine id, from which the client's id would else be made.
        ethernet["dhcp-identifier"] = "mac"
    else:
        ethernet["dhcp4"] = False
        ethernet["addresses"] = [f"{address}/{static.prefix}"]
        ethernet["routes"] = [{"to": "default", "via": static.gateway}]
    if name_servers:
        ethernet["nameservers"] = name_servers
    return write_yaml(
        {
            "instance-id": instance,
            "local-hostname": name,
            "network": {"version": 2, "ethernets": {"id0": ethernet}},
        },
    )


def _commands(plan: NodePlan, configuration: Configuration) -> list[list[str]]:
    """One script in this order; cloud-init goes on after a command that failed."""
    run = [
        ["swapoff", "-a"],
        ["modprobe", "-a", *KERNEL_MODULES],
        ["sysctl", "--system"],
        # Without it the kubelet would not come back with the machine.
        ["systemctl", "enable", "containerd", "kubelet"],
    ]
    if configuration.proxy.ca:
        run.append(["update-ca-certificates"])
    if configuration.proxy.ca or proxy.drop_in(configuration):
        run += [["systemctl", "daemon-reload"], ["systemctl", "restart", "containerd"]]
    if plan.join is not None:
        return [*run, ["kubeadm", "join", "--config", KUBEADM_FILE]]
    pod_network = f"{POD_NETWORK_FOLDER}/{configuration.kubernetes.cni}.yaml"
    run += [
        ["kubeadm", "init", "--config", KUBEADM_FILE],
        ["sed", "-i", f"s|{POD_CIDR_PLACEHOLDER}|{configuration.network.pod_cidr}|g", pod_network],
        ["kubectl", "--kubeconfig", control_plane_address.ADMIN, "apply", "-f", pod_network],
        ["kubectl", "--kubeconfig", control_plane_address.ADMIN, "apply", "-f", JET_FILE],
    ]
    if configuration.network.control_plane_address:
        run.append(control_plane_address.after_init())  # last: the address is away while its pod starts anew
    return run


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
        _file(MODULES_FILE, "".join(f"{name}\n" for name in KERNEL_MODULES), "0644"),
        _file(SYSCTL_FILE, "".join(f"{name} = 1\n" for name in SYSCTLS), "0644"),
    ]
    first = plan.join is None
    if plan.join is None:
        ordinals = (plan.ordinal, *plan.joining)
        files.append(_file(KUBEADM_FILE, kubeadm.init_configuration(plan.name, configuration, secrets, ordinals)))
        files.append(_file(JET_FILE, _jet(plan, configuration)))
    else:
        joining = kubeadm.join_configuration(plan.name, configuration, secrets, plan.join, plan.ordinal)
        files.append(_file(KUBEADM_FILE, joining))
    shared = configuration.network.control_plane_address
    if shared:
        kube_vip = control_plane_address.manifest(shared, configuration.kubernetes.registry, first=first)
        files.append(_file(control_plane_address.MANIFEST_FILE, kube_vip))
        files.append(_file(control_plane_address.HOSTS_FILE, control_plane_address.HOSTS, "0644"))
    drop_in = proxy.drop_in(configuration)
    if drop_in:
        files.append(_file(proxy.DROP_IN, drop_in))
    if configuration.proxy.ca:
        files.append(_file(proxy.CA_FILE, configuration.proxy.ca, "0644"))
    return files


def _jet(plan: NodePlan, configuration: Configuration) -> str:
    way = configuration.proxy
    proxies = {
        "PCG_HTTP_PROXY": way.http,
        "PCG_HTTPS_PROXY": way.https,
        "PCG_NO_PROXY": ",".join(way.no),
        "PCG_PROXY_CA_PEM": way.ca,
    }
    return manifests.jet_manifest(plan.jet_template, plan.endpoint, plan.ca_pem, proxies)


def _file(path: str, content: str, permissions: str = "0600") -> dict[str, str]:
    return {"path": path, "owner": "root:root", "permissions": permissions, "content": content}
