"""Names and marks of machines: the same inputs give the same names, so that nothing is made twice."""

from __future__ import annotations

import re
import uuid

MARK_GATEWAY = "pcg.gateway"
MARK_MACHINE = "pcg.machine"
MARK_INSTANCE = "pcg.instance"
MARK_ADDRESS = "pcg.address"
"""the static address that the machine was given; machines by DHCP, and older ones, are without"""
MARK_MADE_FROM = "pcg.made-from"
"""hardware and image (`model.made_from`); machines of an older version are without"""

_NAMESPACE = uuid.UUID("6f2f1f3e-3b54-4e0e-9a53-7d9b2f0f6a11")


def machine_name(gateway_id: str, gateway_name: str, incarnation: int, ordinal: int) -> str:
    """At most 63 characters, a DNS label (RFC 1123): Kubernetes takes it as the node's name.

    Six characters of the gateway's id keep two gateways of the same name apart in one folder.
    """
    stem = re.sub(r"[^a-z0-9-]+", "-", gateway_name.lower()).strip("-")[:32].strip("-") or "gateway"
    short = re.sub(r"[^a-z0-9]", "", gateway_id.lower())[:6]
    return f"pcg-{stem}-{short}-{incarnation}-{ordinal}"


def instance_uuid(gateway_id: str, incarnation: int, ordinal: int) -> str:
    """The mark `pcg.instance` and the VM's instanceUuid."""
    return str(uuid.uuid5(_NAMESPACE, f"{gateway_id}/{incarnation}/{ordinal}"))


def machine_mark(incarnation: int, ordinal: int) -> str:
    """The mark `pcg.machine`."""
    return f"{incarnation}/{ordinal}"


def parse_machine_mark(mark: str) -> tuple[int, int] | None:
    """Incarnation and ordinal, or None when it is not one of our marks."""
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", mark)
    return (int(match[1]), int(match[2])) if match else None
