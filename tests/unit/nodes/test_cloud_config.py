"""The documents that a machine is given: well formed, complete, and without a secret too many."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from pcg import __version__
from pcg.model.configuration import Configuration, parse_configuration
from pcg.nodes import control_plane_address, manifests, proxy
from pcg.nodes.cloud_config import KUBEADM_FILE, MODULES_FILE, SYSCTL_FILE, NodePlan, meta_data, user_data
from pcg.nodes.pki import cluster_secrets

SECRETS = cluster_secrets(b"s" * 32, "gateway-1", 1)
SHARED = "127.64.0.9"
PREPARATION = [
    ["swapoff", "-a"],
    ["modprobe", "-a", "overlay", "br_netfilter"],
    ["sysctl", "--system"],
    ["systemctl", "enable", "containerd", "kubelet"],
]
KERNEL = {MODULES_FILE, SYSCTL_FILE}
JET = "/etc/kubernetes/addons/jet.yaml"
KUBE_VIP = "/etc/kubernetes/manifests/kube-vip.yaml"
PKI = {
    f"/etc/kubernetes/pki/{name}"
    for name in (
        *("ca.crt", "ca.key", "sa.key", "sa.pub"),
        *("front-proxy-ca.crt", "front-proxy-ca.key", "etcd/ca.crt", "etcd/ca.key"),
    )
}


def configuration(**sections: Any) -> Configuration:
    document: dict[str, Any] = {
        "cloud": "simulated",
        "vcenter": {"address": "127.0.0.1:1", "username": "administrator-of-everything"},
        "placement": [{"datacenter": "d", "cluster": "c", "datastore": "s", "network": "n"}],
        "template": {"image": "node.ova"},
    }
    return parse_configuration(document | sections)[0]


def plan(name: str = "node-1", join: str | None = None) -> NodePlan:
    return NodePlan(name, join, "https://console.test", "CONSOLE PEM\n")


def first(**sections: Any) -> dict[str, Any]:
    return parsed(user_data(plan(), configuration(**sections), SECRETS))


def second(**sections: Any) -> dict[str, Any]:
    return parsed(user_data(plan("node-2", f"{SHARED}:6443"), configuration(**sections), SECRETS))


def parsed(text: str) -> dict[str, Any]:
    assert text.startswith("#cloud-config\n")
    document = yaml.safe_load(text)
    assert isinstance(document, dict)
    return document


def files(document: dict[str, Any]) -> dict[str, str]:
    return {entry["path"]: entry["content"] for entry in document["write_files"]}


def kubeadm(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {entry["kind"]: entry for entry in yaml.safe_load_all(files(document)[KUBEADM_FILE])}


def test_the_first_node_initialises_the_cluster_and_applies_jet() -> None:
    document = first()
    assert document["hostname"] == "node-1"
    assert document["runcmd"] == [
        *PREPARATION,
        ["kubeadm", "init", "--config", KUBEADM_FILE],
        ["sed", "-i", "s|__POD_CIDR__|192.168.0.0/16|g", "/usr/share/pcg/cni/calico.yaml"],
        ["kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf", "apply", "-f", "/usr/share/pcg/cni/calico.yaml"],
        ["kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf", "apply", "-f", JET],
    ]
    assert set(files(document)) == PKI | KERNEL | {KUBEADM_FILE, JET}


def test_a_further_node_joins_and_brings_no_jet() -> None:
    document = second()
    assert document["runcmd"] == [*PREPARATION, ["kubeadm", "join", "--config", KUBEADM_FILE]]
    assert set(files(document)) == PKI | KERNEL | {KUBEADM_FILE}


def test_every_node_gets_the_clusters_ca_and_keys_which_only_root_may_read() -> None:
    for document in (first(), second()):
        found = files(document)
        assert found["/etc/kubernetes/pki/ca.crt"] == SECRETS.ca_certificate
        assert found["/etc/kubernetes/pki/ca.key"] == SECRETS.ca_key
        assert found["/etc/kubernetes/pki/sa.key"] == SECRETS.service_account_key
        assert "PUBLIC KEY" in found["/etc/kubernetes/pki/sa.pub"]
        assert found["/etc/kubernetes/pki/etcd/ca.key"] == SECRETS.etcd_ca_key
        assert found["/etc/kubernetes/pki/front-proxy-ca.key"] == SECRETS.front_proxy_ca_key
        modes = {entry["path"]: entry["permissions"] for entry in document["write_files"]}
        public = {path for path, mode in modes.items() if mode != "0600"}
        assert public == {path for path in PKI if path.endswith(".crt")} | KERNEL
        assert {entry["owner"] for entry in document["write_files"]} == {"root:root"}


def test_init_names_the_node_the_networks_and_the_token() -> None:
    documents = kubeadm(first(network={"podCidr": "10.20.0.0/16", "serviceCidr": "10.30.0.0/16"}))
    init, cluster = documents["InitConfiguration"], documents["ClusterConfiguration"]
    assert init["nodeRegistration"]["name"] == "node-1"
    assert init["nodeRegistration"]["taints"] == []  # or jet would find no place
    (token,) = init["bootstrapTokens"]
    assert (token["token"], token["ttl"]) == (SECRETS.bootstrap_token(1), "3600s")
    assert cluster["networking"] == {"podSubnet": "10.20.0.0/16", "serviceSubnet": "10.30.0.0/16"}
    assert cluster["kubernetesVersion"] == "v1.30.14"  # kubeadm refuses a version without its patch level
    assert (cluster["etcd"]["local"]["imageTag"], cluster["dns"]["imageTag"]) == ("3.5.15-0", "v1.11.3")
    assert "controlPlaneEndpoint" not in cluster
    assert "imageRepository" not in cluster


def test_join_pins_the_ca_and_waits_longer_than_a_first_node_takes() -> None:
    join = kubeadm(second())["JoinConfiguration"]
    token = join["discovery"]["bootstrapToken"]
    assert token["apiServerEndpoint"] == f"{SHARED}:6443"
    assert token["caCertHashes"] == [SECRETS.ca_hash]
    assert token["token"] == SECRETS.bootstrap_token(1)
    assert "unsafeSkipCAVerification" not in token
    assert join["discovery"]["timeout"] == "15m0s"
    assert join["controlPlane"] == {"localAPIEndpoint": {"bindPort": 6443}}


def test_a_control_plane_address_is_announced_by_every_node() -> None:
    sections = {"nodes": {"count": 3}, "network": {"controlPlaneAddress": SHARED}}
    for document in (first(**sections), second(**sections)):
        pod = yaml.safe_load(files(document)[KUBE_VIP])
        environment = {entry["name"]: entry["value"] for entry in pod["spec"]["containers"][0]["env"]}
        assert environment["address"] == SHARED
        assert environment["vip_leaderelection"] == "true"
        assert pod["spec"]["hostNetwork"] is True
    assert kubeadm(first(**sections))["ClusterConfiguration"]["controlPlaneEndpoint"] == f"{SHARED}:6443"


def test_a_registry_of_ones_own_serves_the_images() -> None:
    registry: dict[str, Any] = {"kubernetes": {"registry": "registry.test/k8s"}}
    shared: dict[str, Any] = {"network": {"controlPlaneAddress": SHARED}}
    documents = kubeadm(first(**registry))
    assert documents["ClusterConfiguration"]["imageRepository"] == "registry.test/k8s"
    assert documents["InitConfiguration"]["nodeRegistration"]["imagePullPolicy"] == "IfNotPresent"
    pod = yaml.safe_load(files(first(**registry, **shared))[KUBE_VIP])
    assert pod["spec"]["containers"][0]["image"] == "registry.test/k8s/kube-vip:v0.8.9"


def test_without_a_registry_kubeadm_pulls_nothing() -> None:
    assert kubeadm(first())["InitConfiguration"]["nodeRegistration"]["imagePullPolicy"] == "Never"
    assert kubeadm(second())["JoinConfiguration"]["nodeRegistration"]["imagePullPolicy"] == "Never"


def test_kube_vip_is_the_super_administrator_on_the_first_node_until_init_is_over() -> None:
    """https://github.com/kube-vip/kube-vip/issues/684"""
    sections: dict[str, Any] = {"nodes": {"count": 3}, "network": {"controlPlaneAddress": SHARED}}

    def kubeconfig(document: dict[str, Any]) -> str:
        volumes = yaml.safe_load(files(document)[KUBE_VIP])["spec"]["volumes"]
        (volume,) = [volume["hostPath"] for volume in volumes if volume["name"] == "kubeconfig"]
        assert volume["type"] == "File"  # else the kubelet makes a folder where kubeadm wants to write a file
        return str(volume["path"])

    assert kubeconfig(first(**sections)) == "/etc/kubernetes/super-admin.conf"
    assert kubeconfig(second(**sections)) == "/etc/kubernetes/admin.conf"
    _, what, how, file = first(**sections)["runcmd"][-1]
    assert (what, file) == ("-i", KUBE_VIP)
    _, before, after, _ = how.split("|")
    changed = files(first(**sections))[KUBE_VIP].replace(before, after)
    assert changed == files(second(**sections))[KUBE_VIP]
    assert ["sed"] not in [command[:1] for command in second(**sections)["runcmd"]]
    assert files(second(**sections))[control_plane_address.HOSTS_FILE] == "127.0.0.1 localhost kubernetes\n"


