"""A cluster's secrets are derived, not drawn: the same for the same cluster, others for every other one."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pcg.nodes.pki import CA_EPOCH, CA_LIFETIME, OWN_LIFETIME, ClusterSecrets, client_certificate, cluster_secrets

SEED = b"s" * 32
SECRETS = cluster_secrets(SEED, "gateway-1", 1)
NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


def parts(secrets: ClusterSecrets) -> set[str]:
    found = {secrets.ca_certificate, secrets.ca_key, secrets.service_account_key, secrets.bootstrap_token(1)}
    return found | {secrets.ca_hash}


def ca(secrets: ClusterSecrets = SECRETS) -> x509.Certificate:
    return x509.load_pem_x509_certificate(secrets.ca_certificate.encode())


def test_the_same_cluster_gets_the_same_bytes_every_time() -> None:
    assert cluster_secrets(SEED, "gateway-1", 1) == SECRETS


def test_the_derivation_does_not_change_from_version_to_version() -> None:
    """A gateway that is updated must still hold the keys of the cluster that it made."""
    digest = hashlib.sha256("".join(sorted(parts(SECRETS))).encode()).hexdigest()
    assert (SECRETS.bootstrap_token(1), digest[:16]) == ("hxebuu.z9rt944iu7mpf79u", "f32a7df3923a537f")


@pytest.mark.parametrize(
    "other",
    [
        cluster_secrets(SEED, "gateway-1", 2),
        cluster_secrets(SEED, "gateway-2", 1),
        cluster_secrets(SEED, "gateway-1 1", 1),
        cluster_secrets(b"t" * 32, "gateway-1", 1),
    ],
    ids=["incarnation", "gateway", "look-alike", "seed"],
)
def test_another_cluster_shares_no_secret(other: ClusterSecrets) -> None:
    assert not parts(other) & parts(SECRETS)
    assert ca(other).serial_number != ca().serial_number


def test_the_keys_of_one_cluster_differ() -> None:
    assert SECRETS.ca_key != SECRETS.service_account_key


def test_the_ca_signs_itself_and_may_sign_others() -> None:
    ca().verify_directly_issued_by(ca())
    constraints = ca().extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.critical, constraints.value.ca) == (True, True)
    assert ca().extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    assert ca().subject.rfc4514_string() == "CN=kubernetes"
    assert 0 < ca().serial_number < 1 << 127


def test_the_ca_is_valid_for_ten_years_from_a_fixed_day() -> None:
    assert ca().not_valid_before_utc == CA_EPOCH - timedelta(days=1)
    assert ca().not_valid_after_utc == CA_EPOCH + CA_LIFETIME


def test_the_ca_key_belongs_to_the_certificate() -> None:
    key = serialization.load_pem_private_key(SECRETS.ca_key.encode(), None)
    assert key.public_key() == ca().public_key()


def test_the_ca_hash_is_the_digest_of_the_public_key() -> None:
    der = ca().public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert SECRETS.ca_hash == "sha256:" + hashlib.sha256(der).hexdigest()


@pytest.mark.parametrize("number", range(5))
def test_the_bootstrap_token_has_kubeadms_form(number: int) -> None:
    token = cluster_secrets(SEED, "gateway", number).bootstrap_token(1)
    assert re.fullmatch(r"[a-z0-9]{6}\.[a-z0-9]{16}", token)


def test_nothing_secret_is_shown_when_the_secrets_are_printed() -> None:
    shown = repr(SECRETS) + repr(client_certificate(SECRETS, NOW))
    assert "PRIVATE" not in shown
    assert SECRETS.bootstrap_token(1) not in shown


def test_a_client_certificate_is_an_administrators_signed_by_the_ca() -> None:
    made = client_certificate(SECRETS, NOW)
    certificate = x509.load_pem_x509_certificate(made.certificate.encode())
    certificate.verify_directly_issued_by(ca())
    subject = certificate.subject
    assert subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)[0].value == "system:masters"
    assert subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "pcg-gateway"
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    key = serialization.load_pem_private_key(made.key.encode(), None)
    assert key.public_key() == certificate.public_key()


def test_a_client_certificate_is_dated_a_day_back_for_clocks_that_lag() -> None:
    certificate = x509.load_pem_x509_certificate(client_certificate(SECRETS, NOW).certificate.encode())
    assert certificate.not_valid_before_utc == NOW - timedelta(days=1)


@pytest.mark.parametrize(
    ("more", "given"),
    [({}, timedelta(hours=8)), ({"lifetime": OWN_LIFETIME}, timedelta(hours=48))],
    ids=["a person's", "the gateway's own"],
)
def test_a_persons_certificate_lives_eight_hours_and_our_own_outlives_a_clock_a_day_off(
    more: dict[str, timedelta], given: timedelta
) -> None:
    made = client_certificate(SECRETS, NOW + timedelta(microseconds=5), name="someone", **more)
    certificate = x509.load_pem_x509_certificate(made.certificate.encode())
    assert made.not_after == certificate.not_valid_after_utc == NOW + given


def test_every_client_certificate_has_a_key_of_its_own() -> None:
    first, second = client_certificate(SECRETS, NOW), client_certificate(SECRETS, NOW)
    assert first.key != second.key
    assert first.certificate != second.certificate
