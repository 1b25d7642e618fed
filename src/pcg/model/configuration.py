"""What a person wants of a gateway: the YAML of the contract as frozen types, each field checked as it is typed.

The page's form, `pcg gateway configure` and the REST API all parse through `parse_configuration`; the gateway parses
again what it receives. Keys are camelCase in YAML and JSON.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from pcg.errors import InvalidInput
from pcg.model.address_plan import Ip, check_plan
from pcg.model.kubernetes_releases import POD_NETWORKS, Release, release_of

_SCHEMES = re.compile(r"^(?:[A-Za-z][A-Za-z0-9+.-]*://)+")
_HOST_LABEL = re.compile(r"^(?!-)[A-Za-z0-9_-]{1,63}(?<!-)$")


class CloudKind(StrEnum):
    SIMULATED = "simulated"
    VSPHERE = "vsphere"


class Part(BaseModel):
    """Unknown keys are refused: a typing mistake must not be ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


def strip_scheme(address: str) -> tuple[str, str | None]:
    """Take off a scheme and trailing slashes typed by mistake; answers the address and a notice or None.

    Seed: vCenter details with `https://` in front led to `Failed to create govomiClient`.
    """
    plain = _SCHEMES.sub("", address.strip()).rstrip("/")
    if plain == address:
        return plain, None
    return plain, f"{address!r} was read as {plain!r}: only host or host:port belongs here"


def typed_with_scheme(document: Any) -> str | None:
    """vCenter's address as it was typed, where a scheme has to be taken off it; None for every other document."""
    vcenter = document.get("vcenter") if isinstance(document, dict) else None
    address = vcenter.get("address") if isinstance(vcenter, dict) else None
    return address.strip() if isinstance(address, str) and _SCHEMES.match(address.strip()) else None


def split_host_port(address: str, default_port: int) -> tuple[str, int]:
    """Host and port of `host`, `host:port`, IPv4, `[IPv6]:port` or a bare IPv6 address. Raises ValueError."""
    if address.startswith("["):
        host, bracket, rest = address[1:].partition("]")
        if not bracket:
            raise ValueError("a ] is missing")
        ipaddress.IPv6Address(host)
        port = rest.removeprefix(":") if rest else ""
        if rest and not rest.startswith(":"):
            raise ValueError("after ] only :port may follow")
    elif address.count(":") > 1:
        ipaddress.IPv6Address(address)
        host, port = address, ""
    else:
        host, _, port = address.partition(":")
        if address.endswith(":"):
            raise ValueError("a port must follow the colon")
        _check_host(host)
    if port and not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
        raise ValueError(f"{port!r} is not a port")
    return host, int(port) if port else default_port


def _check_host(host: str) -> None:
    if re.fullmatch(r"[0-9.]+", host):
        ipaddress.IPv4Address(host)
    elif len(host) > 253 or not all(_HOST_LABEL.match(label) for label in host.rstrip(".").split(".")):
        raise ValueError(f"{host!r} is not a host name or address")


def _address(value: str) -> str:
    plain, _ = strip_scheme(value)
    split_host_port(plain, 443)
    return plain


def _ip(value: str) -> str:
    if "%" in value:
        raise ValueError("an address with a zone is of one machine only")  # and a zone may be any text
    return str(ipaddress.ip_address(value))


def _cidr(value: str) -> str:
    return str(ipaddress.ip_network(value))


def _bounds(text: str) -> tuple[Ip, Ip]:
    first, separator, last = text.partition("-")
    if not separator:
        raise ValueError("range must be FIRST-LAST")
    return ipaddress.ip_address(first.strip()), ipaddress.ip_address(last.strip())


def _range(text: str) -> str:
    first, last = _bounds(text)
    if first.version != last.version or int(first) > int(last):
        raise ValueError("range must be FIRST-LAST with FIRST not after LAST")
    return f"{first}-{last}"


def _domain(text: str) -> str:
    if not all(_HOST_LABEL.match(label) for label in text.removesuffix(".").split(".")):
        raise ValueError(f"{text!r} is not a domain")
    return text


def _time_server(text: str) -> str:
    if ":" in text:
        return str(ipaddress.IPv6Address(text))
    _check_host(text)
    return text


def _version(text: str) -> str:
    release_of(text)
    return text


def _pod_network(text: str) -> str:
    plain = text.strip().lower()
    if plain not in POD_NETWORKS:
        raise ValueError(f"{text!r} is not one of {', '.join(POD_NETWORKS)}")
    return plain


def _registry(text: str) -> str:
    """HOST[:PORT][/PATH], as it begins an image's name."""
    plain = strip_scheme(text)[0]
    if not plain:
        return ""
    host, *path = plain.split("/")
    split_host_port(host, 443)
    if not all(re.fullmatch(r"[a-z0-9]+([._-]+[a-z0-9]+)*", part) for part in path):
        raise ValueError(f"{text!r} is not a registry: HOST[:PORT][/PATH] in small letters")
    return plain


