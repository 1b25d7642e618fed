"""What of a configuration or credentials is refused beyond the model's own rules; asked by `configurations.py`."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any

from pcg.clouds.base import Check
from pcg.clouds.foreseen import foreseen
from pcg.console.gateway_state import RUN, machines_of, status_of
from pcg.console.store.models import Gateway
from pcg.errors import Conflict, InvalidInput
from pcg.model.cluster_changes import WAY_OUT, fixed_parts, refused_change
from pcg.model.configuration import Configuration, parse_configuration

MAXIMUM_CIPHERTEXT = 65536
_SEALED_OVERHEAD = 48
"""bytes that libsodium's sealed box adds; anything shorter cannot be one"""


def check_standing(row: Gateway, wanted: Configuration) -> None:
    """Told at once what the gateway would refuse. It decides: its newest machines may not be known here."""
    if row.mode != RUN or row.configuration is None:
        return
    standing = [machine for machine in machines_of(status_of(row)) if machine.incarnation == row.incarnation]
    present, _ = parse_configuration(row.configuration)
    # While one replaces another there is a machine more than nodes are wanted.
    count = min(len(standing), present.nodes.count)
    refused = refused_change(count, fixed_parts(present), wanted) if standing else None
    if refused is not None:
        raise Conflict(
            f"The cluster of gateway {row.name} cannot be changed so: {refused.field}.",
            reason="needs-reset",
            cause=refused.why,
            evidence=[f"standing: {', '.join(sorted(machine.name for machine in standing))}"],
            remedy=[WAY_OUT],
            fields={"field": refused.field},
        )


def demand_no_failure_foretold(row: Gateway, foretold: Sequence[Check]) -> list[str]:
    """Notices of what may fail. Raises InvalidInput for what will, unless the gateway stands with it already."""
    failing = [check for check in foretold if check.ok is False]
    if failing and row.mode == RUN and row.configuration:
        lived_with = {check.what for check in foreseen(parse_configuration(row.configuration)[0])}
        failing = [check for check in failing if check.what not in lived_with]
    for check in failing:
        assert check.problem is not None  # each that is wrong says why
        raise check.problem
    return [check.what for check in foretold if check.ok is not True]


def check_no_nul(part: Any, where: str = "") -> None:
    """No name in a cloud and no file of a node can hold one, and it would be told late and far from here."""
    if isinstance(part, str) and "\0" in part:
        raise InvalidInput(
            f"The configuration is wrong: {where}: it holds a NUL character.",
            reason="configuration-invalid",
            field_name=where,
            evidence=[f"{where}: it holds a NUL character"],
        )
    if isinstance(part, dict | list):
        for key, value in part.items() if isinstance(part, dict) else enumerate(part):
            check_no_nul(value, f"{where}.{key}".lstrip("."))


def check_ciphertext(ciphertext: str) -> None:
    try:
        data = base64.b64decode(ciphertext, validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if len(data) <= _SEALED_OVERHEAD or len(ciphertext) > MAXIMUM_CIPHERTEXT:
        raise InvalidInput(
            "Credentials are taken as ciphertext only: base64 of a box sealed to the gateway's key.",
            reason="not-ciphertext",
            field_name="ciphertext",
            remedy=["Use `pcg gateway configure` or the page: both seal the password before it is kept anywhere."],
        )
