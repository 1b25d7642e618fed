"""Checks of a configuration file that need no gateway: its form, and what it foretells.

Called by `preflight.py` when no gateway is named. Whatever only the data center knows is left to the gateway's own
preflight.
"""

from __future__ import annotations

from pathlib import Path

from pcg.cli.configuration_file import read_configuration
from pcg.clouds.base import Check
from pcg.clouds.foreseen import foreseen
from pcg.errors import InvalidInput


def check_file(path: Path) -> list[Check]:
    """Every check that could be made; the first alone when the file cannot be read as a configuration."""
    try:
        configuration, notices = read_configuration(path)
    except InvalidInput as error:
        return [Check("configuration", False, error.what, error)]
    told = "; ".join([f"{path} is a configuration", *notices])
    return [Check("configuration", True, told), *foreseen(configuration)]
