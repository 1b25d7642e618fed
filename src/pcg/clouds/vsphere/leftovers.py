"""What lies in the template folder beside the template: unfinished imports of ours, of this gateway or another.

Used by `images.py`. All functions block and run in the session's threads. Only what carries the mark of an import is
ever renamed or removed.
"""

from __future__ import annotations

import contextlib
import time
from enum import Enum
from typing import Any

from pcg.clouds.vsphere import image_failures, inventory
from pcg.clouds.vsphere.inventory import Properties, plain_name, read, read_one, traversal
from pcg.clouds.vsphere.session import VsphereSession
from pcg.clouds.vsphere.survey import Survey, folder_in
from pcg.clouds.vsphere.vmomi import vim, vmodl
from pcg.errors import NotFound, TryAgain
from pcg.model.configuration import Configuration, shown_url

MARK_BEGUN = "pcg.template.begun"
"""advanced setting: when the import began, in seconds since the epoch by the vCenter's own clock"""
MARK_IMAGE = "pcg.template.image"
MARK_SHA256 = "pcg.template.sha256"
IMPORTING = ".importing"
STALE_SECONDS = 300.0
"""an import without a task that is older than this has nobody any more: the last calls of one take seconds"""
TASK_WITHIN = 120.0
_TASK_LOOK = 0.1
_IMPORT_TASK = "ImportVAppLRO"
_UNFINISHED = ("queued", "running")


class Leftover(Enum):
    NOTHING = "nothing"
    ALIVE = "somebody works on it"
    WHOLE = "verified and a template, but not yet renamed"


def ensure_folder(session: VsphereSession, configuration: Configuration) -> Any:
    """The template folder, made if it is missing; so are the folders above it."""
    survey = Survey(session)
    datacenter = survey.datacenter(configuration.placement[0].datacenter)
    wanted = configuration.template.folder
    try:
        return survey.folder(datacenter, wanted, "template.folder").object
    except NotFound:
        at = datacenter.properties["vmFolder"]
    for name in folder_in(datacenter, wanted).split("/"):
        at = _folder_in(session, at, name) or _made_folder(session, at, name)
    return at


def look(session: VsphereSession, folder: Any, name: str, final: str) -> Leftover:
    """What there is of an import under `name`; dead imports, of any image, are removed on the way.

    A whole one is given its final name. Raises Conflict when a machine that is not ours has the name.
    """
    found = _children(session, folder, vim.VirtualMachine, ["name", "config.template", "config.extraConfig"])
    imports = [item for item in found if plain_name(item.get("name", "")).endswith(IMPORTING)]
    result = Leftover.NOTHING
    alive: bool | None = None
    for item in imports:
        ours, marks = plain_name(item["name"]) == name, _marks(item)
        if MARK_BEGUN not in marks:
            if ours:
                raise image_failures.name_occupied(name, inventory.path_of(session, folder))
            continue
        if item.get("config.template"):
            if ours:
                rename(session, item["object"], final)
                result = Leftover.WHOLE
            continue
        if alive is None:
            alive = _import_under_way(session)
        if alive or _age(session, marks[MARK_BEGUN]) < STALE_SECONDS:
            result = Leftover.ALIVE if ours else result
        else:
            remove(session, item["object"])
    return result


def marks(session: VsphereSession, image: str, sha256: str | None) -> dict[str, str]:
    return {
        MARK_BEGUN: str(int(_now(session))),
        MARK_IMAGE: shown_url(image),
        MARK_SHA256: sha256 or "not given",
    }


def finish(session: VsphereSession, machine: Any, final: str) -> None:
    """A verified machine becomes the template: marked as one first, so that the final name never means less."""
    machine.MarkAsTemplate()
    rename(session, machine, final)


def rename(session: VsphereSession, machine: Any, final: str) -> None:
    """Of two gateways that finish at once the second finds the name taken: its own copy is removed."""
    try:
        _wait(session, machine.Rename_Task(final))
    except vim.fault.DuplicateName:
        if plain_name(read_one(session, machine, ["name"])["name"]) != final:
            remove(session, machine)


def remove(session: VsphereSession, machine: Any) -> None:
    """An unfinished import. One that has its final name, or is gone already, is left as it is."""
    with contextlib.suppress(vmodl.fault.ManagedObjectNotFound):
        if plain_name(read_one(session, machine, ["name"])["name"]).endswith(IMPORTING):
            _wait(session, machine.Destroy_Task())


def _wait(session: VsphereSession, task: Any) -> None:
    """Raises the fault that the task ended with. Looked at directly: the session's collector has filters of others."""
    deadline = time.monotonic() + TASK_WITHIN
    while True:
        info = read_one(session, task, ["info.state", "info.error"])
        if info.get("info.error") is not None:
            raise info["info.error"]
        if str(info["info.state"]) not in _UNFINISHED:
            return
        if time.monotonic() > deadline:
            raise TryAgain("vCenter does not finish a task on the imported image.", reason="vcenter-slow")
        time.sleep(_TASK_LOOK)


def _service(session: VsphereSession) -> Any:
    return vim.ServiceInstance("ServiceInstance", session.stub)


def _children(session: VsphereSession, folder: Any, kind: Any, paths: list[str]) -> list[Properties]:
    return read(session, [(folder, [traversal("children", vim.Folder, "childEntity")], True)], [(kind, paths)])


def _folder_in(session: VsphereSession, folder: Any, name: str) -> Any:
    children = _children(session, folder, vim.Folder, ["name"])
    return next((item["object"] for item in children if plain_name(item.get("name", "")) == name), None)


def _made_folder(session: VsphereSession, folder: Any, name: str) -> Any:
    try:
        return folder.CreateFolder(name)
    except vim.fault.DuplicateName:
        made = _folder_in(session, folder, name)  # another gateway was faster
        if made is None:
            raise
        return made


def _marks(item: Properties) -> dict[str, str]:
    return {option.key: str(option.value) for option in item.get("config.extraConfig") or []}


def _import_under_way(session: VsphereSession) -> bool:
    """Whether any import runs. A task names the pool and not the machine, so every one counts, whosever it is."""
    recent = traversal("recent", vim.TaskManager, "recentTask")
    paths = ["info.state", "info.descriptionId"]
    tasks = read(session, [(session.content.taskManager, [recent], True)], [(vim.Task, paths)])
    return any(
        str(task.get("info.state")) in _UNFINISHED and _IMPORT_TASK in str(task.get("info.descriptionId"))
        for task in tasks
    )


def _age(session: VsphereSession, begun: str) -> float:
    return _now(session) - float(begun) if begun.isdecimal() else STALE_SECONDS


def _now(session: VsphereSession) -> float:
    """By the vCenter's clock, which all gateways share."""
    return float(_service(session).CurrentTime().timestamp())
