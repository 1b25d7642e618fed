"""The commands that a simulated machine can run: kubeadm, kubectl apply, and what a script needs beside them.

What prepares a kernel or services that a simulated machine does not have succeeds and does nothing.
Anything else is "not found" with 127, as on a machine that lacks it. Called by the guest for each entry of runcmd.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import yaml

from pcg.clouds.guest.cluster import Cluster
from pcg.clouds.guest.disk import MachineDisk
from pcg.clouds.guest.kubeadm import ADMIN_CONF
from pcg.clouds.guest.kubernetes_api.resources import by_kind
from pcg.clouds.guest.kubernetes_api.status import StatusError
from pcg.clouds.guest.logs import GuestLogs
from pcg.errors import InvalidInput

_WITHOUT_EFFECT = frozenset({"swapoff", "modprobe", "sysctl", "systemctl", "update-ca-certificates"})
_REPLACEMENT = re.compile(r"s\|([^|\\]+)\|([^|\\&]*)\|g?")
"""of sed, with texts that are no expressions"""


class Shell:
    """`kubeadm` runs it with its arguments; `cluster` is what this machine's admin.conf leads to, once there is one."""

    def __init__(
        self,
        disk: MachineDisk,
        logs: GuestLogs,
        kubeadm: Callable[[list[str]], Awaitable[int]],
        cluster: Callable[[], Cluster | None],
    ) -> None:
        self._disk = disk
        self._logs = logs
        self._kubeadm = kubeadm
        self._cluster = cluster

    async def run(self, command: list[str] | str, line: int) -> int:
        """`line` in cloud-init's script, for the shell's complaint."""
        try:
            words = shlex.split(command) if isinstance(command, str) else command
        except ValueError:
            self._logs.output(
                f"/var/lib/cloud/instance/scripts/runcmd: {line}: Syntax error: Unterminated quoted string"
            )
            return 2
        program, *arguments = words or [""]
        if program == "kubeadm":
            return await self._kubeadm(arguments)
        if program == "kubectl":
            return self._kubectl(arguments)
        if program == "sed":
            return self._sed(arguments)
        if program in ("true", ":") or program in _WITHOUT_EFFECT:
            return 0
        if program == "false":
            return 1
        if program == "echo":
            self._logs.output(" ".join(arguments))
            return 0
        self._logs.output(f"/var/lib/cloud/instance/scripts/runcmd: {line}: {program}: not found")
        return 127

    def _kubectl(self, arguments: list[str]) -> int:
        kubeconfig, path = _option(arguments, "--kubeconfig") or "", _option(arguments, "-f") or ""
        if "apply" not in arguments or not path:
            return self._fail(f"error: unknown command {' '.join(arguments)!r}; only apply -f FILE is known here")
        try:
            present, text = self._disk.read(kubeconfig or ADMIN_CONF), self._disk.read(path)
        except InvalidInput as error:
            return self._fail(f"error: {error.what}")
        cluster = self._cluster()
        if present is None or cluster is None:
            return self._fail(f"error: stat {kubeconfig or ADMIN_CONF}: no such file or directory")
        if text is None:
            return self._fail(f'error: the path "{path}" does not exist')
        try:
            documents = [document for document in yaml.safe_load_all(text) if document is not None]
        except yaml.YAMLError as error:
            return self._fail(
                f"error: error parsing {path}: error converting YAML to JSON: {' '.join(str(error).split())}"
            )
        if not documents:
            return self._fail("error: no objects passed to apply")
        return max([self._apply(cluster, document, path) for document in documents])

    def _apply(self, cluster: Cluster, document: Any, path: str) -> int:
        if not isinstance(document, dict):
            return self._fail(f'error: error validating "{path}": invalid object to validate')
        version, kind = str(document.get("apiVersion")), str(document.get("kind"))
        resource = by_kind(version, kind)
        if resource is None:
            return self._fail(
                f'error: resource mapping not found for name: "" namespace: "" from "{path}": '
                f'no matches for kind "{kind}" in version "{version}"'
            )
        metadata = document.get("metadata")
        metadata = metadata if isinstance(metadata, dict) else {}
        name, namespace = str(metadata.get("name")), ""
        if resource.namespaced:
            namespace = str(metadata.get("namespace") or "default")
        shown = f"{resource.kind.lower()}{'.apps' if resource.version == 'apps/v1' else ''}/{name}"
        try:
            if cluster.store.find(resource.plural, name, namespace) is None:
                cluster.store.create(resource.plural, document, namespace)
                self._logs.output(f"{shown} created")
            else:
                cluster.store.patch(resource.plural, name, document, namespace)
                self._logs.output(f"{shown} configured")
        except StatusError as error:
            return self._fail(f'Error from server ({error.reason}): error when creating "{path}": {error.message}')
        return 0

    def _sed(self, arguments: list[str]) -> int:
        """`sed -i 's|FROM|TO|g' FILE` alone."""
        wanted = _REPLACEMENT.fullmatch(arguments[1]) if len(arguments) == 3 and arguments[0] == "-i" else None
        if wanted is None:
            return self._fail(f"sed: {' '.join(arguments)!r}: only -i 's|FROM|TO|g' FILE is known here")
        try:
            text = self._disk.read(arguments[2])
        except InvalidInput as error:
            return self._fail(f"sed: {error.what}")
        if text is None:
            return self._fail(f"sed: can't read {arguments[2]}: No such file or directory")
        mode = self._disk.path(arguments[2]).stat().st_mode
        self._disk.write(arguments[2], text.replace(wanted[1], wanted[2]), mode)
        return 0

    def _fail(self, line: str) -> int:
        self._logs.output(line)
        return 1


def _option(arguments: list[str], name: str) -> str | None:
    for word, following in pairwise([*arguments, ""]):
        if word == name:
            return following
        if word.startswith(f"{name}="):
            return word.removeprefix(f"{name}=")
    return None
