"""The CA and the identity outlive everything; the server certificate follows names and time."""

from __future__ import annotations

import hashlib
import json
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from pcg.console.certificates import Certificates, open_certificates
from pcg.errors import InvalidInput, SetupMissing

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOSTS = {"localhost", "127.0.0.1", "console.example.com"}


def _open(folder: Path, hosts: set[str] = HOSTS, now: datetime = NOW) -> Certificates:
    return open_certificates(folder, hosts, now)


def _leaf(certificates: Certificates) -> x509.Certificate:
    return x509.load_pem_x509_certificate(certificates.chain.read_bytes())


def test_the_second_start_finds_everything_again(tmp_path: Path):
    first, second = _open(tmp_path / "data"), _open(tmp_path / "data")
    assert (first.pin, first.console_id, first.identity_key) == (second.pin, second.console_id, second.identity_key)
    assert _leaf(first) == _leaf(second)


def test_files_are_private(tmp_path: Path):
    _open(tmp_path / "data")
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "data").iterdir()}
    assert modes == dict.fromkeys(["ca.pem", "identity.json", "server.crt", "server.key"], 0o600)


def test_the_pin_is_of_the_authoritys_key(tmp_path: Path):
    opened = _open(tmp_path)
    public = x509.load_pem_x509_certificate(opened.ca_pem.encode()).public_key()
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert opened.pin == "sha256:" + hashlib.sha256(der).hexdigest()
    assert "PRIVATE" not in opened.ca_pem


def test_certificates_are_dated_back_and_carry_the_names(tmp_path: Path):
    opened = _open(tmp_path)
    for certificate in (_leaf(opened), x509.load_pem_x509_certificate(opened.ca_pem.encode())):
        assert certificate.not_valid_before_utc == NOW - timedelta(days=1)
    leaf = _leaf(opened)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert set(names.get_values_for_type(x509.DNSName)) == {"localhost", "console.example.com"}
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc <= timedelta(days=398)
    leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(opened.ca_pem.encode()))
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(opened.chain, opened.key)


@pytest.mark.parametrize(
    ("hosts", "later", "renewed"),
    [
        (HOSTS, timedelta(days=300), False),
        (HOSTS, timedelta(days=370), True),
        (HOSTS | {"new.example.com"}, timedelta(0), True),
        (HOSTS - {"localhost"}, timedelta(0), True),
        (HOSTS, timedelta(days=-2), True),
    ],
)
def test_the_server_certificate_is_renewed_when_needed(
    tmp_path: Path, hosts: set[str], later: timedelta, renewed: bool
):
    first = _open(tmp_path)
    before = _leaf(first)
    second = _open(tmp_path, hosts, NOW + later)
    assert (_leaf(second) != before) is renewed
    assert second.pin == first.pin


@pytest.mark.parametrize("name", ["server.crt", "server.key"])
@pytest.mark.parametrize("content", [None, b"", b"damaged"])
def test_a_lost_server_certificate_is_made_again(tmp_path: Path, name: str, content: bytes | None):
    pin = _open(tmp_path).pin
    (tmp_path / name).unlink() if content is None else (tmp_path / name).write_bytes(content)
    opened = _open(tmp_path)
    assert opened.pin == pin
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(opened.chain, opened.key)


@pytest.mark.parametrize("name", ["ca.pem", "identity.json"])
@pytest.mark.parametrize("content", ["", "damaged", "[]", json.dumps({"console-id": "x", "identity-key": "short"})])
def test_damage_to_what_gateways_trust_is_never_repaired_silently(tmp_path: Path, name: str, content: str):
    _open(tmp_path)
    (tmp_path / name).write_text(content)
    with pytest.raises(InvalidInput) as caught:
        _open(tmp_path)
    assert name in caught.value.what
    assert (tmp_path / name).read_text() == content


def test_a_given_chain_pins_its_last_certificate(tmp_path: Path):
    own = _open(tmp_path / "elsewhere")
    opened = open_certificates(tmp_path / "data", HOSTS, NOW, given=(own.chain, own.key))
    assert (opened.pin, opened.chain) == (own.pin, own.chain)
    assert not (tmp_path / "data" / "ca.pem").exists()
    (tmp_path / "empty").write_text("nothing")
    with pytest.raises(InvalidInput):
        open_certificates(tmp_path / "data", HOSTS, NOW, given=(tmp_path / "empty", own.key))


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupMissing, match="file"):
        _open(tmp_path / "file")