Address = Annotated[str, Field(max_length=300), AfterValidator(_address)]
IpAddress = Annotated[str, Field(max_length=64), AfterValidator(_ip)]
Cidr = Annotated[str, Field(max_length=64), AfterValidator(_cidr)]
SearchDomains = list[Annotated[str, Field(max_length=253), AfterValidator(_domain)]]
InventoryName = Annotated[str, Field(min_length=1, max_length=512)]


class Trust(Part):
    """At most one: a SHA-256 thumbprint of the server's own certificate, or a CA as PEM. Neither: system CAs."""

    thumbprint: Annotated[str, Field(pattern=r"^([0-9A-Fa-f]{2}:){31}[0-9A-Fa-f]{2}$")] | None = None
    ca: Annotated[str, Field(max_length=65536)] | None = None

    @model_validator(mode="after")
    def _one(self) -> Trust:
        if self.thumbprint and self.ca:
            raise ValueError("give a thumbprint or a ca, not both")
        return self


class Vcenter(Part):
    """The password is never part of the configuration: it travels sealed (see `SealedCredentials`)."""

    address: Address
    trust: Trust = Trust()
    username: Annotated[str, Field(min_length=1, max_length=256)]


class Placement(Part):
    """One failure domain. A value is a name, or an inventory path where names repeat."""

    datacenter: InventoryName
    cluster: InventoryName
    resource_pool: InventoryName = "Resources"
    folder: InventoryName = "pcg"
    datastore: InventoryName
    network: InventoryName


def shown_url(text: str) -> str:
    """Without what a signed URL proves itself with, and without a password; whatever is no URL stays as it is."""
    if "://" not in text:
        return text
    scheme, rest = text.split("://", 1)
    host, slash, path = re.split(r"[?#]", rest, maxsplit=1)[0].partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


_FILE_NAME_LENGTH = 50
"""of it in a template's name: with the digest and the ending of an unfinished import it stays below vCenter's 80"""


class Template(Part):
    folder: InventoryName = "spectro-templates"
    image: Annotated[str, Field(min_length=1, max_length=2048)]
    """an https:// or http:// URL of the node image, or the name of a template in the folder"""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None

    @property
    def name(self) -> str:
        """The template's name in the folder: as given, or of a URL its file name and what tells its content apart.

        The checksum does, or else the URL: without what signs it, which differs each time that it is signed.
        """
        file = re.sub(r"\.(ova|ovf)$", "", self.shown_image.rstrip("/").rsplit("/", 1)[-1])
        if "://" not in self.image:
            return file
        digest = self.sha256 or hashlib.sha256(self.shown_image.encode()).hexdigest()
        return f"{file[:_FILE_NAME_LENGTH]}-{digest[:12]}"

    @property
    def shown_image(self) -> str:
        """For events and names."""
        return shown_url(self.image)


class CustomSize(Part):
    cpus: Annotated[int, Field(ge=2, le=128)]
    memory_gi_b: Annotated[int, Field(ge=2, le=1024, alias="memoryGiB")]
    disk_gi_b: Annotated[int, Field(ge=20, le=4096, alias="diskGiB")]


SIZES: dict[str, CustomSize] = {
    "small": CustomSize(cpus=4, memory_gi_b=4, disk_gi_b=60),
    "medium": CustomSize(cpus=8, memory_gi_b=8, disk_gi_b=100),
    "large": CustomSize(cpus=16, memory_gi_b=16, disk_gi_b=120),
}
"""CPU, GiB, GiB; the sizes of the contract"""


MOST_NODES = 3


class Nodes(Part):
    count: Literal[1, 3] = 1
    size: Literal["small", "medium", "large"] | CustomSize = "medium"

    @property
    def hardware(self) -> CustomSize:
        return SIZES[self.size] if isinstance(self.size, str) else self.size


class StaticAddresses(Part):
    """A pool: a range, or a subnet all of whose hosts may be given. How it fits the rest: `model.address_plan`."""

    range: Annotated[str, Field(max_length=130), AfterValidator(_range)] | None
    """FIRST-LAST"""
    subnet: Cidr | None = None
    prefix: Annotated[int, Field(ge=1, le=128)]
    """of the network that the nodes are on; with `subnet` it may be left out"""
    gateway: IpAddress
    search_domains: SearchDomains = Field(default_factory=list, max_length=16)

    @model_validator(mode="before")
    @classmethod
    def _of_subnet(cls, given: Any) -> Any:
        subnet = given.get("subnet") if isinstance(given, dict) else None
        if not isinstance(subnet, str):
            return given
        length = subnet.partition("/")[2]
        known = {"prefix": int(length)} if length.isascii() and length.isdigit() and len(length) < 4 else {}
        return {"range": None, **known, **given}

    @model_validator(mode="after")
    def _one(self) -> StaticAddresses:
        if (self.range is None) == (self.subnet is None):
            raise ValueError("give either a range or a subnet")
        return self

    @property
    def bounds(self) -> tuple[Ip, Ip]:
        """The first and the last address, of whatever use."""
        if self.range is not None:
            return _bounds(self.range)
        subnet = ipaddress.ip_network(self.subnet or "")
        return subnet.network_address, subnet.broadcast_address


