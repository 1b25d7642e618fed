"""Boxes are sealed to one key for two purposes. Jet's token leaves the gateway, so nothing else is opened as one; and
whoever knows the public key can put anything in a box."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pcg.errors import InvalidInput
from pcg.model.configuration import Vcenter
from pcg.sealing import boxes
from pcg.sealing.keys import GatewayKeys

KEYS = GatewayKeys.generate()
VCENTER = Vcenter(address="vc.example.com", username="svc@vsphere.local")


@given(st.text(max_size=40))
def test_credentials_are_never_opened_as_a_token(password: str) -> None:
    sealed = boxes.seal_credentials(KEYS.public_sealing, "gateway-1", VCENTER, password)
    with pytest.raises(InvalidInput) as caught:
        boxes.open_sealed(KEYS.opening, sealed)
    assert VCENTER.username not in str(vars(caught.value))


@pytest.mark.parametrize(
    "inside",
    [b"", b'{"password":"x"}', b"two words", b"line\n", b"\0", b"x" * 513, "ä".encode(), b"="],
    ids=["nothing", "JSON", "a blank", "a line", "a zero", "too long", "not ASCII", "padding alone"],
)
def test_what_is_no_token(inside: bytes) -> None:
    with pytest.raises(InvalidInput):
        boxes.open_sealed(KEYS.opening, boxes.seal(KEYS.public_sealing, inside))


@pytest.mark.parametrize("token", [b"jet_" + b"Ab-_" * 10, b"a", b"a.b~c+d/e=="])
def test_tokens_open(token: bytes) -> None:
    assert boxes.open_sealed(KEYS.opening, boxes.seal(KEYS.public_sealing, token)) == token


@pytest.mark.parametrize("inside", [b"jet_token", b"[" * 100_000, b'{"a":' * 5000, b"\xff", b"null", b"{}"])
def test_what_is_no_credentials(inside: bytes) -> None:
    """Anybody may have sealed it: deep nesting is refused like all else, and trips nothing."""
    with pytest.raises(InvalidInput, match="cannot be opened"):
        boxes.open_credentials(KEYS.opening, boxes.seal(KEYS.public_sealing, inside))


def test_a_box_that_was_changed_opens_no_more() -> None:
    sealed = boxes.seal_credentials(KEYS.public_sealing, "gateway-1", VCENTER, "secret")
    for place in range(0, len(sealed) - 4, 7):
        other = "A" if sealed[place] != "A" else "B"
        with pytest.raises(InvalidInput):
            boxes.open_credentials(KEYS.opening, sealed[:place] + other + sealed[place + 1 :])