def test_the_pod_network_is_the_chosen_one_and_gets_its_networks_range() -> None:
    run = first(kubernetes={"cni": "flannel"}, network={"podCidr": "10.20.0.0/16"})["runcmd"]
    file = "/usr/share/pcg/cni/flannel.yaml"
    assert ["sed", "-i", "s|__POD_CIDR__|10.20.0.0/16|g", file] in run
    assert ["kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf", "apply", "-f", file] in run


def test_each_machine_has_a_token_of_its_own_and_the_first_knows_those_that_join_beside_it() -> None:
    wanted = configuration(nodes={"count": 3}, network={"controlPlaneAddress": SHARED})
    making = NodePlan("node-1", None, "https://c", "PEM", ordinal=1, joining=(2, 3))
    known = kubeadm(parsed(user_data(making, wanted, SECRETS)))["InitConfiguration"]["bootstrapTokens"]
    joining = NodePlan("node-3", f"{SHARED}:6443", "https://c", "PEM", ordinal=3)
    own = kubeadm(parsed(user_data(joining, wanted, SECRETS)))["JoinConfiguration"]["discovery"]["bootstrapToken"]
    tokens = [entry["token"] for entry in known]
    assert len(set(tokens)) == 3
    assert own["token"] == tokens[2] == SECRETS.bootstrap_token(3)