class DhcpAddresses(Part):
    search_domains: SearchDomains = Field(default_factory=list, max_length=16)


class Addresses(Part):
    static: StaticAddresses | None = None
    dhcp: DhcpAddresses | None = None

    @model_validator(mode="after")
    def _one(self) -> Addresses:
        if (self.static is None) == (self.dhcp is None):
            raise ValueError("give either static or dhcp")
        return self


class Network(Part):
    addresses: Addresses = Addresses(dhcp=DhcpAddresses())
    name_servers: list[IpAddress] = Field(default_factory=list, max_length=8)
    ntp_servers: list[Annotated[str, Field(max_length=253), AfterValidator(_time_server)]] = Field(
        default_factory=list, max_length=8
    )
    control_plane_address: IpAddress | None = None
    """the address of the API server for all nodes; None: the first control-plane node's own address"""
    pod_cidr: Cidr = "192.168.0.0/16"
    service_cidr: Cidr = "10.96.0.0/12"

    @model_validator(mode="after")
    def _apart(self) -> Network:
        if ipaddress.ip_network(self.pod_cidr).overlaps(ipaddress.ip_network(self.service_cidr)):
            raise ValueError(f"podCidr {self.pod_cidr} and serviceCidr {self.service_cidr} overlap")
        return self


class Proxy(Part):
    http: Annotated[str, Field(max_length=512)] = ""
    https: Annotated[str, Field(max_length=512)] = ""
    no: list[Annotated[str, Field(max_length=253)]] = Field(default_factory=list, max_length=64)
    ca: Annotated[str, Field(max_length=65536)] = ""


class Kubernetes(Part):
    version: Annotated[str, Field(max_length=16, pattern=r"^\d+\.\d+(\.\d+)?$"), AfterValidator(_version)] = "1.30"
    """a minor release stands for its patch level in `model.kubernetes_releases`"""
    cni: Annotated[str, Field(max_length=64), AfterValidator(_pod_network)] = "calico"
    registry: Annotated[str, Field(max_length=512), AfterValidator(_registry)] = ""
    """HOST[:PORT][/PATH] of the images of kubeadm and kube-vip, instead of where they are published"""

    @property
    def release(self) -> Release:
        return release_of(self.version)


class Configuration(Part):
    cloud: CloudKind
    vcenter: Vcenter
    placement: Annotated[list[Placement], Field(min_length=1, max_length=16)]
    template: Template
    nodes: Nodes = Nodes()
    network: Network = Network()
    proxy: Proxy = Proxy()
    kubernetes: Kubernetes = Kubernetes()
    ssh_keys: list[Annotated[str, Field(max_length=16384, pattern=r"^(ssh-|ecdsa-|sk-)[^\n\r]+$")]] = Field(
        default_factory=list, max_length=32
    )

    @model_validator(mode="after")
    def _reachable_together(self) -> Configuration:
        if self.nodes.count == 3 and self.network.control_plane_address is None:
            raise ValueError("network.controlPlaneAddress is needed for 3 nodes: the API server's own address")
        return self


def parse_configuration(document: Any) -> tuple[Configuration, list[str]]:
    """The configuration and the notices of what was normalised. Raises InvalidInput with the first wrong field."""
    if not isinstance(document, dict):
        raise InvalidInput(
            "The configuration must be a mapping of keys to values.", reason="configuration-invalid", field_name=""
        )
    vcenter = document.get("vcenter")
    notices = []
    if isinstance(vcenter, dict):
        if "password" in vcenter or (
            isinstance(vcenter.get("passwordFrom"), str) and vcenter["passwordFrom"] != "prompt"
        ):
            raise InvalidInput(
                "A password does not belong into the configuration.",
                reason="inline-password",
                field_name="vcenter.password",
                remedy=["Use passwordFrom: prompt, {env: NAME} or {file: PATH}; it is sealed to the gateway's key."],
            )
        if isinstance(vcenter.get("address"), str):
            _, notice = strip_scheme(vcenter["address"])
            notices += [notice] if notice else []
        document = {**document, "vcenter": {k: v for k, v in vcenter.items() if k != "passwordFrom"}}
    try:
        configuration = Configuration.model_validate(document)
    except ValidationError as error:
        raise _invalid(
            [(".".join(str(part) for part in item["loc"]), item["msg"]) for item in error.errors()]
        ) from None
    plan = check_plan(configuration)
    if plan.problems:
        raise _invalid(plan.problems)
    return configuration, notices + plan.notices


def _invalid(problems: list[tuple[str, str]]) -> InvalidInput:
    return InvalidInput(
        f"The configuration is wrong: {problems[0][0] or 'the whole'}: {problems[0][1]}",
        reason="configuration-invalid",
        # A value of several forms is named by pydantic together with the form that it tried.
        field_name=re.sub(r"\.(literal\[.*\]|CustomSize)", "", problems[0][0]),
        evidence=[f"{where or 'the whole'}: {message}" for where, message in problems],
        remedy=["Correct the fields named above; docs/configuration.md describes each."],
    )
