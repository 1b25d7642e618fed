"""Who may call what: one row for every route of the console. `test_authorisation.py` walks it and calls each.

A new route needs a row here; a row without a route fails too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from integration.console.conftest import PASSWORD

from .world import CIPHERTEXT, CONFIGURATION


class Least(IntEnum):
    """Who may at least; everyone further down may too."""

    ANYBODY = 0
    VIEWER = 1
    OPERATOR = 2
    ADMIN = 3
    LINK = 4
    """whoever has a one-time link: being signed in does not help"""
    JET = 5
    """the bearer of a jet token alone"""
    POLL = 6
    """the bearer of the polling session's token alone"""


@dataclass(frozen=True)
class Row:
    """`answer`: the status for those who may. `hidden`: for those who may not, where it is not 403.

    `json` and `form` are sent; `{n}` in them is a number that is new each time. `target`: the gateway's name in WORLD.
    """

    method: str
    path: str
    least: Least
    answer: int = 200
    json: Any = None
    form: Mapping[str, str] | None = None
    hidden: int = 403
    target: str = "connected"

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def is_page(self) -> bool:
        return not self.path.startswith(("/api/", "/gateway/v1/", "/static/", "/healthz", "/readyz", "/metrics"))


A, V, W, D, L = Least.ANYBODY, Least.VIEWER, Least.OPERATOR, Least.ADMIN, Least.LINK
G = "/api/v1/gateways"
P = "/gateways/{gateway_id}"
TWICE = {"password": PASSWORD, "repeated": PASSWORD}

