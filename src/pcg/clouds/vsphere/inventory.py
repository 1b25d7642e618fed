"""Finding things in vCenter's inventory: bulk reads, paths, and the one object that a person's name stands for.

Used by every other file of this driver. All functions block and run in the session's threads. A read is one
RetrievePropertiesEx over a traversal, so that its round trips do not grow with the inventory.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any
from urllib.parse import unquote

from pcg.clouds.vsphere.session import VsphereSession
from pcg.clouds.vsphere.vmomi import vim, vmodl
from pcg.errors import InvalidInput, NotFound

_Collector = vmodl.query.PropertyCollector
Properties = dict[str, Any]
"""values by property path; `object` is the managed object itself, `hidden` the paths that the account may not read"""


def traversal(name: str, kind: Any, path: str, *, into: Sequence[Any] = ()) -> Any:
    """One step of a walk; `into` are further steps, or names of steps (recursion)."""
    steps = [_Collector.SelectionSpec(name=step) if isinstance(step, str) else step for step in into]
    return _Collector.TraversalSpec(name=name, type=kind, path=path, skip=False, selectSet=steps)


def folders_down() -> Any:
    """From a folder to everything in it and in its subfolders."""
    return traversal("down", vim.Folder, "childEntity", into=["down"])


def filter_spec(starts: Sequence[tuple[Any, Sequence[Any], bool]], wanted: Sequence[tuple[Any, Sequence[str]]]) -> Any:
    """`starts`: object, steps from it, whether to leave the object itself out; `wanted`: type and property paths."""
    return _Collector.FilterSpec(
        objectSet=[_Collector.ObjectSpec(obj=start, selectSet=list(steps), skip=skip) for start, steps, skip in starts],
        propSet=[_Collector.PropertySpec(type=kind, pathSet=list(paths), all=False) for kind, paths in wanted],
    )


def read(
    session: VsphereSession,
    starts: Sequence[tuple[Any, Sequence[Any], bool]],
    wanted: Sequence[tuple[Any, Sequence[str]]],
) -> list[Properties]:
    """One bulk read. Objects that vanish meanwhile are simply not in the answer."""
    if not starts:
        return []
    collector = session.content.propertyCollector
    page = collector.RetrievePropertiesEx([filter_spec(starts, wanted)], _Collector.RetrieveOptions())
    found: list[Properties] = []
    while page is not None:
        for item in page.objects:
            values = {prop.name: prop.val for prop in item.propSet}
            found.append({"object": item.obj, "hidden": _hidden(item), **values})
        # vCenter cuts very large answers; the rest costs a round trip for every few thousand objects.
        page = collector.ContinueRetrievePropertiesEx(page.token) if page.token else None
    return found


def _hidden(item: Any) -> dict[str, Any]:
    """Faults by path. A session that has ended may show itself here alone, and must not look like an empty answer."""
    faults = {missing.path: missing.fault for missing in item.missingSet or []}
    for fault in faults.values():
        if isinstance(fault, vim.fault.NotAuthenticated):
            raise fault
    return {path: fault for path, fault in faults.items() if isinstance(fault, vim.fault.NoPermission)}


def read_one(session: VsphereSession, managed_object: Any, paths: Sequence[str]) -> Properties:
    """The properties of one object. Raises vCenter's ManagedObjectNotFound, and its NoPermission for what is hidden:
    whoever asks for one object needs the answer, and a gap would look like a broken vCenter.
    """
    (properties,) = read(session, [(managed_object, (), False)], [(type(managed_object), paths)])
    for fault in properties["hidden"].values():
        raise fault
    return properties


def moid(managed_object: Any) -> str:
    return str(managed_object._moId)


def plain_name(name: str) -> str:
    """vCenter escapes slash, backslash and percent in names."""
    return unquote(name)


def path_of(session: VsphereSession, managed_object: Any) -> str:
    """`/dc-1/vm/pcg`, or the object's id when the account may not read its way up."""
    try:
        up = traversal("up", vim.ManagedEntity, "parent", into=["up"])
        found = read(session, [(managed_object, [up], False)], [(vim.ManagedEntity, ["name", "parent"])])
    except (vmodl.MethodFault, OSError, HTTPException):
        return moid(managed_object)
    by_id = {moid(item["object"]): item for item in found}
    names: list[str] = []
    at: Any = managed_object
    while at is not None and moid(at) in by_id:
        item = by_id[moid(at)]
        at = item.get("parent")
        if at is not None or not names:  # the root folder has a name that nobody writes
            names.append(plain_name(item.get("name", moid(item["object"]))))
    return "/" + "/".join(reversed(names)) if names else moid(managed_object)


MOST_NAMED = 10
"""names that a message lists"""


@dataclass(frozen=True)
class Candidate:
    """Something that a person may have named; `path` is relative to where names of its kind start."""

    path: str
    object: Any
    properties: Properties

    @property
    def name(self) -> str:
        return self.path.rsplit("/", 1)[-1]


def choose(kind: str, field: str, wanted: str, candidates: Iterable[Candidate]) -> Candidate:
    """The one candidate of that name or path. Raises NotFound with near matches, InvalidInput when several match."""
    known = list(candidates)
    path = wanted.strip("/")
    exact = [item for item in known if item.path == path]
    matches = exact if len(exact) == 1 else [i for i in known if i.path == path or i.path.endswith("/" + path)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise InvalidInput(
            f"The name {wanted} stands for {len(matches)} {kind}s.",
            reason="name-ambiguous",
            field_name=field,
            evidence=sorted(item.path for item in matches)[:10],
            remedy=["Write the path instead of the name."],
            fields={"kind": kind, "name": wanted},
        )
    near = difflib.get_close_matches(path.rsplit("/", 1)[-1], sorted({item.name for item in known}), n=5, cutoff=0.4)
    raise NotFound(
        f"The {kind} {wanted} does not exist, or the account may not see it.",
        reason=f"{kind.replace(' ', '-')}-not-found",
        evidence=[f"similar: {name}" for name in near] or [_none_similar(kind, known)],
        remedy=["Correct the name, or give the account at least read-only access to it."],
        fields={"kind": kind, "name": wanted, "field": field, "near": ", ".join(near)},
    )


def _none_similar(kind: str, known: Sequence[Candidate]) -> str:
    """A few are named all the same: what is looked for may have been renamed."""
    names = sorted({item.name for item in known})
    if not names or len(names) > MOST_NAMED:
        return f"{len(known)} {kind}s are visible, none of a similar name"
    return f"visible, with other names: {', '.join(names)}"


def candidates_of(found: Sequence[Properties], kind: Any, *, below: Any) -> list[Candidate]:
    """The objects of one kind that lie below `below`, with their paths from there; none when that may not be seen."""
    if below is None:
        return []
    by_id = {moid(item["object"]): item for item in found}
    result = []
    for item in found:
        if not isinstance(item["object"], kind) or moid(item["object"]) == moid(below):
            continue
        names: list[str] = []
        at: Any = item["object"]
        while at is not None and moid(at) in by_id and moid(at) != moid(below):
            names.append(plain_name(by_id[moid(at)].get("name", moid(at))))
            at = by_id[moid(at)].get("parent")
        if at is not None and moid(at) == moid(below):
            result.append(Candidate("/".join(reversed(names)), item["object"], item))
    return result
