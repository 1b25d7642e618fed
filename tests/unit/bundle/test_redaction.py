"""No secret survives in any form or chunking, pseudonyms are stable and keep subnets, and verdicts stay the same."""

from __future__ import annotations

import ipaddress
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from log_cases import NOW, LogCase, archive_of, log_cases
from pcg.bundle.address_pseudonyms import AddressPseudonyms
from pcg.bundle.pseudonyms import Pseudonyms
from pcg.bundle.reading import LogReading, read_logs
from pcg.bundle.redacting import redact_archive
from pcg.bundle.redaction import Redactor
from pcg.sealing import pairing_code

KEY = b"k" * 32
STEMS = st.text("abcdefghjkmnpqrstvwxyzABCDEFGHJKMNPQRSTVWXYZ0123456789", min_size=16, max_size=40).map(
    lambda text: f"q7{text}"
)
FORMS = [
    "password={}",
    "Password: {}",
    'msg="login" secret="{}" user=bob',
    '{{"apiKey":"{}","next":1}}',
    '{{\\"token\\":\\"{}\\"}}',
    "{{Password:{} Name:x}}",
    "export HTTPS_PROXY=http://proxyuser:{}@proxy.example.com:3128",
    "proxy is bob:{}@proxy.example.com:3128",
    "GET https://bucket.example.com/image.ova?X-Amz-Signature={}&partNumber=3",
    "GET https://store.example.com/a?sig={}",
    "curl -u admin:{} https://example.com/",
    "Authorization: Bearer {}",
    "Proxy-Authorization: Basic {}==",
    '-H "Authorization: Basic {}"',
    "Set-Cookie: session={}; Path=/; Secure",
    'Cookie: vmware_soap_session="{}"',
    "client-key-data: {}",
    "kubeadm join 127.0.0.1:6443 --token {} --node-name a",
    "    passphrase: '{}'",
    "user-data: {}",
    "key pcg_{}abcdefghijklmnopqrstuvwxyz",
    "eyJhbGciOi12.{}.sig-{}",
    "hash $6$salt${}",
    "PUT https://127.0.0.1/nfc/{}/disk-0.vmdk",
    "-----BEGIN RSA PRIVATE KEY-----\n{}\n{}\n-----END RSA PRIVATE KEY-----",
    "I: -----BEGIN OPENSSH PRIVATE KEY-----\\n{}\\n-----END OPENSSH PRIVATE KEY----- done",
    "password: |\n  {}\n  {}\nname: bob",
]


def redacted(text: str, pseudonyms: Pseudonyms | None = None, size: int = 1 << 20) -> str:
    def chunks(raw: bytes) -> Iterator[bytes]:
        yield from (raw[at : at + size] for at in range(0, len(raw), size))

    return b"".join(Redactor(pseudonyms).text(chunks(text.encode()), lambda reason: None)).decode()


@settings(deadline=None, max_examples=60)
@given(secrets=st.lists(STEMS, min_size=2, max_size=2), size=st.integers(1, 400), mode=st.booleans())
def test_no_secret_survives(secrets: list[str], size: int, mode: bool) -> None:
    text = "\n".join(f"before\n{form.format(secrets[0], secrets[1])}\nafter" for form in FORMS) + "\n"
    told = redacted(text, Pseudonyms(key=KEY) if mode else None, size)
    assert not [line for line in told.splitlines() if secrets[0] in line or secrets[1] in line]
    assert told.count("\n") == text.count("\n")
    assert told.splitlines().count("after") == len(FORMS)
    assert "name: bob" in told if not mode else True
    assert redacted(told) == told


@pytest.mark.parametrize("form", ["{}", "code {} typed", '{{"code":"{}"}}', "pairing code {} was used"])
def test_codes_without_a_word(form: str) -> None:
    code = pairing_code.generate()
    for secret in (code, code.lower(), "abcdef.0123456789abcdef"):
        assert secret not in redacted(form.format(secret) + "\n")
    assert code.replace("-", " ") not in redacted(f"pairing with {code.replace('-', ' ')}\n")


@pytest.mark.parametrize(
    "line",
    [
        "token: expired",
        "invalid bearer token, service account token has expired",
        "Basic authentication failed",
        "reading --token-file /etc/pcg/token",
        "uid 0f1e2d3c-aaaa-bbbb-cccc-1234567890ab of node-a at 10.0.0.1:6443",
        "failed password for invalid user name or password.",
    ],
)
def test_words_stay(line: str) -> None:
    assert redacted(line + "\n") == line + "\n"


