"""A configuration as commands are given it: a YAML file with the CA file that it names, or a gateway's present one.

Used by `configure`, `preflight`, `ports` and `vsphere roles`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pcg.cli.client import open_console
from pcg.errors import InvalidInput
from pcg.model.configuration import Configuration, parse_configuration
from pcg.model.yaml_document import parse_yaml


def read_document(path: Path) -> Any:
    """What the file holds, of whatever form. Raises InvalidInput when it is not YAML."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read.", reason="not-yaml", evidence=[str(error)]) from None
    return parse_yaml(content, what=str(path))


def with_trust(document: Any, folder: Path) -> Any:
    """`vcenter.trust.ca` names a file here; what travels is the file's text."""
    vcenter = document.get("vcenter") if isinstance(document, dict) else None
    trust = vcenter.get("trust") if isinstance(vcenter, dict) else None
    if not isinstance(vcenter, dict) or not isinstance(trust, dict) or not isinstance(trust.get("ca"), str):
        return document
    if "BEGIN CERTIFICATE" in trust["ca"]:
        return document
    try:
        pem = (folder / trust["ca"]).read_text()
    except OSError as error:
        raise InvalidInput(
            f"The CA file cannot be read: {error}", reason="ca-file", field_name="vcenter.trust.ca"
        ) from None
    return {**document, "vcenter": {**vcenter, "trust": {"ca": pem}}}


def read_configuration(path: Path) -> tuple[Configuration, list[str]]:
    """And the notices of what was normalised. Raises InvalidInput."""
    return parse_configuration(with_trust(read_document(path), path.parent))


async def configuration_of(name: str) -> Configuration:
    """Of the gateway, as the console has it now."""
    async with open_console() as console:
        gateway = await console.gateway(name)
        answer = await console.call("GET", f"/gateways/{gateway['id']}/configuration")
    return parse_configuration(answer["configuration"])[0]
