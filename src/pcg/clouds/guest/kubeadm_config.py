"""The files that kubeadm reads: /run/kubeadm/kubeadm.yaml (kubeadm.k8s.io/v1beta3) and the cluster's CA.

Raises ConfigError with kubeadm's own words; the command prints them and ends with 1.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import yaml

from pcg.clouds.guest.api_servers import API_PORT
from pcg.clouds.guest.certificates import Authority
from pcg.clouds.guest.disk import MachineDisk
from pcg.clouds.guest.kubernetes_api.resources import NAME
from pcg.clouds.guest.node import CA_FILE, CA_KEY_FILE, ETCD_CA_FILE, ETCD_CA_KEY_FILE
from pcg.errors import InvalidInput
from pcg.model.yaml_document import write_yaml

_VERSIONS = ("kubeadm.k8s.io/v1beta3", "kubeadm.k8s.io/v1beta4")
_TOKEN = re.compile(r"^[a-z0-9]{6}\.[a-z0-9]{16}$")
SHARED_FILES = (
    *("/etc/kubernetes/pki/sa.key", "/etc/kubernetes/pki/sa.pub"),
    *("/etc/kubernetes/pki/front-proxy-ca.crt", "/etc/kubernetes/pki/front-proxy-ca.key"),
    *(ETCD_CA_FILE, ETCD_CA_KEY_FILE),
)
CONTROL_PLANE_TAINT = {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}


class ConfigError(Exception):
    """Its text is what kubeadm prints."""


@dataclass(frozen=True)
class BootstrapToken:
    token: str = field(repr=False)
    ttl: timedelta = timedelta(hours=24)


@dataclass(frozen=True)
class InitConfig:
    node_name: str
    taints: tuple[dict[str, Any], ...]
    tokens: tuple[BootstrapToken, ...]
    endpoint: str
    """controlPlaneEndpoint as host:port; empty: the node's own address"""
    version: str
    cluster_yaml: str
    """the ClusterConfiguration as it was given"""


@dataclass(frozen=True)
class JoinConfig:
    node_name: str
    taints: tuple[dict[str, Any], ...] | None
    endpoint: str
    token: str = field(repr=False)
    hashes: tuple[str, ...]
    control_plane: bool
    patience: timedelta
    """how long to ask for the cluster's information"""


def init_config(disk: MachineDisk, path: str) -> InitConfig:
    documents = _documents(disk, path)
    init, cluster = documents.get("InitConfiguration", {}), documents.get("ClusterConfiguration", {})
    if not init and not cluster:
        raise ConfigError(f"no InitConfiguration or ClusterConfiguration kind was found in the YAML file {path}")
    registration = _section(init, "nodeRegistration")
    taints = _taints(registration)
    return InitConfig(
        node_name=str(registration.get("name") or ""),
        taints=(CONTROL_PLANE_TAINT,) if taints is None else taints,
        tokens=tuple(_token(entry) for entry in _list(init, "bootstrapTokens")),
        endpoint=_endpoint(str(cluster.get("controlPlaneEndpoint") or "")),
        version=str(cluster.get("kubernetesVersion") or "1.30.0").removeprefix("v"),
        cluster_yaml=write_yaml(cluster, sort_keys=True),
    )


def join_config(disk: MachineDisk, path: str) -> JoinConfig:
    join = _documents(disk, path).get("JoinConfiguration")
    if join is None:
        raise ConfigError(f"no JoinConfiguration kind was found in the YAML file {path}")
    registration, discovery = _section(join, "nodeRegistration"), _section(join, "discovery")
    token = _section(discovery, "bootstrapToken")
    hashes = tuple(str(entry) for entry in _list(token, "caCertHashes"))
    if not token.get("apiServerEndpoint"):
        raise ConfigError("discovery.bootstrapToken.apiServerEndpoint: Required value: APIServerEndpoint is not set")
    if not hashes and not token.get("unsafeSkipCAVerification"):
        raise ConfigError(
            "discovery.bootstrapToken: Invalid value: using token-based discovery without caCertHashes can be unsafe"
        )
    return JoinConfig(
        node_name=str(registration.get("name") or ""),
        taints=_taints(registration),
        endpoint=_endpoint(str(token["apiServerEndpoint"])),
        token=_token(token).token,
        hashes=hashes,
        control_plane="controlPlane" in join,
        patience=_go_duration(str(discovery.get("timeout") or "5m0s")),
    )


