"""All that can be known before machines are made: what the configuration foretells, what the cloud answers, and the
ways that nodes will need, as far as they can be tried from here.

The same list for the step `preflight` and for whoever asks by `pcg preflight` or on the page.
"""

from __future__ import annotations

import asyncio

from pcg.clouds.base import Check
from pcg.clouds.foreseen import foreseen
from pcg.gateway.steps.outcome import Situation
from pcg.gateway.steps.replacements import spares
from pcg.gateway.ways_ahead import Ahead


async def preflight_checks(situation: Situation) -> list[Check]:
    """Raises what the cloud raises."""
    jet, standing = situation.jet, bool(situation.cluster.standing)
    ahead = Ahead(situation.configuration, jet.url, jet.ca_pem, standing)
    trying = asyncio.ensure_future(situation.look_ahead(ahead))
    try:
        of_cloud = await situation.cloud.check(situation.configuration, spares(situation))
        return [*_foretold(ahead), *of_cloud, *await trying]
    finally:
        trying.cancel()
        await asyncio.wait([trying])


def _foretold(ahead: Ahead) -> list[Check]:
    """What is not clear. A cluster that stands has shown that it can live with it."""
    found = [check for check in foreseen(ahead.configuration) if check.ok is not True]
    if not found:
        return [Check("configuration", True, "the configuration foretells no failure")]
    return [
        Check(f"{check.name} as configured", None if ahead.standing else check.ok, check.what, check.problem)
        for check in found
    ]
