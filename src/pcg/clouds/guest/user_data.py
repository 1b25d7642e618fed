"""What a machine was given, read as cloud-init reads it: `#cloud-config` user data and the VMware source's meta data.

Raises InvalidInput with the line, where there is one; the guest writes that into its cloud-init log and goes no
further.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import ipaddress
from dataclasses import dataclass, field
from typing import Any

import yaml

from pcg.errors import InvalidInput


@dataclass(frozen=True)
class WriteFile:
    path: str
    content: bytes = field(repr=False)
    mode: int = 0o644
    append: bool = False


@dataclass(frozen=True)
class UserData:
    """Only what was present; `write_files` and `runcmd` stay raw until their module runs, which checks them."""

    host_name: str = ""
    ssh_authorized_keys: tuple[str, ...] = ()
    ntp_servers: tuple[str, ...] = ()
    write_files: Any = field(repr=False, default=None)
    run_commands: Any = None


@dataclass(frozen=True)
class NetworkConfig:
    """The first interface of netplan's version 2."""

    dhcp: bool = True
    address: str = ""
    """with its prefix, as `127.64.0.10/24`; empty with DHCP"""
    gateway: str = ""
    name_servers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()


@dataclass(frozen=True)
class MetaData:
    instance_id: str = ""
    host_name: str = ""
    network: NetworkConfig = NetworkConfig()


def delivered(text: str | None) -> str | None:
    """The VMware data source takes an empty value and `---` for none at all."""
    return None if text is None or text.strip() in ("", "---") else text


def parse_user_data(text: str) -> UserData:
    if not text.strip():
        return UserData()
    if text.lstrip().partition("\n")[0].split() != ["#cloud-config"]:
        start = text.encode()[:24]
        raise _wrong(f"Unhandled non-multipart (text/x-not-multipart) userdata: '{start!r}...'")
    document = _mapping(text)
    ntp = document.get("ntp")
    servers = ntp.get("servers") or [] if isinstance(ntp, dict) else []
    return UserData(
        host_name=str(document.get("hostname") or ""),
        ssh_authorized_keys=_strings(document.get("ssh_authorized_keys")),
        ntp_servers=_strings(servers),
        write_files=document.get("write_files"),
        run_commands=document.get("runcmd"),
    )


def parse_meta_data(text: str) -> MetaData:
    document = _mapping(text)
    network = document.get("network")
    if isinstance(network, str):
        packed = _decoded(network, str(document.get("network.encoding") or "base64"))
        network = _mapping(packed.decode(errors="replace"))
    if isinstance(network, dict) and isinstance(network.get("network"), dict):
        network = network["network"]
    return MetaData(
        instance_id=str(document.get("instance-id") or ""),
        host_name=str(document.get("local-hostname") or ""),
        network=NetworkConfig() if network is None else _network(network),
    )


def files_to_write(raw: Any) -> list[WriteFile]:
    """Module write-files' own checks."""
    if not isinstance(raw, list):
        raise _wrong(f"write_files must be a list, not {type(raw).__name__}")
    return [_file(number, entry) for number, entry in enumerate(raw, start=1)]


def commands_to_run(raw: Any) -> list[list[str] | str]:
    """Module runcmd's own checks: a list is run as it is, a text by the shell."""
    if not isinstance(raw, list):
        raise _wrong(f"Input to 'runcmd' was expected to be a list, not {type(raw).__name__}")
    commands: list[list[str] | str] = []
    for number, entry in enumerate(raw, start=1):
        if isinstance(entry, list) and entry:
            commands.append([str(word) for word in entry])
        elif isinstance(entry, str):
            commands.append(entry)
        else:
            raise _wrong(f"Unable to shellify type {type(entry).__name__} (item {number}). Expected list, string")
    return commands


def _file(number: int, entry: Any) -> WriteFile:
    if not isinstance(entry, dict) or not isinstance(entry.get("path"), str) or not entry["path"]:
        raise _wrong(f"No path provided to write for entry {number} in module write_files")
    content = entry.get("content", "")
    data = str(content).encode() if not isinstance(content, bytes) else content
    mode = entry.get("permissions", "0644")
    try:
        bits = mode if isinstance(mode, int) else int(str(mode), 8)
    except ValueError:
        raise _wrong(f"Undecodable permissions {mode!r} of {entry['path']}") from None
    encoding = str(entry.get("encoding") or "")
    return WriteFile(entry["path"], _decoded(data, encoding) if encoding else data, bits, bool(entry.get("append")))


def _decoded(data: str | bytes, encoding: str) -> bytes:
    value = data.encode() if isinstance(data, str) else data
    try:
        if encoding in ("b64", "base64", "gz+b64", "gzip+b64", "gz+base64", "gzip+base64"):
            value = base64.b64decode(value)
        if encoding.startswith("gz"):
            value = gzip.decompress(value)
    except (binascii.Error, ValueError, OSError, EOFError) as error:
        raise _wrong(f"Failed to decode {encoding} content: {error}") from None
    return value


def _network(document: Any) -> NetworkConfig:
    if not isinstance(document, dict) or document.get("version") not in (2, "2"):
        raise _wrong("Failed loading network config: only version 2 is known here")
    ethernets = document.get("ethernets")
    if not isinstance(ethernets, dict) or not ethernets:
        raise _wrong("Failed loading network config: no ethernets")
    interface = next(iter(ethernets.values()))
    if not isinstance(interface, dict):
        raise _wrong("Failed loading network config: an ethernet must be a mapping")
    servers = interface.get("nameservers") or {}
    addresses = interface.get("addresses") or []
    address = str(addresses[0]) if isinstance(addresses, list) and addresses else ""
    try:
        if address:
            ipaddress.ip_interface(address)
    except ValueError as error:
        raise _wrong(f"Failed loading network config: {error}") from None
    return NetworkConfig(
        dhcp=interface.get("dhcp4") is True,
        address=address,
        gateway=_gateway(interface),
        name_servers=_strings(servers.get("addresses")) if isinstance(servers, dict) else (),
        search=_strings(servers.get("search")) if isinstance(servers, dict) else (),
    )


def _gateway(interface: dict[str, Any]) -> str:
    routes = interface.get("routes")
    for route in routes if isinstance(routes, list) else []:
        if isinstance(route, dict) and route.get("to") in ("default", "0.0.0.0/0"):
            return str(route.get("via") or "")
    return str(interface.get("gateway4") or "")


def _mapping(text: str) -> dict[str, Any]:
    try:
        document = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f" at line {mark.line + 1} column {mark.column + 1}" if mark else ""
        what = " ".join(str(error).split())[:200]
        raise _wrong(f'Failed loading yaml blob. Invalid format{where}: "{what}"') from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise _wrong(f"Failed loading yaml blob. {error}") from None
    if not isinstance(document, dict):
        raise _wrong(
            "Failed loading yaml blob. Yaml load allows (<class 'dict'>,) root types, "
            f"but got {type(document).__name__} instead"
        )
    return document


def _strings(value: Any) -> tuple[str, ...]:
    return tuple(str(entry) for entry in value) if isinstance(value, list) else ()


def _wrong(what: str) -> InvalidInput:
    return InvalidInput(what, reason="user-data-invalid")
