"""The one decision, and what ties a request to its session."""

from __future__ import annotations

import pytest

from pcg.console.auth import Action, Actor, check_csrf, check_origin, csrf_token, may, require, token_hash
from pcg.errors import PermissionMissing, Refused
from pcg.model.states import Role

URLS = ("https://console.example.com:8443",)


def _actor(role: Role) -> Actor:
    return Actor("1", "a@example.com", role)


ALLOWED = {
    Role.VIEWER: {Action.SEE_GATEWAYS, Action.SEE_METRICS, Action.MANAGE_OWN_KEYS},
    Role.OPERATOR: set(Action) - {Action.DELETE, Action.GET_KUBECONFIG, Action.MANAGE_USERS, Action.SEE_AUDIT},
    Role.ADMIN: set(Action),
}


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("action", list(Action))
def test_each_role_may_what_it_may(role: Role, action: Action):
    assert may(_actor(role), action) is (action in ALLOWED[role])


@pytest.mark.parametrize(("action", "enough"), [(Action.RESET, "operator"), (Action.DELETE, "admin")])
def test_a_refusal_names_the_role_that_is_needed(action: Action, enough: str):
    with pytest.raises(PermissionMissing) as caught:
        require(_actor(Role.VIEWER), action)
    assert enough in caught.value.cause
    assert action.value in caught.value.what


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({"origin": "https://console.example.com:8443"}, True),
        ({"origin": "https://CONSOLE.example.com:8443"}, True),
        ({"origin": "https://127.0.0.1:8443", "host": "127.0.0.1:8443"}, True),
        ({"origin": "https://console.example.com"}, False),
        ({"origin": "https://evil.test", "host": "console.example.com:8443"}, False),
        ({"origin": "null"}, False),
        ({"origin": ""}, False),
        ({"origin": "", "host": ""}, False),
        ({"origin": "https://evil.test", "sec-fetch-site": "same-origin"}, False),
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "none"}, True),
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "cross-site"}, False),
        ({}, False),
    ],
)
def test_changes_come_from_our_own_pages(headers: dict[str, str], allowed: bool):
    if allowed:
        check_origin(headers, URLS)
    else:
        with pytest.raises(Refused):
            check_origin(headers, URLS)


def test_a_csrf_token_belongs_to_its_session():
    check_csrf("session", csrf_token("session"))
    assert "session" not in csrf_token("session")
    for given in (None, "", "ä", csrf_token("other"), "session"):
        with pytest.raises(Refused):
            check_csrf("session", given)


def test_hashes_are_sha256():
    assert token_hash("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