def checked_node_name(name: str) -> str:
    if not NAME.match(name):
        raise ConfigError(
            f'nodeRegistration.name: Invalid value: "{name}": a lowercase RFC 1123 subdomain must consist of lower '
            "case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character"
        )
    return name


def load_authority(disk: MachineDisk, certificate_file: str = CA_FILE, key_file: str = CA_KEY_FILE) -> Authority:
    """A CA that the user data wrote."""
    certificate, key = disk.read(certificate_file), disk.read(key_file)
    for path, text in ((certificate_file, certificate), (key_file, key)):
        if text is None:
            raise ConfigError(
                f"failure loading {'certificate' if path == certificate_file else 'key'} for CA: couldn't load the "
                f"file {path}: open {path}: no such file or directory"
            )
    try:
        return Authority.load(certificate or "", key or "")
    except ValueError as error:
        raise ConfigError(
            f"failure loading key for CA: couldn't load the private key file {key_file}: {error}"
        ) from None


def check_shared_files(disk: MachineDisk) -> None:
    """What `kubeadm join` of a control-plane node wants to find beside the cluster's CA (`SharedCertificateExists`)."""
    for path in SHARED_FILES:
        if not disk.exists(path):
            raise ConfigError(
                "one or more conditions for hosting a new control plane instance is not satisfied.\n\n"
                f"failure loading {path.rpartition('/')[2]}: couldn't load the file {path}: open {path}: "
                "no such file or directory"
            )


def _documents(disk: MachineDisk, path: str) -> dict[str, dict[str, Any]]:
    try:
        text = disk.read(path)
    except InvalidInput as error:
        raise ConfigError(f"unable to read config from {path!r}: {error.what}") from None
    if text is None:
        raise ConfigError(f'unable to read config from "{path}": open {path}: no such file or directory')
    try:
        documents = [document for document in yaml.safe_load_all(text) if document is not None]
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"error converting YAML to JSON: yaml: {' '.join(str(error).split())[:200]}") from None
    found = {}
    for document in documents:
        if not isinstance(document, dict) or not isinstance(document.get("kind"), str):
            raise ConfigError(
                "invalid configuration: kind and apiVersion is mandatory information that must be specified"
            )
        if document.get("apiVersion") not in _VERSIONS:
            kind, version = document["kind"], document.get("apiVersion")
            raise ConfigError(f'your configuration file uses an old or unknown API spec: "{version}" (kind: "{kind}")')
        found[document["kind"]] = document
    return found


def _section(document: dict[str, Any], name: str) -> dict[str, Any]:
    value = document.get(name) or {}
    if not isinstance(value, dict):
        raise ConfigError(f"json: cannot unmarshal {type(value).__name__} into Go struct field {name}")
    return value


def _list(document: dict[str, Any], name: str) -> list[Any]:
    value = document.get(name) or []
    if not isinstance(value, list):
        raise ConfigError(f"json: cannot unmarshal {type(value).__name__} into Go struct field {name}")
    return value


def _taints(registration: dict[str, Any]) -> tuple[dict[str, Any], ...] | None:
    """None: none were named, so kubeadm's own apply."""
    if registration.get("taints") is None:
        return None
    taints = _list(registration, "taints")
    for taint in taints:
        if not isinstance(taint, dict) or not taint.get("key"):
            raise ConfigError(f"json: cannot unmarshal {type(taint).__name__} into Go struct field taints")
    return tuple(taints)


def _token(entry: Any) -> BootstrapToken:
    token = str(entry.get("token") or "") if isinstance(entry, dict) else ""
    if not _TOKEN.match(token):
        raise ConfigError("the bootstrap token is not of the form [a-z0-9]{6}.[a-z0-9]{16}")
    return BootstrapToken(token, _go_duration(str(entry.get("ttl") or "24h0m0s")))


def _go_duration(text: str) -> timedelta:
    parts = re.findall(r"(\d+(?:\.\d+)?)(h|ms|m|s)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ConfigError(f'time: invalid duration "{text}"')
    units = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
    return timedelta(seconds=sum(float(number) * units[unit] for number, unit in parts))


def _endpoint(text: str) -> str:
    if not text:
        return ""
    host, colon, port = text.rpartition(":")
    return text if colon and port.isdigit() and "]" not in port and host.count(":") in (0,) else f"{text}:{API_PORT}"
