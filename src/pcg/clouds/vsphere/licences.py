"""Whether the vCenter's licences have run out: then hosts disconnect and nothing can be powered on.

Used by `capacity.py`, which reads them along with the rest. Many accounts may not read them; then nothing is said.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pcg.clouds.base import Check
from pcg.clouds.vsphere.inventory import Properties
from pcg.errors import AskPerson

PATHS = ["licenses", "evaluation"]
_EXPIRES = "expirationDate"
_EVALUATION = "eval"


def check(item: Properties | None) -> list[Check]:
    """`item`: what was read of the LicenseManager. Found only when every licence that there is has expired."""
    known = (item or {}).get("licenses")
    if item is None or not known:
        return []
    trial = _expiry(getattr(item.get("evaluation"), "properties", None))
    ends = [trial if one.editionKey == _EVALUATION else _expiry(one.properties) for one in known]
    now = datetime.now(UTC)
    past = [end for end in ends if end is not None and end < now]
    if len(past) < len(ends):
        return [Check("licence", True, "the vCenter has a licence that is valid")]
    when = max(past)
    problem = AskPerson(
        f"The vCenter's licence expired on {when:%Y-%m-%d}.",
        reason="licence-expired",
        evidence=[f"{one.name}: expired {end:%Y-%m-%d}" for one, end in zip(known, past, strict=True)][:8],
        cause="Without a licence hosts disconnect, and no machine can be powered on.",
        remedy=["Enter a valid licence in vCenter (Administration, Licenses) and assign it to vCenter and hosts."],
        fields={"expired": when.isoformat()},
    )
    return [Check("licence", False, problem.what, problem)]


def _expiry(properties: Any) -> datetime | None:
    """None: it does not end."""
    for one in properties or []:
        if one.key == _EXPIRES and isinstance(one.value, datetime):
            return one.value if one.value.tzinfo else one.value.replace(tzinfo=UTC)
    return None