TABLE = [
    Row("GET", "/api/openapi.json", A),
    Row("HEAD", "/api/openapi.json", A),
    Row("GET", "/healthz", A),
    Row("GET", "/readyz", A),
    Row("GET", "/metrics", V),
    # The REST API.
    Row("GET", G, V),
    Row("POST", G, W, 201, json={"name": "new-{n}", "cloud": "simulated"}),
    Row("GET", G + "/{gateway_id}", V),
    Row("DELETE", G + "/{gateway_id}", D, 202),
    Row("POST", G + "/{gateway_id}/pairing-code", W, 201),
    Row("POST", G + "/{gateway_id}/reset", W),
    Row("POST", G + "/{gateway_id}/rebuild", W),
    Row("POST", G + "/{gateway_id}/agree-restored", W),
    Row("GET", G + "/{gateway_id}/steps", V),
    Row("GET", G + "/{gateway_id}/machines", V),
    Row("GET", G + "/{gateway_id}/findings", V),
    Row("GET", G + "/{gateway_id}/events", V),
    Row("GET", G + "/{gateway_id}/configuration", V),
    Row("PUT", G + "/{gateway_id}/configuration", W, json=CONFIGURATION),
    Row("PUT", G + "/{gateway_id}/credentials", W, json={"ciphertext": CIPHERTEXT}),
    Row("POST", G + "/{gateway_id}/preflight", W, json={}),
    Row("GET", G + "/{gateway_id}/inventory", W),
    Row("POST", G + "/{gateway_id}/kubeconfig", D),
    Row("POST", G + "/{gateway_id}/bundles", W, 202, json={"pseudonyms": True}),
    Row("GET", G + "/{gateway_id}/bundles", W),
    Row("GET", "/api/v1/bundles/{bundle_id}", W),
    Row("GET", "/api/v1/bundles/{bundle_id}/archive", W),
    Row("GET", "/api/v1/users", D),
    Row("POST", "/api/v1/users", D, 201, json={"email": "new-{n}@example.com", "password": PASSWORD}),
    Row("DELETE", "/api/v1/users/{user_id}", D, 204),
    Row("GET", "/api/v1/keys", V),
    Row("POST", "/api/v1/keys", V, 201, json={"name": "new {n}"}),
    # Another user's key: it is not even told that it exists.
    Row("DELETE", "/api/v1/keys/{key_id}", D, 204, hidden=404),
    Row("GET", "/api/v1/audit", D),
    # The gateways' side: proofs and tokens of its own; no user's key is worth anything there.
    Row("GET", "/gateway/v1/ca", A),
    Row("GET", "/gateway/v1/identity", A),
    Row("POST", "/gateway/v1/register", A, 422, json={}),
    Row("GET", "/gateway/v1/release", A),
    Row("GET", "/gateway/v1/artifacts/{name}", A),
    Row("POST", "/gateway/v1/jet", Least.JET, json={}, hidden=401),
    Row("WEBSOCKET", "/gateway/v1/session", A),
    Row("POST", "/gateway/v1/poll", A),
    Row("POST", "/gateway/v1/poll/frames", Least.POLL, 204, hidden=404),
    Row("GET", "/gateway/v1/poll/frames", Least.POLL, 204, hidden=404),
    Row("DELETE", "/gateway/v1/poll", Least.POLL, 204, hidden=404),
    # Pages.
    Row("GET", "/static/{digest}/{name}", A),
    Row("GET", "/sign-in", A),
    Row("POST", "/sign-in", A, 401, form={"email": "nobody@example.com", "password": "wrong"}),
    Row("POST", "/sign-out", V, 303, form={}),
    Row("GET", "/setup", L),
    Row("POST", "/setup", L, form={"token": "guessed", "email": "new-{n}@example.com", **TWICE}),
    Row("GET", "/new-password", L),
    Row("POST", "/new-password", L, form={"token": "guessed", **TWICE}),
    Row("GET", "/news", V),
    Row("GET", P + "/news", V),
    Row("GET", "/", V),
    Row("GET", "/gateways/new", W),
    Row("POST", "/gateways", W, 201, form={"name": "new-{n}", "cloud": "simulated"}),
    Row("GET", P, V),
    Row("GET", P + "/events", V),
    Row("GET", P + "/configuration", V),
    Row("GET", P + "/pairing-code", W),
    Row("POST", P + "/pairing-code", W, 201, form={}),
    Row("GET", P + "/configure", W),
    Row("POST", P + "/configure", W, 422, form={"do": "save"}),
    Row("GET", P + "/bundles", W),
    Row("POST", P + "/bundles", W, 303, form={"pseudonyms": "yes"}),
    Row("GET", "/bundles/{bundle_id}", W),
    Row("GET", "/bundles/{bundle_id}/archive", W),
    Row("GET", P + "/reset", W),
    Row("POST", P + "/reset", W, 303, form={}),
    Row("GET", P + "/rebuild", W),
    Row("POST", P + "/rebuild", W, 303, form={}),
    Row("GET", P + "/agree-restored", W),
    Row("POST", P + "/agree-restored", W, 303, form={}),
    Row("GET", P + "/delete", D),
    Row("POST", P + "/delete", D, 303, form={}),
    Row("GET", "/users", D),
    Row("GET", "/users/new", D),
    Row("POST", "/users", D, 303, form={"email": "new-{n}@example.com", "role": "viewer", **TWICE}),
    Row("GET", "/users/{user_id}", D),
    Row("POST", "/users/{user_id}/role", D, 303, form={"role": "viewer"}),
    Row("POST", "/users/{user_id}/password", D, 303, form=TWICE),
    Row("POST", "/users/{user_id}/password-link", D, 201, form={}),
    Row("GET", "/users/{user_id}/delete", D),
    Row("POST", "/users/{user_id}/delete", D, 303, form={}),
    Row("GET", "/audit", D),
    Row("GET", "/keys", V),
    Row("POST", "/keys", V, 201, form={"name": "new {n}"}),
    Row("GET", "/keys/{key_id}/revoke", D, hidden=404),
    Row("POST", "/keys/{key_id}/revoke", D, 303, form={}, hidden=404),
    Row("GET", "/account", V),
    # The present password is wrong: this far only who is signed in comes.
    Row("POST", "/account", V, 422, form={"present": "wrong", **TWICE}),
]
