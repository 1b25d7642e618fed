"""Kubernetes events as the scheduler, the controllers and the kubelets emit them: repeated ones are counted."""

from __future__ import annotations

import hashlib
from datetime import datetime

from pcg.clouds.guest.kubernetes_api.resources import Object
from pcg.clouds.guest.kubernetes_api.status import StatusError
from pcg.clouds.guest.kubernetes_api.store import ObjectStore, stamp


def record_event(
    store: ObjectStore, about: Object, reason: str, message: str, component: str, now: datetime, *, kind: str = "Normal"
) -> None:
    """`kind` is Normal or Warning. Lost without a quorum, as in a real cluster: nobody waits for an event."""
    metadata = about["metadata"]
    namespace = metadata.get("namespace", "default")
    seen = hashlib.sha256("/".join((metadata.get("uid", ""), reason, message)).encode()).hexdigest()[:16]
    name = f"{metadata['name']}.{seen}"
    try:
        present = store.find("events", name, namespace)
        if present is not None:
            store.patch("events", name, {"count": present["count"] + 1, "lastTimestamp": stamp(now)}, namespace)
            return
        involved = {"kind": about["kind"], "apiVersion": about["apiVersion"], "name": metadata["name"]}
        involved |= {"namespace": namespace, "uid": metadata.get("uid", "")}
        event = {
            "metadata": {"name": name},
            "involvedObject": involved,
            "reason": reason,
            "message": message,
            "type": kind,
            "count": 1,
            "source": {"component": component},
            "firstTimestamp": stamp(now),
            "lastTimestamp": stamp(now),
        }
        store.create("events", event, namespace)
    except StatusError as error:
        if error.code not in (404, 500):  # its namespace is gone, or there is no quorum
            raise
