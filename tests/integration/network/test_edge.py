"""The whole edge: a client that asks its name server and connects, directly or by its proxy, under each fault."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import dns.asyncquery
import dns.exception
import dns.message
import dns.rcode
import httpx
import pytest
import websockets

from pcg.clouds.lab.edge.edge import FAULTS, Edge, Ports
from pcg.clouds.lab.edge.relay import Pace
from pcg.clouds.lab.edge.upstream import Upstream
from pcg.console.certificates import Certificates
from pcg.errors import InvalidInput, NotFound

from .behind_the_edge import ANSWERS, NAME, certificates, trusting, upstream

__all__ = ["certificates", "upstream"]

USER, PASSWORD = "svc-proxy", "of-the-proxy"
PATIENCE = 0.4
"""seconds after which a client gives up"""
CAUSES = [
    "name-not-resolved",
    "connection-refused",
    "connection-timed-out",
    "websocket-blocked",
    "proxy-unreachable",
    "proxy-authentication-required",
    "proxy-refused",
    "proxy-invalid",
    "certificate-not-trusted",
    "certificate-not-valid-yet",
    "certificate-expired",
    "tls-intercepted",
    "console-down",
    "console-unreachable",
    "gateway-disconnected",
    "installer-not-registered",
]

SYMPTOMS = {
    "edge/name-server/silent": "name: timeout",
    "edge/name-server/refused": "name: REFUSED",
    "edge/name-server/server-failure": "name: SERVFAIL",
    "edge/name-server/name-unknown": "name: NXDOMAIN",
    "edge/name-server/wrong-address": "connect: ConnectionRefusedError",
    "edge/proxy/password-wrong": "proxy: 407 Proxy Authentication Required",
    "edge/proxy/other-authentication": "proxy: 407 Proxy Authentication Required",
    "edge/proxy/refuse": "proxy: 403 Forbidden",
    "edge/proxy/name-unresolved": "proxy: 503 Service Unavailable",
    "edge/proxy/close-at-once": "proxy: RemoteProtocolError",
    "edge/proxy/port-closed": "proxy: ConnectError",
    "edge/proxy/not-a-proxy": "proxy: 405 Method Not Allowed",
    "edge/proxy/intercept-tls": "proxy: ConnectError",
    "edge/proxy/drop-upgrade": "proxy: ConnectError",
    "edge/relay/refuse": "connect: ConnectionRefusedError",
    "edge/relay/black-hole": "connect: timeout",
    "edge/relay/cut": "tls: ConnectionResetError",
    "edge/relay/slow": "tls: timeout",
    "edge/relay/half-open": "",
    "edge/relay/idle-cut": "",
    "edge/tls/certificate-ended": "tls: certificate has expired",
    "edge/tls/certificate-not-yet-valid": "tls: certificate is not yet valid",
    "edge/tls/certificate-other-host": "tls: Hostname mismatch",
    "edge/tls/certificate-other-ca": "tls: unable to get local issuer certificate",
    "edge/tls/no-backend": "websocket: 503",
    "edge/tls/drop-upgrade": "websocket: 426",
    "edge/artifacts/forbidden": "artifact: HTTP 403",
    "edge/artifacts/missing": "artifact: HTTP 404",
    "edge/artifacts/cut": "artifact: RemoteProtocolError",
    "edge/artifacts/wrong-bytes": "artifact: others",
    "edge/console/down": "connect: ConnectionRefusedError",
}
"""what a client that reaches the console, by name server or by proxy, says of it at the first failing hop"""


@pytest.fixture
async def edge(tmp_path: Path, upstream: Upstream) -> AsyncIterator[Edge]:
    made = Edge(
        tmp_path / "edge",
        f"localhost:{upstream.port}",
        ca=tmp_path / "console" / "ca.pem",
        proxy_user=USER,
        proxy_password=PASSWORD,
        pace=Pace(cut_after=1000, latency=PATIENCE),
    )
    await made.start()
    yield made
    await made.stop()


async def _resolved(edge: Edge) -> str:
    host, _, port = edge.name_server.rpartition(":")
    query = dns.message.make_query(NAME, "A")
    answer = await dns.asyncquery.udp(query, host, timeout=PATIENCE, port=int(port))
    if answer.rcode() != dns.rcode.NOERROR:
        raise LookupError(dns.rcode.to_text(answer.rcode()))
    return answer.answer[0][0].to_text()


async def _directly(edge: Edge, trust: ssl.SSLContext) -> str:
    """Empty when all goes well."""
    try:
        address = await _resolved(edge)
    except dns.exception.Timeout:
        return "name: timeout"
    except LookupError as error:
        return f"name: {error}"
    connection = socket.socket()
    connection.setblocking(False)
    try:
        async with asyncio.timeout(PATIENCE):
            port = urlsplit(edge.endpoint).port
            await asyncio.get_running_loop().sock_connect(connection, (address, port))
    except (TimeoutError, OSError) as error:
        connection.close()
        return f"connect: {'timeout' if isinstance(error, TimeoutError) else type(error).__name__}"
    try:
        async with asyncio.timeout(PATIENCE):
            ws = await websockets.connect(
                f"wss://{NAME}/", sock=connection, ssl=trust, server_hostname=NAME, proxy=None, open_timeout=None
            )
            text = await ws.recv()
            await ws.close()
    except ssl.SSLCertVerificationError as error:
        return f"tls: {error.verify_message.partition(',')[0]}"
    except TimeoutError:
        return "tls: timeout"
    except OSError as error:
        return f"tls: {type(error).__name__}"
    except websockets.InvalidStatus as error:
        return f"websocket: {error.response.status_code}"
    finally:
        connection.close()
    assert text == "hello"
    return ""


async def _by_proxy(edge: Edge, trust: ssl.SSLContext) -> str:
    proxy = httpx.Proxy(edge.proxy, auth=(USER, PASSWORD))
    async with httpx.AsyncClient(verify=trust, proxy=proxy, trust_env=False, timeout=5) as client:
        try:
            answer = await client.get(f"{edge.endpoint}/plain")
        except httpx.ProxyError as error:
            return f"proxy: {error}"
        except httpx.TransportError as error:
            return f"proxy: {type(error).__name__}"
    assert answer.text == "plain\n"
    return ""


async def _artifact(edge: Edge, trust: ssl.SSLContext) -> str:
    """From its own host, which is known by the edge's CA; the console's trust is not asked."""
    port = urlsplit(edge.artifacts).port
    own = ssl.create_default_context(cadata=edge.own_ca)
    own.check_hostname = False  # the name is not asked for here
    async with httpx.AsyncClient(verify=own, trust_env=False, timeout=5) as client:
        try:
            answer = await client.get(f"https://127.0.0.1:{port}/file")
        except httpx.TransportError as error:
            return f"artifact: {type(error).__name__}"
    if answer.status_code != 200:
        return f"artifact: HTTP {answer.status_code}"
    return "" if answer.text == ANSWERS["/gateway/v1/artifacts/file"] else "artifact: others"


async def test_it_leads_to_the_console_by_name_and_by_proxy(edge: Edge, certificates: Certificates) -> None:
    trust = trusting(certificates.ca_pem)
    assert edge.endpoint.startswith(f"https://{NAME}:")
    assert edge.addresses() == {
        "endpoint": edge.endpoint,
        "name_server": edge.name_server,
        "proxy": edge.proxy,
        "artifacts": edge.artifacts,
    }
    assert await _artifact(edge, trust) == ""
    assert await _directly(edge, trust) == ""
    assert await _by_proxy(edge, trust) == ""
    assert await edge.faults() == {name: {"on": False, "hits": 0} for name in FAULTS}
    assert FAULTS.keys() == SYMPTOMS.keys()


@pytest.mark.parametrize("fault", list(SYMPTOMS))
async def test_each_fault_shows_is_counted_and_goes_away(edge: Edge, certificates: Certificates, fault: str) -> None:
    trust = trusting(certificates.ca_pem)
    reach = {"proxy": _by_proxy, "artifacts": _artifact}.get(fault.split("/")[1], _directly)
    await edge.switch(fault, on=True)
    assert await reach(edge, trust) == SYMPTOMS[fault]
    told = await edge.faults()
    async with asyncio.timeout(PATIENCE):
        # The kernel tells of those that it refused a moment later.
        while _struck(fault) and not told[fault]["hits"]:
            await asyncio.sleep(0.01)
            told = await edge.faults()
    assert {name for name, state in told.items() if state["on"]} == {fault}
    # A name that one asks for twice, and what concerns only connections that stand, count otherwise.
    assert [name for name, state in told.items() if state["hits"]] == ([fault] if _struck(fault) else [])
    await edge.switch(fault, on=False)
    assert await reach(edge, trust) == ""
    assert (await edge.faults())[fault] == {"on": False, "hits": told[fault]["hits"]}


def _struck(fault: str) -> bool:
    return fault not in ("edge/relay/half-open", "edge/relay/idle-cut", "edge/proxy/drop-upgrade")


async def test_a_session_that_stands_breaks_with_its_console(edge: Edge, certificates: Certificates) -> None:
    port = urlsplit(edge.endpoint).port
    reader, writer = await asyncio.open_connection(
        await _resolved(edge), port, ssl=trusting(certificates.ca_pem), server_hostname=NAME
    )
    await edge.switch("edge/console/down", on=True)
    with pytest.raises(ConnectionResetError):
        async with asyncio.timeout(2):
            await reader.read(1)
    writer.transport.abort()
    with suppress(OSError):
        await writer.wait_closed()


async def test_what_it_does_not_have_is_told_with_what_it_has(edge: Edge) -> None:
    for name in ("edge/relay/upstream-down", "edge/tls/silent", "edge", "dhcp/leases-all-taken", ""):
        with pytest.raises(NotFound) as caught:
            await edge.switch(name, on=True)
        assert "edge/console/down" in caught.value.evidence[0]
    assert not any(state["on"] for state in (await edge.faults()).values())


async def test_an_address_instead_of_a_name(tmp_path: Path, upstream: Upstream, certificates: Certificates) -> None:
    edge = Edge(tmp_path / "edge", f"127.0.0.1:{upstream.port}", name="127.0.0.1")
    await edge.start()
    try:
        async with httpx.AsyncClient(verify=trusting(certificates.ca_pem), trust_env=False) as client:
            assert (await client.get(f"{edge.endpoint}/plain")).text == "plain\n"
    finally:
        await edge.stop()


async def test_it_leads_nowhere_but_to_this_machine(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        Edge(tmp_path, "192.0.2.1:443")
    assert caught.value.field_name == "edge-to"


async def test_nothing_is_left_open_when_an_address_is_taken(edge: Edge, tmp_path: Path, upstream: Upstream) -> None:
    taken = int(edge.name_server.rpartition(":")[2])
    other = Edge(tmp_path / "other", f"127.0.0.1:{upstream.port}", ports=Ports(name_server=taken))
    with pytest.raises(OSError, match="in use"):
        await other.start()
    assert await _resolved(edge) == "127.0.0.1"


async def test_nothing_that_it_says_names_a_fault_or_a_cause(edge: Edge, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    said = b""
    blind = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    blind.check_hostname = False
    blind.verify_mode = ssl.CERT_NONE
    endpoint = urlsplit(edge.endpoint)
    for fault in FAULTS:
        if fault.startswith("edge/relay/") or fault in ("edge/console/down", "edge/proxy/port-closed"):
            continue  # these say nothing
        await edge.switch(fault, on=True)
        with suppress(dns.exception.Timeout):
            said += await _raw_name(edge)
        reader, writer = await asyncio.open_connection("127.0.0.1", int(edge.proxy.rpartition(":")[2]))
        writer.write(f"CONNECT {endpoint.netloc} HTTP/1.1\r\nHost: {endpoint.netloc}\r\n\r\n".encode())
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                said += await reader.read(4096)
        writer.transport.abort()
        reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.port, ssl=blind, server_hostname=NAME)
        said += writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        if fault == "edge/tls/no-backend":
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            said += await reader.read(4096)
        writer.transport.abort()
        await edge.switch(fault, on=False)
    text = said.decode("latin-1").lower() + "\n".join(
        record.getMessage() for record in caplog.records if record.name != "asyncio"
    )
    assert "407 proxy authentication required" in text and "503 service unavailable" in text
    for word in {*CAUSES, *(fault.rpartition("/")[2] for fault in FAULTS if "-" in fault.rpartition("/")[2])}:
        assert word not in text


async def _raw_name(edge: Edge) -> bytes:
    host, _, port = edge.name_server.rpartition(":")
    answer = await dns.asyncquery.udp(dns.message.make_query(NAME, "A"), host, timeout=0.1, port=int(port))
    return answer.to_wire() + answer.to_text().encode()
