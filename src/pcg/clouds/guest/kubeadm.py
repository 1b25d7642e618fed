"""`kubeadm init` and `kubeadm join` as a simulated machine runs them, from the files it was given and nothing else.

Each takes effect whole at its end: a power cut in between leaves the machine as if it had not been run. Called by the
guest's shell.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import httpx
import yaml

from pcg.clouds.guest.api_servers import API_PORT
from pcg.clouds.guest.certificates import Authority, Peer, public_key_hash
from pcg.clouds.guest.cluster import CLUSTER_FILE, Cluster
from pcg.clouds.guest.disk import MachineDisk
from pcg.clouds.guest.environment import Environment
from pcg.clouds.guest.etcd_api import PEER_PORT
from pcg.clouds.guest.kubeadm_config import (
    CONTROL_PLANE_TAINT,
    ConfigError,
    InitConfig,
    JoinConfig,
    check_shared_files,
    checked_node_name,
    init_config,
    join_config,
    load_authority,
)
from pcg.clouds.guest.kubernetes_api.authentication import ADMINISTRATORS, token_secret
from pcg.clouds.guest.kubernetes_api.status import StatusError
from pcg.clouds.guest.logs import GuestLogs
from pcg.clouds.guest.node import (
    ETCD_CA_FILE,
    ETCD_CA_KEY_FILE,
    ETCD_SERVING_FILE,
    ETCD_SERVING_KEY_FILE,
    REGISTRATION_FILE,
    SERVING_FILE,
    SERVING_KEY_FILE,
    Node,
    registration,
)
from pcg.model.yaml_document import write_yaml
from pcg.network.addresses import is_address

ADMIN_CONF = "/etc/kubernetes/admin.conf"
KUBELET_CONF = "/etc/kubernetes/kubelet.conf"
_CONTROL_PLANE_LABELS = {"node-role.kubernetes.io/control-plane": ""}
_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
_CLUSTER_INFO = "/api/v1/namespaces/kube-public/configmaps/cluster-info"
_KUBEADM_CONFIG = "/api/v1/namespaces/kube-system/configmaps/kubeadm-config"


class Kubeadm:
    """`make_node` builds the Node of this machine in a cluster; the caller starts and closes it."""

    def __init__(
        self,
        *,
        machine_id: str,
        host_name: str,
        address: str,
        disk: MachineDisk,
        logs: GuestLogs,
        environment: Environment,
        make_node: Callable[[str, Cluster], Node],
    ) -> None:
        self._machine_id = machine_id
        self._host_name = host_name
        self._address = address
        self._disk = disk
        self._logs = logs
        self._environment = environment
        self._make_node = make_node

    async def run(self, arguments: list[str]) -> tuple[int, Node | None]:
        """The exit code, and the node that the machine became."""
        try:
            verb, path = _parse(arguments)
            if self._disk.exists(KUBELET_CONF):
                raise ConfigError(f"[ERROR FileAvailable--etc-kubernetes-kubelet.conf]: {KUBELET_CONF} already exists")
            node = await (self._init(path) if verb == "init" else self._join(path))
        except ConfigError as error:
            self._say(f"error execution phase preflight: {error}")
            self._say("To see the stack trace of this error execute with --v=5 or higher")
            return 1, None
        return 0, node

    async def _init(self, path: str) -> Node:
        config = init_config(self._disk, path)
        name = checked_node_name(config.node_name or self._host_name)
        own = f"{self._address}:{API_PORT}"
        began = self._environment.clock.monotonic()
        self._say(f"[init] Using Kubernetes version: v{config.version}")
        self._say("[preflight] Running pre-flight checks")
        authority = load_authority(self._disk)
        durations, take = self._environment.durations, self._environment.take
        await take(durations.kubeadm_init * 0.25)
        self._say('[certs] Using certificateDir folder "/etc/kubernetes/pki"')
        self._say("[certs] Using existing ca certificate authority")
        self._write_serving(authority, name, config.endpoint)
        self._say(
            f"[certs] apiserver serving cert is signed for DNS names [kubernetes {name}] and IPs [{self._address}]"
        )
        self._say('[kubeconfig] Writing "admin.conf" kubeconfig file')
        self._say('[control-plane] Creating static Pod manifest for "kube-apiserver"')
        self._say('[etcd] Creating static Pod manifest for local etcd in "/etc/kubernetes/manifests"')
        self._say(
            "[wait-control-plane] Waiting for the kubelet to boot up the control plane as static Pods. "
            "This can take up to 4m0s"
        )
        await take(durations.kubeadm_init * 0.75)
        cluster = self._environment.clusters.new()
        node = self._make_node(name, cluster)
        await self._check_endpoint(config.endpoint or own, node)
        try:
            await node.start_api()
        except OSError as error:
            self._say(f"[kubelet-check] kube-apiserver: listen tcp {own}: bind: {error.strerror}")
            raise ConfigError("couldn't initialize a Kubernetes cluster: timed out waiting for the condition") from None
        self._found(cluster, config, authority, name)
        self._write_node_files(cluster, authority, config.endpoint or own, name, config.taints, control_plane=True)
        self._say("[apiclient] All control plane components are healthy")
        self._say(f"[mark-control-plane] Marking the node {name} as control-plane")
        self._say("[bootstrap-token] Configuring bootstrap tokens, cluster-info ConfigMap, RBAC Roles")
        self._say("[addons] Applied essential addon: CoreDNS")
        self._say("[addons] Applied essential addon: kube-proxy")
        self._say("\nYour Kubernetes control-plane has initialized successfully!\n")
        await self._environment.record(self._machine_id, "kubeadm init", began)
        return node

    async def _join(self, path: str) -> Node:
        config = join_config(self._disk, path)
        name = checked_node_name(config.node_name or self._host_name)
        self._say("[preflight] Running pre-flight checks")
        authority = load_authority(self._disk) if config.control_plane else None
        if authority is not None:
            check_shared_files(self._disk)
        ca, cluster = await self._discover(config)
        # The wait for another node's API server is that node's time, not this one's: joining begins here.
        if authority is not None and public_key_hash(ca) != public_key_hash(authority.pem):
            raise ConfigError("the CA certificate in /etc/kubernetes/pki is not the cluster's")
        began = self._environment.clock.monotonic()
        self._say("[preflight] Reading configuration from the cluster...")
        await self._environment.take(self._environment.durations.kubeadm_join)
        node = self._make_node(name, cluster)
        if authority is not None:
            self._write_serving(authority, name, config.endpoint)
            self._say("[etcd] Announced new etcd member joining to the existing etcd cluster")
            await self._become_member(node, name)
        taints = (
            config.taints if config.taints is not None else ((CONTROL_PLANE_TAINT,) if config.control_plane else ())
        )
        self._write_node_files(cluster, authority, config.endpoint, name, taints, control_plane=config.control_plane)
        kind = "control-plane" if config.control_plane else "worker"
        self._say(f"\nThis node has joined the cluster as a {kind} node\n")
        await self._environment.record(self._machine_id, "kubeadm join", began)
        return node

    async def _become_member(self, node: Node, name: str) -> None:
        peer = f"https://{self._address}:{PEER_PORT}"
        try:
            node.cluster.announce(peer)
            await node.start_api()
            node.cluster.add_member(name, self._disk, peer)
        except OSError as error:
            raise ConfigError(
                f"kube-apiserver: listen tcp {self._address}:{API_PORT}: bind: {error.strerror}"
            ) from None
        except StatusError as error:
            node.close()
            raise ConfigError(f"error creating local etcd static pod manifest file: {error.message}") from None

    async def _check_endpoint(self, endpoint: str, node: Node) -> None:
        """init waits for the API behind controlPlaneEndpoint: own address, or one that its kube-vip will announce."""
        host = endpoint.rpartition(":")[0]
        if host in (self._address, self._host_name) or host in node.control_plane_addresses():
            return
        await self._environment.take(self._environment.durations.init_timeout)
        self._say(
            f'[kubelet-check] Get "https://{endpoint}/healthz?timeout=10s": dial tcp {endpoint}: no route to host'
        )
        raise ConfigError("couldn't initialize a Kubernetes cluster: timed out waiting for the condition")

    async def _discover(self, config: JoinConfig) -> tuple[str, Cluster]:
        """The cluster's CA, checked against the pinned hashes, and the cluster; asked until kubeadm's own timeout."""
        clock, interval = self._environment.clock, self._environment.durations.discovery_interval
        deadline = clock.monotonic() + config.patience.total_seconds() / self._environment.speed
        told = ""
        while True:
            try:
                return await self._ask(config)
            except (httpx.HTTPError, _NotYet) as error:
                problem = f"{error}" or type(error).__name__
            if problem != told:
                told = problem
                self._say(
                    f'[discovery] Failed to request cluster-info, will try again: Get "https://{config.endpoint}'
                    f'{_CLUSTER_INFO}?timeout=10s": {problem}'
                )
            if clock.monotonic() >= deadline:
                raise ConfigError(f"couldn't validate the identity of the API Server: {problem}")
            await self._environment.take(interval)

    async def _ask(self, config: JoinConfig) -> tuple[str, Cluster]:
        base = f"https://{config.endpoint}"
        servers = self._environment.servers
        async with servers.client() as anybody:
            info = _data(await anybody.get(base + _CLUSTER_INFO))
        ca = _ca_of(info.get("kubeconfig", ""))
        if config.hashes and public_key_hash(ca) not in config.hashes:
            raise ConfigError(
                f"cluster CA found in cluster-info ConfigMap is invalid: none of the public keys "
                f'"{public_key_hash(ca)}" are pinned'
            )
        async with servers.client(ca=ca, token=config.token) as trusted:
            known = _data(await trusted.get(base + _KUBEADM_CONFIG))
        return ca, self._environment.clusters.get(known.get("ClusterId", ""))

    def _found(self, cluster: Cluster, config: InitConfig, authority: Authority, name: str) -> None:
        cluster.found(name, self._disk, config.version)
        store, now = cluster.store, self._environment.clock.now()
        for namespace in _NAMESPACES:
            store.create("namespaces", {"metadata": {"name": namespace}})
        for token in config.tokens:
            store.create("secrets", token_secret(token.token, now + token.ttl), "kube-system")
        endpoint = config.endpoint or f"{self._address}:{API_PORT}"
        info = {"kubeconfig": write_yaml(_kubeconfig(authority.pem, endpoint, {}), sort_keys=True)}
        store.create("configmaps", {"metadata": {"name": "cluster-info"}, "data": info}, "kube-public")
        known = {"ClusterConfiguration": config.cluster_yaml, "ClusterId": cluster.id}
        store.create("configmaps", {"metadata": {"name": "kubeadm-config"}, "data": known}, "kube-system")

    def _write_serving(self, authority: Authority, name: str, endpoint: str) -> None:
        names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost", name]
        addresses = [self._address, "10.96.0.1"]
        host = endpoint.rpartition(":")[0].strip("[]")
        if host and host not in addresses:
            (addresses if is_address(host) else names).append(host)
        certificate, key = authority.serving(names, addresses, self._environment.clock.now())
        self._disk.write(SERVING_FILE, certificate)
        self._disk.write(SERVING_KEY_FILE, key, 0o600)
        etcd = load_authority(self._disk, ETCD_CA_FILE, ETCD_CA_KEY_FILE)
        now = self._environment.clock.now()
        certificate, key = etcd.serving(["localhost", name], [self._address, "127.0.0.1"], now)
        self._disk.write(ETCD_SERVING_FILE, certificate)
        self._disk.write(ETCD_SERVING_KEY_FILE, key, 0o600)

    def _write_node_files(
        self,
        cluster: Cluster,
        authority: Authority | None,
        endpoint: str,
        name: str,
        taints: tuple[dict[str, Any], ...],
        *,
        control_plane: bool,
    ) -> None:
        """kubelet.conf comes last: it is what says that this machine is a node."""
        if authority is not None:
            admin = Peer("kubernetes-admin", (ADMINISTRATORS,))
            certificate, key = authority.client(admin, self._environment.clock.now())
            user = {"client-certificate-data": _base64(certificate), "client-key-data": _base64(key)}
            self._disk.write(ADMIN_CONF, write_yaml(_kubeconfig(authority.pem, endpoint, user), sort_keys=True), 0o600)
        labels = _CONTROL_PLANE_LABELS if control_plane else {}
        self._disk.write(REGISTRATION_FILE, json.dumps(registration(name, labels, list(taints))))
        self._disk.write(CLUSTER_FILE, cluster.id)
        self._disk.write(KUBELET_CONF, write_yaml({"current-context": f"system:node:{name}@kubernetes"}), 0o600)

    def _say(self, line: str) -> None:
        self._logs.output(line)


class _NotYet(Exception):
    """The API answers, but not what joining needs."""


def _parse(arguments: list[str]) -> tuple[str, str]:
    if arguments[:1] not in (["init"], ["join"]):
        raise ConfigError(f'unknown command "{" ".join(arguments)}" for "kubeadm"')
    path = ""
    for word, following in pairwise([*arguments[1:], ""]):
        if word == "--config":
            path = following
        elif word.startswith("--config="):
            path = word.removeprefix("--config=")
    if not path:
        raise ConfigError("a --config file is needed here")
    return arguments[0], path


def _data(answer: httpx.Response) -> dict[str, str]:
    if answer.status_code in (401, 403):
        raise _NotYet(f"HTTP {answer.status_code}: the bootstrap token is not accepted")
    if answer.status_code != 200:
        raise _NotYet(f"HTTP {answer.status_code}")
    data = answer.json().get("data")
    return data if isinstance(data, dict) else {}


def _ca_of(kubeconfig: str) -> str:
    try:
        document = yaml.safe_load(kubeconfig)
        return base64.b64decode(document["clusters"][0]["cluster"]["certificate-authority-data"]).decode()
    except (yaml.YAMLError, KeyError, TypeError, IndexError, ValueError) as error:
        raise _NotYet(f"the cluster-info ConfigMap cannot be read: {error}") from None


def _kubeconfig(ca: str, endpoint: str, user: dict[str, str]) -> dict[str, Any]:
    cluster = {"certificate-authority-data": _base64(ca), "server": f"https://{endpoint}"}
    document: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "kubernetes", "cluster": cluster}],
    }
    if user:
        context = {"cluster": "kubernetes", "user": "kubernetes-admin"}
        document |= {
            "users": [{"name": "kubernetes-admin", "user": user}],
            "contexts": [{"name": "kubernetes-admin@kubernetes", "context": context}],
            "current-context": "kubernetes-admin@kubernetes",
        }
    return document


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
