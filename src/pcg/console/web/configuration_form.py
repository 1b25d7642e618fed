"""The configuration as fields of a form, there and back, and errors beside their fields. Pure; used by `configure.py`.

A field's name is its path in the YAML (`placement.0.cluster`), so that an error of `parse_configuration` finds it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pcg.errors import InvalidInput
from pcg.model.configuration import CloudKind, Kubernetes, Network, Nodes, Placement, Template

PLACEMENT_PARTS = ("datacenter", "cluster", "resourcePool", "folder", "datastore", "network")

_LINES = (
    "vcenter.address", "vcenter.username", "template.folder", "template.image", "template.sha256",
    "network.controlPlaneAddress", "network.podCidr", "network.serviceCidr", "proxy.http", "proxy.https",
    "kubernetes.version", "kubernetes.cni", "kubernetes.registry",
)  # fmt: skip
_BLOCKS = ("proxy.ca",)
_LISTS = ("network.nameServers", "network.ntpServers", "proxy.no", "sshKeys")
_CUSTOM_SIZE = ("cpus", "memoryGiB", "diskGiB")
_STATIC = ("range", "subnet", "prefix", "gateway")

_EXPLAINED = {
    "vcenter.trust.thumbprint": "A SHA-256 thumbprint has 32 pairs of hex digits with colons between: AB:CD:…",
    "template.sha256": "A SHA-256 sum has 64 hex digits, in small letters.",
    "kubernetes.version": "A version looks like 1.30 or 1.30.4.",
    "sshKeys": "Each line is one public key: ssh-ed25519 AAAA… name",
}


def new_document(cloud: CloudKind) -> dict[str, Any]:
    """What an empty form begins with: the defaults, in sight."""
    placement = Placement.model_fields
    return {
        "cloud": cloud.value,
        "vcenter": {},
        "placement": [{"resourcePool": placement["resource_pool"].default, "folder": placement["folder"].default}],
        "template": {"folder": Template.model_fields["folder"].default},
        "nodes": Nodes().model_dump(mode="json", by_alias=True),
        "network": Network().model_dump(mode="json", by_alias=True),
        "proxy": {},
        "kubernetes": Kubernetes().model_dump(mode="json", by_alias=True),
        "sshKeys": [],
    }


def fields_of(document: Mapping[str, Any]) -> dict[str, str]:
    """Every field of the form with what it shows."""
    fields = {path: _shown(_at(document, path)) for path in (*_LINES, *_BLOCKS)}
    fields |= {path: "\n".join(str(item) for item in _at(document, path) or ()) for path in _LISTS}
    fields["cloud"] = _shown(document.get("cloud"))

    thumbprint, authority = _at(document, "vcenter.trust.thumbprint"), _at(document, "vcenter.trust.ca")
    fields["vcenter.trust"] = "thumbprint" if thumbprint else "ca" if authority else "system"
    fields["vcenter.trust.thumbprint"], fields["vcenter.trust.ca"] = _shown(thumbprint), _shown(authority)

    size = _at(document, "nodes.size")
    fields["nodes.count"] = _shown(_at(document, "nodes.count"))
    fields["nodes.size"] = "custom" if isinstance(size, dict) else _shown(size)
    fields |= {f"nodes.size.{part}": _shown(_at(document, f"nodes.size.{part}")) for part in _CUSTOM_SIZE}

    static = _at(document, "network.addresses.static")
    fields["network.addresses"] = "static" if static else "dhcp"
    fields |= {
        f"network.addresses.static.{part}": _shown(_at(document, f"network.addresses.static.{part}"))
        for part in _STATIC
    }
    for way in ("dhcp", "static"):
        domains = _at(document, f"network.addresses.{way}.searchDomains") or ()
        fields[f"network.addresses.{way}.searchDomains"] = "\n".join(domains)

    for index, placement in enumerate(document.get("placement") or [{}]):
        fields |= {f"placement.{index}.{part}": _shown(placement.get(part)) for part in PLACEMENT_PARTS}
    return fields


def document_of(typed: Mapping[str, str]) -> dict[str, Any]:
    """What was typed, as the document to be parsed; empty fields are left out, so that defaults stand in for them."""
    document: dict[str, Any] = {"cloud": typed.get("cloud", ""), "vcenter": {}, "placement": [], "template": {}}
    for path in _LINES:
        _put(document, path, typed.get(path, "").strip())
    for path in _BLOCKS:
        _put(document, path, _block(typed.get(path, "")))
    for path in _LISTS:
        _put(document, path, _items(typed.get(path, ""), commas=path != "sshKeys"))

    trust = typed.get("vcenter.trust")
    if trust == "thumbprint":
        # Chosen but empty must not become trust in everybody's CAs.
        _put(document, "vcenter.trust", {"thumbprint": typed.get("vcenter.trust.thumbprint", "").strip()})
    elif trust == "ca":
        _put(document, "vcenter.trust", {"ca": _block(typed.get("vcenter.trust.ca", ""))})

    _put(document, "nodes.count", _number(typed.get("nodes.count", "")))
    if typed.get("nodes.size") == "custom":
        parts = {part: _number(typed.get(f"nodes.size.{part}", "")) for part in _CUSTOM_SIZE}
        _put(document, "nodes.size", {part: value for part, value in parts.items() if value != ""} or {"cpus": ""})
    else:
        _put(document, "nodes.size", typed.get("nodes.size", ""))

    way = "static" if typed.get("network.addresses") == "static" else "dhcp"
    addresses: dict[str, Any] = {}
    if way == "static":
        texts = {part: typed.get(f"network.addresses.static.{part}", "").strip() for part in _STATIC}
        addresses = {part: _number(text) if part == "prefix" else text for part, text in texts.items() if text}
    domains = _items(typed.get(f"network.addresses.{way}.searchDomains", ""), commas=True)
    document.setdefault("network", {})["addresses"] = {way: {**addresses, "searchDomains": domains}}

    for index in placements_of(typed):
        typed_parts = {part: typed.get(f"placement.{index}.{part}", "").strip() for part in PLACEMENT_PARTS}
        document["placement"].append({part: value for part, value in typed_parts.items() if value})
    return document


def check_choices(typed: Mapping[str, str]) -> None:
    """What the document cannot say: a CA was chosen and not given. Raises InvalidInput."""
    if typed.get("vcenter.trust") == "ca" and not typed.get("vcenter.trust.ca", "").strip():
        raise InvalidInput("Paste the CA's certificate, or choose another trust.", field_name="vcenter.trust.ca")


def placements_of(typed: Mapping[str, str]) -> list[int]:
    """The numbers of the placements in a form, in order."""
    found = {int(match[1]) for name in typed if (match := re.fullmatch(r"placement\.([0-9]{1,3})\.datacenter", name))}
    return sorted(found)


def errors_by_field(error: InvalidInput, fields: Mapping[str, str]) -> dict[str, str]:
    """What to say beside which field; under the empty name what belongs to none."""
    if error.reason != "configuration-invalid" or not error.evidence:
        return {error.field_name if error.field_name in fields else "": error.what}
    found: dict[str, str] = {}
    for line in error.evidence:
        where, _, message = line.partition(": ")
        # Of the two forms of a size pydantic names both.
        where = where.replace("nodes.size.CustomSize", "nodes.size")
        if where.startswith("nodes.size.literal") and fields.get("nodes.size") == "custom":
            continue
        field = _field_of(where, message, fields)
        found.setdefault(field, _plain(field, message) if field else f"{where}: {_plain(field, message)}")
    return found


def _field_of(where: str, message: str, fields: Mapping[str, str]) -> str:
    where = re.sub(r"\.literal\[.*", "", where)
    for path in (where, where.rpartition(".")[0]):
        if path in fields and not (path == "network.addresses" and fields[path] == "static"):
            return path
    named = next((word.rstrip(",.:") for word in message.split() if word.rstrip(",.:") in fields), "")
    within = f"{where}." if where != "the whole" else ""
    return (
        named
        or next((path for path in fields if within and path.startswith(within) and fields[path]), "")
        or (next((path for path in fields if within and path.startswith(within)), ""))
    )


def _plain(field: str, message: str) -> str:
    if message == "Field required":
        return "This is needed."
    if message.startswith("String should match pattern"):
        return _EXPLAINED.get(re.sub(r"\.\d+$", "", field), message)
    message = message.removeprefix("Value error, ")
    return message[:1].upper() + message[1:]


def _at(document: Mapping[str, Any], path: str) -> Any:
    value: Any = document
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _put(document: dict[str, Any], path: str, value: Any) -> None:
    if value in ("", []):
        return
    *parents, last = path.split(".")
    for key in parents:
        document = document.setdefault(key, {})
    document[last] = value


def _shown(value: Any) -> str:
    return "" if value is None or isinstance(value, (dict, list)) else str(value)


def _block(text: str) -> str:
    return text if text.strip() else ""


def _items(text: str, *, commas: bool) -> list[str]:
    return [item.strip() for item in (re.split(r"[\n,]", text) if commas else text.splitlines()) if item.strip()]


def _number(text: str) -> int | str:
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else text
