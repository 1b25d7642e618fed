"""Pins decide on one certificate alone; every failure names its hop."""

from __future__ import annotations

import socket
import ssl
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from pcg.errors import InvalidInput
from pcg.network.failures import translate
from pcg.network.pins import parse_pin, pinned_certificate, spki_pin
from pcg.network.trust import Trust


def certificate(name: str, days: int = 30) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=days))
    return made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def test_only_the_pinned_certificate_of_a_bundle_is_taken() -> None:
    ours, theirs = certificate("ours"), certificate("theirs")
    pin = spki_pin(ours)
    assert pin.startswith("sha256:")
    assert len(pin) == 71
    for bundle in (ours + theirs, theirs + ours, f"text before\n{theirs}\n{ours}\n"):
        assert pinned_certificate(bundle, pin) == ours
    assert pinned_certificate(theirs, pin) is None


@pytest.mark.parametrize("typed", ["sha256:" + "a" * 64, "SHA256:" + "A" * 64, "a" * 64, "  sha256:" + "a" * 64 + "\n"])
def test_pins_are_read(typed: str) -> None:
    assert parse_pin(typed) == "sha256:" + "a" * 64


@pytest.mark.parametrize("typed", ["", "sha256:", "sha256:" + "a" * 63, "sha1:" + "a" * 64, "g" * 64, "a" * 65])
def test_other_pins_are_refused(typed: str) -> None:
    with pytest.raises(InvalidInput, match="64 hexadecimal"):
        parse_pin(typed)


@pytest.mark.parametrize("pem", ["", "not pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_an_unreadable_ca_is_invalid_input(pem: str) -> None:
    with pytest.raises(InvalidInput):
        spki_pin(pem)


def test_no_trust_is_ever_no_verification() -> None:
    pem = certificate("console")
    for trust in (Trust.system(), Trust.only_ca(pem), Trust.only_leaf(pem)):
        assert trust.context().verify_mode is ssl.CERT_REQUIRED
    assert Trust.only_ca(pem).context().check_hostname
    assert len(Trust.only_ca(pem).context().get_ca_certs()) <= 1
    with pytest.raises(InvalidInput):
        Trust.only_ca("garbage").context()
    for not_ascii in (Trust.only_ca("CA\u00e9"), Trust.system_and("\u202e"), Trust.only_leaf("\u0301")):
        with pytest.raises(InvalidInput, match="cannot be read"):
            not_ascii.context()


def _caused(outer: Exception, inner: Exception) -> Exception:
    outer.__cause__ = inner
    return outer


@pytest.mark.parametrize(
    "error,hop,reason",
    [
        (
            _caused(httpx.ConnectError("x"), socket.gaierror(-2, "Name or service not known")),
            "name",
            "name-not-resolved",
        ),
        (_caused(httpx.ConnectError("x"), ConnectionRefusedError(111, "refused")), "connect", "connection-refused"),
        (httpx.ConnectTimeout(""), "connect", "connection-timed-out"),
        (_caused(httpx.ConnectError("x"), ssl.SSLCertVerificationError(1, "self-signed")), "tls", "unreachable-tls"),
        (httpx.ProxyError("403 Forbidden"), "proxy", "unreachable-proxy"),
        (httpx.ReadTimeout(""), "http", "unreachable-http"),
        (httpx.RemoteProtocolError("Server disconnected"), "http", "unreachable-http"),
        (socket.gaierror(-2, "x"), "name", "name-not-resolved"),
        (ConnectionRefusedError(111, "x"), "connect", "connection-refused"),
        (TimeoutError(), "connect", "connection-timed-out"),
        (ExceptionGroup("both", [OSError(113, "No route to host")]), "connect", "no-route"),
    ],
)
def test_hops(error: Exception, hop: str, reason: str) -> None:
    translated = translate("https://c", error, otherwise="http")
    assert translated.fields["hop"] == hop
    assert translated.reason == reason
    assert "tried: https://c" in translated.evidence
    assert translated.remedy
