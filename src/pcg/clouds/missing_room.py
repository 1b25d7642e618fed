"""How a cloud's preflight counts what needs room and says that there is none: the same words on every cloud."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pcg.clouds.base import Check
from pcg.errors import ResourcesMissing


class Share(Protocol):
    """What one placement asks of an object."""

    @property
    def nodes(self) -> int: ...

    @property
    def spare(self) -> bool:
        """Whether one more is made there for a while, to take another's place."""
        ...


def machines_of(group: Sequence[Share]) -> int:
    """Of placements that share an object: there is one spare machine at a time."""
    return sum(share.nodes for share in group) + any(share.spare for share in group)


def missing_room(
    check: str, resource: str, where: str, needed: int, free: int, unit: str, evidence: Sequence[str], what: str = ""
) -> Check:
    """The failed check. `unit` may be empty; `what` stands in place of the sentence that is made of the numbers."""
    wanted, left = f"{needed} {unit}".rstrip(), f"{free} {unit}".rstrip()
    what = what or f"{where} has {left} of {resource} free; {wanted} are needed."
    problem = ResourcesMissing(
        what[0].upper() + what[1:],
        reason=f"{resource}-missing",
        evidence=list(evidence),
        remedy=["Free some, add some, choose another placement, or choose smaller nodes (nodes.size)."],
        fields={"resource": resource, "where": where, "needed": wanted, "free": left},
    )
    return Check(check, False, problem.what, problem)