def test_a_key_that_never_ends_takes_no_more_than_a_key_has() -> None:
    lines = ["-----BEGIN PRIVATE KEY-----", *["x"] * 1000, "last line"]
    assert redacted("\n".join(lines) + "\n").endswith("\nx\nlast line\n")


def test_what_the_caller_knows() -> None:
    told = Redactor(known=["correct horse"]).text(iter([b"it is correct horse here\n"]), lambda reason: None)
    assert b"".join(told) == b"it is [redacted] here\n"


ADDRESSES = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6))


@settings(deadline=None)
@given(one=ADDRESSES, other=ADDRESSES, near=st.integers(0, 128))
def test_addresses_keep_their_shared_prefix(one, other, near) -> None:  # type: ignore[no-untyped-def]
    if one.version != other.version:
        other = one
    width = one.max_prefixlen
    keep = min(near, width)
    number = int(one) >> (width - keep) << (width - keep) | int(other) & ((1 << (width - keep)) - 1)
    other = type(one)(number)
    if any(address.version == 6 and address.ipv4_mapped for address in (one, other)):
        return
    mapped = AddressPseudonyms(KEY)
    assert shared(mapped.of(one), mapped.of(other)) == shared(one, other)


def shared(one, other) -> int:  # type: ignore[no-untyped-def]
    return int(one.max_prefixlen) - (int(one) ^ int(other)).bit_length()


@pytest.mark.parametrize(
    "kept", ["127.0.0.53", "0.0.0.0", "255.255.255.0", "169.254.169.254", "::1", "::", "10.96.0.1"]
)
def test_what_means_the_same_everywhere_stays(kept: str) -> None:
    assert str(AddressPseudonyms(KEY).of(ipaddress.ip_address(kept))) == kept


def test_a_network_contains_its_addresses_and_ports_stay() -> None:
    told = redacted("pool 10.20.16.0/20 has 10.20.19.7 via 10.20.16.1:6443\n", Pseudonyms(key=KEY)).split()
    network = ipaddress.ip_network(told[1])
    assert network.prefixlen == 20 and network.subnet_of(ipaddress.ip_network("10.0.0.0/8"))
    assert ipaddress.ip_address(told[3]) in network and told[3].endswith(".7")
    assert told[5].endswith(".1:6443") and "10.20." not in " ".join(told)


def test_names_are_the_same_throughout() -> None:
    text = (
        "Feb  3 07:10:00 acme-esx01 sshd[1]: Accepted publickey for msmith from 10.1.2.3 port 22\n"
        "lookup acme-esx01.paris.acme.test on 10.1.2.3:53, mail to msmith@acme.test\n"
        'node="acme-esx01" pod kube-apiserver-acme-esx01 of msmith at 00:50:56:aa:bb:cc\n'
        "Post https://console.acme.test/api, https://registry.k8s.io/pause, file kubelet.go:671\n"
    )
    told = redacted(text, Pseudonyms(key=KEY))
    assert not [word for word in ("acme", "msmith", "paris", "aa:bb:cc", "10.1.2.3") if word in told]
    first, second, third, fourth = told.splitlines()
    host = first.split()[3]
    assert host.endswith("-esx01") and f"lookup {host}." in second and f'node="{host}"' in third
    assert f"kube-apiserver-{host}" in third and "00:50:56:" in third
    assert first.split("from ")[1].split()[0] in second
    assert "https://console." in fourth and "registry.k8s.io/pause" in fourth and "kubelet.go:671" in fourth
    assert redacted(text, Pseudonyms(key=KEY)) == told
    assert redacted(text, Pseudonyms()) != told


def verdict(reading: LogReading) -> object:
    of = reading.verdict
    known = [(one.scenario, one.cause, len(one.evidence)) for one in (*of.findings, *of.notices)]
    return known, [(one.scenario, one.answer, tuple(one.missing)) for one in of.checked]


@pytest.mark.parametrize("case", log_cases(), ids=str)
def test_a_redacted_archive_has_the_same_verdict(case: LogCase) -> None:
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "spectro-logs-2026-2-1.tgz"
        archive.write_bytes(archive_of({name: text.encode() for name, text in case.files.items()}))
        before = verdict(read_logs(archive, NOW))
        for pseudonyms in (None, Pseudonyms(key=KEY)):
            made = redact_archive(archive, NOW, pseudonyms=pseudonyms)
            assert verdict(read_logs(made.path, NOW)) == before
            made.path.unlink()
