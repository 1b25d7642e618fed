"""Who asks the API, and what they may: the cluster's administrators everything, a joining node very little.

Called by the app for every request. A client certificate was verified by TLS (or by `InProcessTransport`) already.
"""

from __future__ import annotations

import base64
import hmac
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pcg.clouds.guest.certificates import Peer
from pcg.clouds.guest.kubernetes_api.status import StatusError
from pcg.clouds.guest.kubernetes_api.store import ObjectStore

ADMINISTRATORS = "system:masters"
BOOTSTRAPPERS = "system:bootstrappers"
TOKEN_SECRET_TYPE = "bootstrap.kubernetes.io/token"  # noqa: S105  (a type's name)

_CLUSTER_INFO = ("configmaps", "kube-public", "cluster-info")
_JOINING_READS = {_CLUSTER_INFO, ("configmaps", "kube-system", "kubeadm-config")}


@dataclass(frozen=True)
class User:
    name: str
    groups: tuple[str, ...] = ()


ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))


def authenticate(peer: Peer | None, authorization: str, store: ObjectStore, now: datetime) -> User:
    """Raises StatusError 401 for a token that is not known or has expired."""
    if peer is not None:
        return User(peer.name, peer.organizations)
    scheme, _, token = authorization.partition(" ")
    if not authorization:
        return ANONYMOUS
    if scheme.lower() == "bearer" and _is_bootstrap_token(token.strip(), store, now):
        return User(f"system:bootstrap:{token.strip().partition('.')[0]}", (BOOTSTRAPPERS,))
    raise StatusError(401, "Unauthorized", "Unauthorized")


def authorize(user: User, verb: str, plural: str, namespace: str, name: str) -> None:
    """Raises StatusError 403. `plural` is empty for a path that is no resource."""
    target = (plural, namespace, name)
    if ADMINISTRATORS in user.groups or (verb == "get" and target == _CLUSTER_INFO):
        return
    if BOOTSTRAPPERS in user.groups and verb == "get" and target in _JOINING_READS:
        return
    where = f' in the namespace "{namespace}"' if namespace else " at the cluster scope"
    message = f'{plural} "{name}" is forbidden: User "{user.name}" cannot {verb} resource "{plural}"{where}'
    raise StatusError(403, "Forbidden", message.replace(' ""', ""), {"name": name, "kind": plural})


def token_secret(token: str, expires: datetime) -> dict[str, Any]:
    """The Secret in kube-system that makes `token` a bootstrap token, as kubeadm writes it."""
    token_id, _, secret = token.partition(".")
    return {
        "metadata": {"name": f"bootstrap-token-{token_id}"},
        "type": TOKEN_SECRET_TYPE,
        "stringData": {
            "token-id": token_id,
            "token-secret": secret,
            "expiration": f"{expires:%Y-%m-%dT%H:%M:%SZ}",
            "usage-bootstrap-authentication": "true",
            "usage-bootstrap-signing": "true",
            "auth-extra-groups": "system:bootstrappers:kubeadm:default-node-token",
        },
    }


def _is_bootstrap_token(token: str, store: ObjectStore, now: datetime) -> bool:
    token_id, _, secret = token.partition(".")
    found = store.find("secrets", f"bootstrap-token-{token_id}", "kube-system")
    if found is None or found.get("type") != TOKEN_SECRET_TYPE:
        return False
    data = {key: base64.b64decode(value).decode(errors="replace") for key, value in found["data"].items()}
    if not hmac.compare_digest(data.get("token-secret", "").encode(), secret.encode()) or not secret:
        return False
    if data.get("usage-bootstrap-authentication") != "true":
        return False
    expiration = data.get("expiration", "")
    try:
        return not expiration or now < datetime.fromisoformat(expiration)
    except (ValueError, TypeError):  # no time, or one without its zone
        return False
