"""What opens TLS before a console, as clients see it that check certificates: wrong in one way each."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
import websockets
from cryptography import x509

from pcg.clouds.lab.edge.tls_terminator import FAULTS, TlsTerminator
from pcg.clouds.lab.edge.upstream import Upstream
from pcg.console.certificates import Certificates
from pcg.errors import InvalidInput

from .behind_the_edge import NAME, certificates, trusting, upstream

__all__ = ["certificates", "upstream"]

_END = "-----END CERTIFICATE-----\n"
EXPIRED, NOT_YET, OTHER_HOST, OTHER_CA = 10, 9, 62, {18, 19, 20, 21}
"""X509_V_ERR_…"""


@pytest.fixture
async def terminator(upstream: Upstream, tmp_path: Path) -> AsyncIterator[TlsTerminator]:
    folder = tmp_path / "edge"
    folder.mkdir()
    made = TlsTerminator(folder, upstream, NAME, ca=tmp_path / "console" / "ca.pem")
    await made.start()
    yield made
    await made.stop()
    assert list(folder.iterdir()) == [], "no key stays on the disk"


async def _handshake(terminator: TlsTerminator, trust: ssl.SSLContext, name: str = NAME) -> bytes:
    """The certificate that was served and accepted. Raises SSLCertVerificationError."""
    host, _, port = terminator.address.rpartition(":")
    _, writer = await asyncio.open_connection(host, int(port), ssl=trust, server_hostname=name)
    try:
        return bytes(writer.get_extra_info("ssl_object").getpeercert(binary_form=True))
    finally:
        writer.transport.abort()


async def _https(terminator: TlsTerminator, trust: ssl.SSLContext) -> str:
    async with httpx.AsyncClient(verify=trust, trust_env=False) as client:
        url = f"https://{terminator.address}/plain"
        answer = await client.get(url, headers={"host": NAME}, extensions={"sni_hostname": NAME})
        return answer.text


async def _websocket(terminator: TlsTerminator, trust: ssl.SSLContext) -> str | bytes:
    uri = f"wss://{terminator.address}/"
    async with websockets.connect(uri, ssl=trust, server_hostname=NAME, proxy=None) as connection:
        return await connection.recv()


async def _all_works(terminator: TlsTerminator, certificates: Certificates) -> None:
    trust = trusting(certificates.ca_pem)
    served = await _handshake(terminator, trust)
    assert served == ssl.PEM_cert_to_DER_cert(certificates.chain.read_text().partition("-----END")[0] + _END)
    assert await _https(terminator, trust) == "plain\n"
    assert await _websocket(terminator, trust) == "hello"


async def test_it_passes_unopened_what_comes(terminator: TlsTerminator, certificates: Certificates) -> None:
    await _all_works(terminator, certificates)
    assert terminator.hits == {"passed": 3}


@pytest.mark.parametrize(
    "fault,codes",
    [
        ("certificate-ended", {EXPIRED}),
        ("certificate-not-yet-valid", {NOT_YET}),
        ("certificate-other-host", {OTHER_HOST}),
        ("certificate-other-ca", OTHER_CA),
    ],
)
async def test_a_certificate_that_is_wrong_in_one_way(
    terminator: TlsTerminator, certificates: Certificates, fault: str, codes: set[int]
) -> None:
    trust = trusting(certificates.ca_pem)
    terminator.faults.add(fault)
    for _ in range(2):
        with pytest.raises(ssl.SSLCertVerificationError) as caught:
            await _handshake(terminator, trust)
        assert caught.value.verify_code in codes
    assert terminator.hits == {fault: 2}

    served = x509.load_der_x509_certificate(await _handshake(terminator, _not_looking()))
    console_ca = x509.load_pem_x509_certificate(certificates.ca_pem.encode())
    now = datetime.now(UTC)
    in_time = served.not_valid_before_utc <= now <= served.not_valid_after_utc
    names = served.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    right = names.get_values_for_type(x509.DNSName) == [NAME]
    assert in_time == (fault not in ("certificate-ended", "certificate-not-yet-valid"))
    assert right == (fault != "certificate-other-host")
    assert (served.issuer == console_ca.subject) == (fault != "certificate-other-ca")
    if fault != "certificate-other-ca":
        served.verify_directly_issued_by(console_ca)
        # Whoever only looks away from that one thing is content with the rest.
        if fault == "certificate-other-host":
            await _handshake(terminator, trust, "another.edge.test")

    terminator.faults.clear()
    await _all_works(terminator, certificates)
    assert terminator.hits[fault] == (4 if fault == "certificate-other-host" else 3)


async def test_an_interceptor_whom_somebody_trusts_carries_everything(terminator: TlsTerminator) -> None:
    terminator.faults.add("certificate-other-ca")
    trust = ssl.create_default_context(cadata=terminator.authority.pem)
    assert await _https(terminator, trust) == "plain\n"
    assert await _websocket(terminator, trust) == "hello"


async def test_an_upgrade_that_is_left_out(terminator: TlsTerminator, certificates: Certificates) -> None:
    trust = trusting(certificates.ca_pem)
    terminator.faults.add("drop-upgrade")
    assert await _https(terminator, trust) == "plain\n"
    assert not terminator.hits["drop-upgrade"]
    with pytest.raises(websockets.InvalidStatus) as caught:
        await _websocket(terminator, trust)
    assert caught.value.response.status_code == 426
    assert terminator.hits == {"drop-upgrade": 1}
    terminator.faults.clear()
    await _all_works(terminator, certificates)


async def test_who_only_knocks_has_seen_no_certificate(terminator: TlsTerminator) -> None:
    terminator.faults.add("certificate-ended")
    host, _, port = terminator.address.rpartition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.close()
    await writer.wait_closed()
    with pytest.raises(ssl.SSLCertVerificationError):
        await _handshake(terminator, ssl.create_default_context())
    assert terminator.hits == {"certificate-ended": 1}


async def test_without_the_consoles_ca_its_own_issues_everything(upstream: Upstream, tmp_path: Path) -> None:
    made = TlsTerminator(tmp_path, upstream, "127.0.0.1")
    await made.start()
    try:
        trust = ssl.create_default_context(cadata=made.authority.pem)
        for fault in FAULTS:
            made.faults = {fault}
            code = 0
            try:
                await _handshake(made, trust, "127.0.0.1")
            except ssl.SSLCertVerificationError as error:
                code = error.verify_code
            expected = {"certificate-ended": EXPIRED, "certificate-not-yet-valid": NOT_YET}
            assert code == expected.get(fault, 64 if fault == "certificate-other-host" else 0), fault
    finally:
        await made.stop()


@pytest.mark.parametrize("content", [None, "", "no PEM", "certificate alone", "keys of two"])
def test_a_ca_that_cannot_be_used_is_told(certificates: Certificates, tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "given.pem"
    if content == "certificate alone":
        content = certificates.ca_pem
    elif content == "keys of two":
        content = certificates.key.read_text() + certificates.ca_pem
    if content is not None:
        file.write_text(content)
    with pytest.raises(InvalidInput) as caught:
        TlsTerminator(tmp_path, Upstream("127.0.0.1", 443), NAME, ca=file)
    assert (caught.value.reason, caught.value.field_name) == ("edge-ca", "edge-ca")


def _not_looking() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
