"""Everything that can be asked of the data center before anything is made. Called by `cloud.py`."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pcg.clock import MOST_OFFSET
from pcg.clouds.base import Check, nodes_in
from pcg.clouds.simulated import capacity
from pcg.clouds.simulated.client import ApiClient
from pcg.clouds.simulated.errors import permission_missing, template_missing, translate
from pcg.clouds.simulated.refusals import Refusal
from pcg.errors import AskPerson, NotFound, PcgError, ResourcesMissing, Unreachable
from pcg.model.configuration import Configuration


async def check(
    api: ApiClient, configuration: Configuration, gateway: str = "", spares: Collection[int] = ()
) -> list[Check]:
    """`gateway`: whose machines need no room again. `spares` as in the contract."""
    checks = await _template(api, configuration)
    placements = [placement.model_dump(by_alias=True) for placement in configuration.placement]
    answer = await api.post("/api/overview", {"placements": placements, "gateway": gateway})
    several = len(placements) > 1
    domains = []
    for number, told in enumerate(answer["placements"], 1):
        suffix = f" {number}" if several else ""
        if "refusal" in told:
            problem = translate(Refusal.of(told["refusal"]), api.address, api.account)
            checks.append(Check(f"placement{suffix}", False, problem.what, problem))
            continue
        checks.append(Check(f"placement{suffix}", True, told["folder"]))
        checks += _privileges(api, f"privileges{suffix}", told["missing"])
        checks += _clocks(told["clocks"])
        needed, spare = nodes_in(configuration, number - 1), number - 1 in spares
        domains.append(capacity.Domain(suffix, needed, spare, told))
        if configuration.network.addresses.dhcp is not None:
            checks.append(_leases(f"addresses{suffix}", told, needed + spare))
    return checks + capacity.check(domains, configuration.nodes.hardware)


async def _template(api: ApiClient, configuration: Configuration) -> list[Check]:
    wanted = configuration.template
    try:
        found = await api.get("/api/templates", folder=wanted.folder, name=wanted.name)
    except NotFound as problem:
        return [Check("template", False, problem.what, problem)]
    checks = _privileges(api, "template's privileges", found["missing"])
    if found["template"] is not None:
        return [Check("template", True, found["template"]), *checks]
    if "://" not in wanted.image:
        missing = template_missing(wanted.folder, wanted.name)
        return [Check("template", False, missing.what, missing)]
    try:
        await api.post("/api/images/probe", {"url": wanted.image})
    except Unreachable as unreached:
        return [Check("image", False, unreached.what, unreached), *checks]
    return [Check("image", True, wanted.image), *checks]


def _privileges(api: ApiClient, name: str, missing: list[dict[str, str]]) -> list[Check]:
    problems: list[PcgError] = [
        permission_missing(
            api.account, item["privilege"], item["object"], ["the data center was asked which privileges it has"]
        )
        for item in missing
    ]
    failed = [Check(name, False, problem.what, problem) for problem in problems]
    return failed or [Check(name, True, f"{api.account} has every privilege that is needed")]


def _clocks(ahead: dict[str, float]) -> list[Check]:
    """Machines take their first time from their host."""
    failed = []
    for host, seconds in ahead.items():
        if abs(seconds) <= MOST_OFFSET:
            continue
        where = "ahead of" if seconds > 0 else "behind"
        problem = AskPerson(
            f"The clock of host {host} is {abs(seconds):.0f} s {where} the data center's.",
            reason="host-clock-wrong",
            evidence=[f"{name}: {offset:+.1f} s" for name, offset in ahead.items()],
            remedy=[f"Set NTP servers on {host}, start its time service, and check that UDP 123 passes."],
            fields={"host": host, "offset": f"{seconds:.1f}", "allowed": f"{MOST_OFFSET:.0f}"},
        )
        failed.append(Check(f"time of {host}", False, problem.what, problem))
    return failed or [Check("time", True, f"the clocks of {len(ahead)} hosts agree")]


def _leases(name: str, told: dict[str, Any], needed: int) -> Check:
    free, held = told["leases"]["free"], told["leases"]["held"]
    if free is None:
        unknown = ResourcesMissing(
            f"The DHCP server of {told['network']} does not answer: how many leases are free cannot be told.",
            reason="dhcp-server-silent",
            remedy=["Start the DHCP server of the network, or use static addresses."],
        )
        return Check(name, None, unknown.what, unknown)
    if free + held >= needed:
        return Check(name, True, f"{free} DHCP leases are free on {told['network']}")
    problem = ResourcesMissing(
        f"The DHCP server of {told['network']} has {free} free leases; {needed} are needed.",
        reason="resources-missing",
        evidence=[f"the data center's DHCP server on {told['network']}: {free} free"],
        remedy=["Or use static addresses: network.addresses.static in the configuration."],
        fields={"resource": "dhcp-leases", "where": told["network"], "needed": str(needed), "free": str(free)},
    )
    return Check(name, False, problem.what, problem)
