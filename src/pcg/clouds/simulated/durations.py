"""How long the data center's own tasks take, in seconds before they are divided by the simulation's speed.

Round values of the range that vCenters on ordinary storage show.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Durations:
    clone: float = 20.0
    power_on: float = 3.0
    delete: float = 5.0
    reconfigure: float = 1.0
    fetch: float = 15.0
    """fetching the image and making a template of it"""
