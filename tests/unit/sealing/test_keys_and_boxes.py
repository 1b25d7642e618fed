"""Signatures bind every part; a box opens for one gateway, one address, one trust, one account."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from pcg.errors import InvalidInput, ProtocolError
from pcg.model.configuration import Trust, Vcenter
from pcg.sealing import boxes, encoding, signatures
from pcg.sealing.keys import GatewayKeys, fingerprint

KEYS = GatewayKeys.generate()
VCENTER = Vcenter(address="vc.example.com", username="svc@vsphere.local")


def test_keys_survive_their_file() -> None:
    again = GatewayKeys.from_json(json.loads(json.dumps(KEYS.to_json())))
    assert (bytes(again.signing), bytes(again.opening), again.cluster_seed) == (
        bytes(KEYS.signing),
        bytes(KEYS.opening),
        KEYS.cluster_seed,
    )


def test_keys_do_not_show_in_a_log() -> None:
    assert encoding.encode(bytes(KEYS.signing)) not in repr(KEYS)


def test_fingerprint_is_five_groups_and_depends_on_both_keys() -> None:
    shown = fingerprint(KEYS.public_signing, KEYS.public_sealing)
    assert [len(group) for group in shown.split(" ")] == [4] * 5
    other = GatewayKeys.generate()
    assert fingerprint(KEYS.public_signing, other.public_sealing) != shown
    assert fingerprint(other.public_signing, KEYS.public_sealing) != shown


@given(st.lists(st.text(max_size=8), min_size=1, max_size=4), st.lists(st.text(max_size=8), min_size=1, max_size=4))
def test_a_signature_fits_only_its_label_and_parts(parts: list[str], others: list[str]) -> None:
    key = SigningKey(b"\x07" * 32)
    public = encoding.encode(bytes(key.verify_key))
    signature = signatures.sign(key, signatures.REGISTER, *parts)
    assert signatures.verify(public, signature, signatures.REGISTER, *parts)
    assert not signatures.verify(public, signature, signatures.SESSION_GATEWAY, *parts)
    assert signatures.verify(public, signature, signatures.REGISTER, *others) is (parts == others)


@pytest.mark.parametrize("public,signature", [("", ""), ("***", "AAAA"), ("A" * 43, "A" * 86), ("ü", "ü")])
def test_malformed_is_false_never_an_exception(public: str, signature: str) -> None:
    assert signatures.verify(public, signature, signatures.REGISTER, "x") is False


def test_credentials_open_and_fit_exactly() -> None:
    sealed = boxes.seal_credentials(KEYS.public_sealing, "gateway-1", VCENTER, "secret-ü")
    opened = boxes.open_credentials(KEYS.opening, sealed)
    assert opened.password == "secret-ü"
    assert "secret" not in repr(opened)
    assert opened.fits("gateway-1", VCENTER)
    changed = [
        ("gateway-2", VCENTER),
        ("gateway-1", VCENTER.model_copy(update={"address": "evil.example.com"})),
        ("gateway-1", VCENTER.model_copy(update={"username": "other"})),
        ("gateway-1", VCENTER.model_copy(update={"trust": Trust(thumbprint=":".join(["AB"] * 32))})),
        ("gateway-1", VCENTER.model_copy(update={"trust": Trust(ca="PEM")})),
    ]
    assert not any(opened.fits(gateway, vcenter) for gateway, vcenter in changed)


@pytest.mark.parametrize("ciphertext", ["", "AAAA", "not base64!", "ü"])
def test_unreadable_box_is_a_clear_refusal(ciphertext: str) -> None:
    with pytest.raises(InvalidInput, match="cannot be opened"):
        boxes.open_credentials(KEYS.opening, ciphertext)


def test_another_gateways_box_does_not_open() -> None:
    sealed = boxes.seal_credentials(GatewayKeys.generate().public_sealing, "g", VCENTER, "secret")
    with pytest.raises(InvalidInput):
        boxes.open_credentials(KEYS.opening, sealed)


def test_a_sealed_text_of_another_purpose_is_not_taken_for_credentials() -> None:
    inside = boxes.Credentials(purpose="other", gateway_id="g", address="a", username="u", password="p")
    with pytest.raises(InvalidInput):
        boxes.open_credentials(KEYS.opening, boxes.seal(KEYS.public_sealing, inside.model_dump_json().encode()))


@given(st.binary(max_size=64))
def test_encoding_round_trip(data: bytes) -> None:
    assert encoding.decode(encoding.encode(data), len(data)) == data


@pytest.mark.parametrize("text", ["A", "!!!!", "AA==A", "ü"])
def test_encoding_refuses(text: str) -> None:
    with pytest.raises(ProtocolError):
        encoding.decode(text)
