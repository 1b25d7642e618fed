"""Who may do what: one function for API, pages and commands; and the checks that tie a request to its session.

Roles: a viewer sees; an operator also runs gateways; an administrator also deletes, reads kubeconfigs and the audit,
and manages users. One organisation: today no answer depends on the gateway, but every question names it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from pcg.errors import PermissionMissing, Refused
from pcg.model.states import Role

SESSION_COOKIE = "__Host-pcg-session"
"""`__Host-`: browsers take it only with Secure, for this host alone and for the whole site"""

CSRF_FIELD = "csrf_token"
CSRF_HEADER = "x-csrf-token"


class Action(StrEnum):
    SEE_GATEWAYS = "see gateways"
    SEE_METRICS = "see metrics"
    MANAGE_OWN_KEYS = "manage own API keys"
    CREATE_GATEWAY = "create a gateway"
    MAKE_PAIRING_CODE = "make a pairing code"
    CONFIGURE = "configure a gateway"
    SET_CREDENTIALS = "enter credentials"
    RESET = "reset a gateway"
    AGREE_TO_RESTORE = "agree to a restored console"
    RUN_PREFLIGHT = "run a preflight"
    SEE_INVENTORY = "see a cloud's inventory"
    DOWNLOAD_LOGS = "download a gateway's logs"
    DELETE = "delete a gateway"
    GET_KUBECONFIG = "get a kubeconfig"
    MANAGE_USERS = "manage users"
    SEE_AUDIT = "see the audit"


_VIEWER = frozenset({Action.SEE_GATEWAYS, Action.SEE_METRICS, Action.MANAGE_OWN_KEYS})
_OPERATOR = _VIEWER | {
    Action.CREATE_GATEWAY,
    Action.MAKE_PAIRING_CODE,
    Action.CONFIGURE,
    Action.SET_CREDENTIALS,
    Action.RESET,
    Action.AGREE_TO_RESTORE,
    Action.RUN_PREFLIGHT,
    Action.SEE_INVENTORY,
    Action.DOWNLOAD_LOGS,
}
_ALLOWED: dict[Role, frozenset[Action]] = {
    Role.VIEWER: _VIEWER,
    Role.OPERATOR: _OPERATOR,
    Role.ADMIN: frozenset(Action),
}


@dataclass(frozen=True)
class Actor:
    """The user behind a request, as the service and the audit know them."""

    id: str
    email: str
    role: Role


def may(user: Actor, action: Action, gateway: Any = None) -> bool:
    """The one decision; `gateway` is a row of `gateways` where the action is about one."""
    return action in _ALLOWED[user.role]


def require(user: Actor, action: Action, gateway: Any = None) -> None:
    """Raises PermissionMissing (HTTP 403) unless `may` says yes."""
    if may(user, action, gateway):
        return
    enough = next(role for role in (Role.VIEWER, Role.OPERATOR, Role.ADMIN) if action in _ALLOWED[role])
    raise PermissionMissing(
        f"Your role {user.role.value} may not {action.value}.",
        reason="not-allowed",
        cause=f"It takes the role {enough.value}.",
        remedy=["Ask an administrator of this console."],
        fields={"privilege": action.value, "account": user.email},
    )


def csrf_token(session_token: str) -> str:
    """Bound to the session: whoever cannot read the cookie cannot compute it, and it tells nothing about the cookie."""
    return hmac.new(session_token.encode(), b"pcg csrf v1", hashlib.sha256).hexdigest()


def check_csrf(session_token: str, given: str | None) -> None:
    """Raises Refused (HTTP 403)."""
    if given is None or not hmac.compare_digest(csrf_token(session_token).encode(), given.encode()):
        raise Refused(
            "This form was made for another session.",
            reason="csrf-token",
            remedy=["Load the page again and repeat the change."],
        )


def check_origin(headers: Mapping[str, str], public_urls: Collection[str]) -> None:
    """A change from a browser must come from our own pages. Raises Refused (HTTP 403).

    `Origin` must be this host's; browsers that leave it out say `Sec-Fetch-Site`. Header names are lower case.
    """
    origin = headers.get("origin")
    if origin is None:
        allowed = headers.get("sec-fetch-site") in ("same-origin", "none")
    else:
        own = {urlsplit(url).netloc.lower() for url in public_urls} | {headers.get("host", "").lower()}
        allowed = urlsplit(origin).netloc.lower() in own - {""}
    if not allowed:
        raise Refused(
            "This change did not come from the console's own pages.",
            reason="foreign-origin",
            evidence=[f"origin: {origin or 'not given'}"],
            remedy=["Open the console by its own address and repeat the change there."],
        )


def token_hash(token: str) -> str:
    """SHA-256 in hexadecimal, for tokens of 256 random bits: looked up by hash, so nothing is compared byte by byte."""
    return hashlib.sha256(token.encode()).hexdigest()