def test_jets_manifest_makes_its_namespace_before_its_deployment() -> None:
    namespace, deployment = yaml.safe_load_all(files(first())[JET])
    assert (namespace["kind"], namespace["metadata"]["name"]) == ("Namespace", "pcg-system")
    spec = deployment["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    environment = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert container["image"] == f"pcg/jet:{__version__}"
    assert environment["PCG_ENDPOINT"] == "https://console.test"
    assert environment["PCG_CA_PEM"] == "CONSOLE PEM\n"
    assert environment["PCG_JET_TOKEN_FILE"].startswith(container["volumeMounts"][0]["mountPath"] + "/")
    assert spec["volumes"] == [{"name": "token", "secret": {"secretName": "jet-token", "optional": True}}]
    assert deployment["spec"]["selector"]["matchLabels"] == deployment["spec"]["template"]["metadata"]["labels"]


def test_jet_is_given_the_configured_way_to_the_console_and_nothing_where_there_is_none() -> None:
    def variables(proxies: dict[str, str]) -> dict[str, str]:
        deployment = list(
            yaml.safe_load_all(
                manifests.jet_manifest(manifests.jet_manifest_template("1"), "https://c", "PEM", proxies)
            )
        )[1]
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        return {item["name"]: item["value"] for item in container["env"] if "PROXY" in item["name"]}

    given = {"PCG_HTTPS_PROXY": "http://proxy:3128", "PCG_NO_PROXY": "10.0.0.0/8", "PCG_HTTP_PROXY": ""}
    assert variables(given) == {"PCG_HTTPS_PROXY": "http://proxy:3128", "PCG_NO_PROXY": "10.0.0.0/8"}
    assert variables({}) == {}


def test_jet_runs_without_rights_that_it_does_not_need() -> None:
    _, deployment = yaml.safe_load_all(files(first())[JET])
    spec = deployment["spec"]["template"]["spec"]
    context = spec["containers"][0]["securityContext"]
    assert spec["automountServiceAccountToken"] is False
    assert context["runAsNonRoot"] is True
    assert context["allowPrivilegeEscalation"] is False
    assert context["readOnlyRootFilesystem"] is True
    assert context["capabilities"] == {"drop": ["ALL"]}


def test_no_manifest_carries_a_secret_and_no_document_the_vcenters_account() -> None:
    for document in (first(), second()):
        text = yaml.safe_dump(document)
        assert "administrator-of-everything" not in text
        assert "password" not in text.lower()
        assert not any("kind: Secret\n" in content for content in files(document).values())
        assert text.count("PRIVATE KEY") == 8  # of three CAs and of the service accounts, each with its end


def test_the_bootstrap_token_stands_in_the_kubeadm_file_alone() -> None:
    for document in (first(), second()):
        holding = [path for path, content in files(document).items() if SECRETS.bootstrap_token(1) in content]
        assert holding == [KUBEADM_FILE]


def test_the_proxy_is_given_to_the_container_runtime_with_its_ca() -> None:
    given = {"http": "http://proxy.test:3128", "no": ["127.64.0.0/10", ".lab.test"], "ca": "PROXY PEM"}
    document = first(proxy=given)
    section, *lines = files(document)[proxy.DROP_IN].splitlines()
    assert section == "[Service]"
    assert lines == [
        'Environment="HTTP_PROXY=http://proxy.test:3128"',
        'Environment="NO_PROXY=127.64.0.0/10,.lab.test,localhost,127.0.0.0/8,::1,.svc,.cluster.local,'
        '192.168.0.0/16,10.96.0.0/12"',
    ]
    assert files(document)["/usr/local/share/ca-certificates/pcg-proxy.crt"] == "PROXY PEM"
    taken_up = [["update-ca-certificates"], ["systemctl", "daemon-reload"], ["systemctl", "restart", "containerd"]]
    begin = document["runcmd"].index(taken_up[0])
    assert document["runcmd"][begin : begin + 3] == taken_up
    assert document["runcmd"][begin + 3][0] == "kubeadm"


def test_the_nodes_and_their_shared_address_are_not_asked_through_the_proxy() -> None:
    static = {"range": "10.10.20.10-10.10.20.20", "prefix": 24, "gateway": "10.10.20.1"}
    network = {"addresses": {"static": static}, "controlPlaneAddress": "10.10.20.5"}
    found = proxy.not_through_proxy(configuration(network=network, proxy={"https": "http://proxy.test:3128"}))
    assert {"10.10.20.0/24", "10.10.20.5"} <= set(found)


def test_what_a_proxys_password_may_hold_means_nothing_to_systemd() -> None:
    """systemd.syntax(7): quotes and backslashes; systemd.unit(5): % begins a specifier."""
    found = proxy.drop_in(configuration(proxy={"https": 'http://me:a%20b"c\\d@proxy.test:3128'})) or ""
    assert 'Environment="HTTPS_PROXY=http://me:a%%20b\\"c\\\\d@proxy.test:3128"' in found.splitlines()


def test_without_a_proxy_the_container_runtime_is_left_as_it_is() -> None:
    assert proxy.DROP_IN not in files(first())
    assert not [command for command in first()["runcmd"] if "containerd" in command and "enable" not in command]


def test_keys_and_time_servers_are_passed_on_and_absent_when_there_are_none() -> None:
    document = first(sshKeys=["ssh-ed25519 AAAA me"], network={"ntpServers": ["127.64.0.3"]})
    assert document["ssh_authorized_keys"] == ["ssh-ed25519 AAAA me"]
    assert document["ntp"] == {"enabled": True, "ntp_client": "chrony", "servers": ["127.64.0.3"]}
    assert document["ssh_pwauth"] is False
    assert not {"ntp", "ssh_authorized_keys"} & first().keys()


def test_the_same_machine_gets_the_same_documents() -> None:
    """A step that is repeated after a kill must not ask for another machine."""
    assert user_data(plan(), configuration(), SECRETS) == user_data(plan(), configuration(), SECRETS)


def ethernet(text: str) -> dict[str, Any]:
    document = yaml.safe_load(text)
    assert document["network"]["version"] == 2
    found = document["network"]["ethernets"]["id0"]
    assert isinstance(found, dict)
    return found


def test_meta_data_says_who_the_machine_is_and_asks_for_dhcp() -> None:
    text = meta_data("node-1", "instance-1", configuration(), None)
    document = yaml.safe_load(text)
    assert (document["instance-id"], document["local-hostname"]) == ("instance-1", "node-1")
    assert ethernet(text) == {"match": {"name": "e*"}, "dhcp4": True, "dhcp-identifier": "mac"}


def test_meta_data_gives_a_static_address_with_prefix_gateway_and_name_servers() -> None:
    static = {"range": "127.64.0.20-127.64.0.30", "prefix": 24, "gateway": "127.64.0.1"}
    network = {"addresses": {"static": static}, "nameServers": ["127.64.0.2"]}
    found = ethernet(meta_data("node-1", "i", configuration(network=network), "127.64.0.20"))
    assert found["dhcp4"] is False
    assert found["addresses"] == ["127.64.0.20/24"]
    assert found["routes"] == [{"to": "default", "via": "127.64.0.1"}]
    assert found["nameservers"] == {"addresses": ["127.64.0.2"]}


def test_meta_data_searches_the_domains_of_dhcp() -> None:
    network = {"addresses": {"dhcp": {"searchDomains": ["lab.test"]}}}
    found = ethernet(meta_data("node-1", "i", configuration(network=network), None))
    assert found["nameservers"] == {"search": ["lab.test"]}


def test_meta_data_of_a_subnet_has_its_prefix_and_search_domains() -> None:
    static = {"subnet": "10.10.20.0/26", "gateway": "10.10.20.1", "searchDomains": ["lab.test"]}
    found = ethernet(meta_data("node-1", "i", configuration(network={"addresses": {"static": static}}), "10.10.20.5"))
    assert found["addresses"] == ["10.10.20.5/26"]
    assert found["nameservers"] == {"search": ["lab.test"]}


@pytest.mark.parametrize("number", ["1e3", "0x10", "yes", "null", "012"])
def test_values_that_yaml_could_take_for_others_stay_texts(number: str) -> None:
    document = yaml.safe_load(meta_data(number, number, configuration(), None))
    assert (document["instance-id"], document["local-hostname"]) == (number, number)
