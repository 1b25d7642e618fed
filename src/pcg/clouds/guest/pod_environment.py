"""What a container of a pod is given: its environment and its volumes, made from the pod and the objects it names."""

from __future__ import annotations

import base64
import re
from pathlib import Path

from pcg.clouds.guest.kubernetes_api.resources import Object
from pcg.clouds.guest.kubernetes_api.store import ObjectStore

_REFERENCE = re.compile(r"\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)")


class NotThereYet(Exception):
    """A Secret that the pod cannot do without does not exist; the kubelet tries again."""


def mount_volumes(pod: Object, store: ObjectStore, folder: Path) -> dict[str, Path]:
    """Write the pod's Secret volumes as they are now; the folder of each by the volume's name. Raises NotThereYet."""
    mounted = {}
    for volume in pod["spec"].get("volumes") or ():
        target = folder / "volumes" / volume["name"]
        target.mkdir(parents=True, exist_ok=True)
        mounted[volume["name"]] = target
        source = volume.get("secret")
        if source is not None:
            _write_secret(source, store, pod["metadata"]["namespace"], target)
    return mounted


def secret_versions(pod: Object, store: ObjectStore) -> list[str]:
    """Of the Secrets in the pod's volumes: another answer means that `mount_volumes` has something new to write."""
    sources = [volume["secret"] for volume in pod["spec"].get("volumes") or () if volume.get("secret")]
    found = [store.find("secrets", source["secretName"], pod["metadata"]["namespace"]) for source in sources]
    return ["" if secret is None else str(secret["metadata"].get("resourceVersion", "")) for secret in found]


def environment_of(
    pod: Object, container: Object, store: ObjectStore, host_address: str, volumes: dict[str, Path]
) -> dict[str, str]:
    """Exactly what the manifest says; `$(NAME)` is replaced by an earlier entry. Raises NotThereYet."""
    environment: dict[str, str] = {}
    for entry in container.get("env") or ():
        value = entry.get("value")
        if value is None:
            value = _from_source(entry.get("valueFrom") or {}, pod, store, host_address)
        if value is not None:
            environment[entry["name"]] = _REFERENCE.sub(lambda found: environment.get(found[1], found[0]), str(value))
    mounts = [(mount["mountPath"].rstrip("/"), volumes[mount["name"]]) for mount in container.get("volumeMounts") or ()]
    # There is no container file system: a value that names a mounted path names the folder behind it instead.
    return {name: _rewritten(value, mounts) for name, value in environment.items()}


def _write_secret(source: Object, store: ObjectStore, namespace: str, target: Path) -> None:
    secret = store.find("secrets", source["secretName"], namespace)
    if secret is None and not source.get("optional"):
        raise NotThereYet(f'secret "{source["secretName"]}" not found')
    data = {} if secret is None else {key: base64.b64decode(value) for key, value in secret["data"].items()}
    for stale in target.iterdir():
        if stale.name not in data:
            stale.unlink()
    for key, value in data.items():
        path = target / key
        if path.parent != target:
            raise NotThereYet(f"references non-existent secret key: {key}")
        # Replaced whole: a container that runs may be reading it.
        draft = target / f".{key}.new"
        draft.touch(mode=0o600)
        draft.write_bytes(value)
        draft.replace(path)


def _from_source(source: Object, pod: Object, store: ObjectStore, host_address: str) -> str | None:
    if "fieldRef" in source:
        fields = {
            "status.hostIP": host_address,
            "status.podIP": host_address,
            "spec.nodeName": pod["spec"].get("nodeName", ""),
            "metadata.name": pod["metadata"]["name"],
            "metadata.namespace": pod["metadata"]["namespace"],
            "metadata.uid": pod["metadata"]["uid"],
        }
        return str(fields.get(source["fieldRef"]["fieldPath"], ""))
    reference = source.get("secretKeyRef")
    if reference is None:
        return None
    secret = store.find("secrets", reference["name"], pod["metadata"]["namespace"])
    if secret is not None and reference["key"] in secret["data"]:
        return base64.b64decode(secret["data"][reference["key"]]).decode(errors="replace")
    if reference.get("optional"):
        return None
    raise NotThereYet(f'secret "{reference["name"]}" not found')


def _rewritten(value: str, mounts: list[tuple[str, Path]]) -> str:
    for path, folder in mounts:
        if value == path or value.startswith(path + "/"):
            return str(folder) + value[len(path) :]
    return value
