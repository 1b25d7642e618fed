"""The ways to vCenter, ESXi hosts, an image and the API server, as the live diagnosis asks them: real servers here."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from doubles.serving import serving
from pcg.clouds.lab.edge.authority import Authority
from pcg.diagnosis.probes.address import probe_address
from pcg.diagnosis.probes.answer import Outcome, ProbeAnswer
from pcg.diagnosis.probes.api_server import probe_api_server
from pcg.diagnosis.probes.image import BYTES, probe_image
from pcg.diagnosis.probes.vcenter import probe_hosts, probe_vcenter
from pcg.model.configuration import Trust, Vcenter
from pcg.network.proxies import NO_PROXIES

HOPS = ["name", "route", "tcp", "tls"]
NO_SERVERS = ()


@asynccontextmanager
async def answering(answer: str, authority: Authority | None = None) -> AsyncIterator[tuple[int, list[str]]]:
    """An HTTP server that gives one answer to everything. Its port, and the heads of what was asked."""
    asked: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
            writer.write(answer.encode())
            await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            pass  # a handshake or connection only, which some probes make
        finally:
            writer.transport.abort() if not asked else writer.close()

    context = authority.server_context("127.0.0.1") if authority else None
    async with serving(serve, ssl=context) as port:
        yield port, asked


def http(status: str, body: str = "", *headers: str) -> str:
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", "connection: close", *headers]
    return "\r\n".join(lines) + "\r\n\r\n" + body


async def asked_of(chain: Callable[[Callable[[ProbeAnswer], None]], Awaitable[None]]) -> list[ProbeAnswer]:
    answers: list[ProbeAnswer] = []
    async with asyncio.timeout(30):
        await chain(answers.append)
    return answers


def last(answers: list[ProbeAnswer]) -> tuple[str, str]:
    assert [answer.answer for answer in answers[:-1]] == [Outcome.PASSED] * (len(answers) - 1), answers
    return answers[-1].probe, answers[-1].kind or str(answers[-1].answer)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def leaf_of(port: int) -> str:
    pem = ssl.get_server_certificate(("127.0.0.1", port))
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest().upper()
    return ":".join(digest[at : at + 2] for at in range(0, 64, 2))


@pytest.mark.parametrize(
    "trusted,status,expected",
    [
        ("ca", "200 OK", ("http", "passed")),
        ("ca", "503 Service Unavailable", ("http", "http-unavailable")),
        ("thumbprint", "200 OK", ("http", "passed")),
        ("other-thumbprint", "200 OK", ("tls", "certificate-not-trusted")),
        ("system", "200 OK", ("tls", "certificate-not-trusted")),
    ],
)
async def test_the_way_to_vcenter(authority: Authority, trusted: str, status: str, expected: tuple[str, str]) -> None:
    async with answering(http(status), authority) as (port, asked):
        trust = {
            "ca": Trust(ca=authority.pem),
            "thumbprint": Trust(thumbprint=await asyncio.to_thread(leaf_of, port)),
            "other-thumbprint": Trust(thumbprint=":".join(["AB"] * 32)),
            "system": Trust(),
        }[trusted]
        vcenter = Vcenter(address=f"127.0.0.1:{port}", trust=trust, username="svc@vsphere.local")
        answers = await asked_of(lambda heard: probe_vcenter(vcenter, NO_SERVERS, heard))
    assert last(answers) == expected
    assert "svc@" not in str(answers) + str(asked), "no login is needed to look"


async def test_esxi_hosts_each_by_itself() -> None:
    async with answering(http("200 OK")) as (port, asked):
        hosts = [f"127.0.0.1:{port}", "127.0.0.2:9"]
        answers = await asked_of(lambda heard: probe_hosts(hosts, NO_SERVERS, heard))
    tcp = {answer.target: answer.kind for answer in answers if answer.probe == "tcp"}
    assert tcp == {f"127.0.0.1:{port}": "", "127.0.0.2:9": "connection-refused"}
    assert not asked, "nothing is sent"


@pytest.mark.parametrize(
    "status,expected",
    [
        ("200 OK", ("readyz", "passed")),
        ("500 Internal Server Error", ("readyz", "api-server-not-ready")),
        ("401 Unauthorized", ("readyz", "unknown")),
    ],
)
async def test_the_way_to_the_api_server(authority: Authority, status: str, expected: tuple[str, str]) -> None:
    body = "[+]ping ok\n[-]etcd failed: reason withheld\n"
    async with answering(http(status, body), authority) as (port, asked):
        answers = await asked_of(lambda heard: probe_api_server("127.0.0.1", port, authority.pem, NO_SERVERS, heard))
    assert [answer.probe for answer in answers] == [*HOPS, "readyz"]
    assert last(answers) == expected
    assert asked[-1].startswith("GET /readyz?verbose ")
    assert ("etcd" in answers[-1].detail) is status.startswith("500")


async def test_an_api_server_that_cannot_be_proved(authority: Authority, tmp_path: Path) -> None:
    async with answering(http("200 OK"), authority) as (port, asked):
        unknown = await asked_of(lambda heard: probe_api_server("127.0.0.1", port, None, NO_SERVERS, heard))
        other = Authority(tmp_path).pem
        stranger = await asked_of(lambda heard: probe_api_server("127.0.0.1", port, other, NO_SERVERS, heard))
    assert last(unknown) == ("tls", "unknown")
    assert last(stranger) == ("tls", "certificate-not-trusted")
    assert not asked, "nothing is asked of whoever cannot be proved"


@pytest.mark.parametrize(
    "answer,kind",
    [
        (http("206 Partial Content", "x" * BYTES, "content-range: bytes 0-1023/9000"), ""),
        (http("200 OK", "x" * 100_000), ""),
        (http("404 Not Found"), "http-404"),
        (http("403 Forbidden"), "http-403"),
        (http("302 Found", "", "location: ftp://127.0.0.1/x"), "http-redirect"),
        (http("302 Found", "", "location: /again"), "http-redirect"),
        ("nonsense\r\n\r\n", "unreachable-http"),
    ],
)
async def test_an_image_by_its_first_bytes(answer: str, kind: str) -> None:
    async with answering(answer) as (port, asked):
        told = await probe_image(f"http://127.0.0.1:{port}/node.ova?signature=secret", NO_PROXIES)
    assert told.kind == kind, told
    assert told.failed is bool(kind)
    assert "range: bytes=0-1023" in asked[0].lower()
    assert "secret" not in str(told)


async def test_an_image_server_that_never_answers() -> None:
    async with answering("") as (port, _):
        told = await probe_image(f"http://127.0.0.1:{port}/node.ova", NO_PROXIES, seconds=1)
    assert told.failed


async def test_an_address_of_this_machine_s_own_loopback_cannot_be_told() -> None:
    told = await probe_address("127.0.0.9")
    assert told.answer is Outcome.UNKNOWN
    assert "CAP_NET_RAW" in told.needs
