"""A name server with faults, asked by a plain client of DNS, and by an event loop that was told to ask it."""

from __future__ import annotations

import asyncio
import re
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import dns.asyncquery
import dns.exception
import dns.message
import dns.rcode
import httpx
import pytest
import websockets

from pcg.clouds.lab.edge.name_server import FAULTS, NameServer
from pcg.errors import Unreachable
from pcg.network.http import call, http_client
from pcg.network.name_servers import ResolvingLoop
from pcg.network.trust import Trust

NAME = "console.edge.test"
TRY, ALL = 0.2, 0.5
CODES = {"refused": "REFUSED", "server-failure": "SERVFAIL", "name-unknown": "NXDOMAIN"}


@pytest.fixture
async def server() -> AsyncIterator[NameServer]:
    made = NameServer({NAME: "127.0.0.1", "six.edge.test": "::1"}, ttl=1)
    await made.start()
    yield made
    await made.stop()


async def _asked(
    server: NameServer, name: str, kind: str = "A", *, tcp: bool = False
) -> tuple[str, list[str], dns.message.Message]:
    host, _, port = server.address.rpartition(":")
    ask = dns.asyncquery.tcp if tcp else dns.asyncquery.udp
    answer = await ask(dns.message.make_query(name, kind), host, timeout=1, port=int(port))
    return dns.rcode.to_text(answer.rcode()), [item.to_text() for entry in answer.answer for item in entry], answer


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
async def test_what_it_knows_and_what_not(server: NameServer, tcp: bool) -> None:
    for name, kind, code, addresses in (
        (NAME, "A", "NOERROR", ["127.0.0.1"]),
        (NAME.upper() + ".", "A", "NOERROR", ["127.0.0.1"]),
        (NAME, "AAAA", "NOERROR", []),
        (NAME, "TXT", "NOERROR", []),
        ("six.edge.test", "AAAA", "NOERROR", ["::1"]),
        ("six.edge.test", "A", "NOERROR", []),
        ("other.edge.test", "A", "NXDOMAIN", []),
        ("other.edge.test", "AAAA", "NXDOMAIN", []),
    ):
        found_code, found, answer = await _asked(server, name, kind, tcp=tcp)
        assert (found_code, found) == (code, addresses), (name, kind)
        assert all(entry.ttl == 1 for entry in answer.answer)
    assert server.hits == {"answered": 8}


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
@pytest.mark.parametrize("fault", list(FAULTS))
async def test_each_fault_is_seen_counted_and_goes_away(server: NameServer, fault: str, tcp: bool) -> None:
    server.faults.add(fault)
    if fault == "silent":
        with pytest.raises(dns.exception.Timeout):
            await _asked(server, NAME, tcp=tcp)
    else:
        code, addresses, _ = await _asked(server, NAME, tcp=tcp)
        assert code == CODES.get(fault, "NOERROR")
        assert addresses == (["127.255.255.254"] if fault == "wrong-address" else [])
        for address in addresses:
            with socket.socket() as client, pytest.raises(ConnectionRefusedError):
                client.connect((address, 443))
    assert server.hits == {fault: 1}
    server.faults.clear()
    assert (await _asked(server, NAME, tcp=tcp))[:2] == ("NOERROR", ["127.0.0.1"])
    assert server.hits == {fault: 1, "answered": 1}


async def test_strange_datagrams_are_answered_as_a_server_does_or_not_at_all(server: NameServer) -> None:
    query = dns.message.make_query(NAME, "A").to_wire()
    assert server.answer(query[:5]) is None
    damaged = server.answer(query[:-3])
    assert damaged is not None
    assert dns.message.from_wire(damaged).rcode() == dns.rcode.FORMERR
    assert damaged[:2] == query[:2]
    answered = server.answer(query)
    assert answered is not None
    assert server.answer(answered) is None, "an answer is no query: two servers would never stop"
    status = server.answer(query[:2] + b"\x10\x00" + query[4:])
    assert status is not None
    assert dns.message.from_wire(status).rcode() == dns.rcode.NOTIMP


# The loop that asks: in a thread of its own, the name servers in this one.


async def _in_loop(act: Callable[[], Coroutine[Any, Any, Any]], *servers: str) -> Any:
    addresses = [(server.rpartition(":")[0], int(server.rpartition(":")[2])) for server in servers]

    def run() -> Any:
        with asyncio.Runner(loop_factory=lambda: ResolvingLoop(addresses, try_seconds=TRY, all_seconds=ALL)) as runner:
            return runner.run(act())

    return await asyncio.to_thread(run)


async def _resolve(name: str | bytes | None, *servers: str, port: Any = 443, **more: int) -> list[Any]:
    async def act() -> list[Any]:
        wanted: dict[str, Any] = {"type": socket.SOCK_STREAM, **more}
        return await asyncio.get_running_loop().getaddrinfo(name, port, **wanted)

    return list(await _in_loop(act, *servers))


async def _fails(name: str, *servers: str, **more: int) -> tuple[int | None, str]:
    with pytest.raises(socket.gaierror) as caught:
        await _resolve(name, *servers, **more)
    return caught.value.errno, str(caught.value.strerror)


async def _unused() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


async def test_a_name_is_resolved_as_getaddrinfo_does(server: NameServer) -> None:
    tcp = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    assert await _resolve(NAME, server.address) == [(*tcp, "", ("127.0.0.1", 443))]
    assert await _resolve(NAME.encode(), server.address, port="https") == [(*tcp, "", ("127.0.0.1", 443))]
    assert [info[1] for info in await _resolve(NAME, server.address, type=0)] == [1, 2, 3]
    assert [info[4] for info in await _resolve(NAME, server.address, family=socket.AF_INET)] == [("127.0.0.1", 443)]
    assert [info[4][0] for info in await _resolve("six.edge.test", server.address)] == ["::1"]
    named = await _resolve(NAME + ".", server.address, flags=socket.AI_CANONNAME)
    assert (named[0][3], named[0][4]) == (NAME, ("127.0.0.1", 443))
    mapped = await _resolve(NAME, server.address, family=socket.AF_INET6, flags=socket.AI_V4MAPPED)
    assert [info[4][0] for info in mapped] == ["::ffff:127.0.0.1"]
    assert server.hits.keys() == {"answered"}


async def test_addresses_and_localhost_are_not_asked_for(server: NameServer) -> None:
    for name in ("127.0.0.1", "::1", "localhost", "LocalHost"):
        assert await _resolve(name, server.address), name
    assert await _resolve(None, server.address, flags=socket.AI_PASSIVE)
    with pytest.raises(socket.gaierror):
        await _resolve(NAME, server.address, flags=socket.AI_NUMERICHOST)
    assert not server.hits


async def test_who_answered_what_is_told(server: NameServer) -> None:
    where = f"name server {server.address}"
    assert await _fails("other.edge.test", server.address) == (
        socket.EAI_NONAME,
        f"{where} answered NXDOMAIN for other.edge.test",
    )
    for fault, number, text in (
        ("name-unknown", socket.EAI_NONAME, f"{where} answered NXDOMAIN for {NAME}"),
        ("server-failure", socket.EAI_AGAIN, f"{where} answered SERVFAIL for {NAME}"),
        ("refused", socket.EAI_AGAIN, f"{where} answered REFUSED for {NAME}"),
    ):
        server.faults = {fault}
        assert await _fails(NAME, server.address) == (number, text)
        assert server.hits[fault] >= 1
        server.faults.clear()
        assert await _resolve(NAME, server.address)

    server.faults = {"silent"}
    number, text = await _fails(NAME, server.address)
    assert number == socket.EAI_AGAIN
    # All of its time but what passed between two tries.
    assert re.fullmatch(rf"{where} did not answer within 0\.[45]\d? s", text)
    assert server.hits["silent"] >= 2 * 2, "A and AAAA, and each of them again"
    server.faults.clear()

    number, text = await _fails("six.edge.test", server.address, family=socket.AF_INET)
    assert (number, text) == (socket.EAI_NONAME, f"{where} knows six.edge.test, but no IPv4 address of it")
    number, text = await _fails("a..b", server.address)
    assert number == socket.EAI_NONAME
    assert "is no name" in text


async def test_a_closed_port_is_told_at_once(server: NameServer) -> None:
    closed = await _unused()
    began = time.monotonic()
    number, text = await _fails(NAME, closed)
    assert (number, time.monotonic() - began < TRY) == (socket.EAI_AGAIN, True)
    assert text.startswith(f"name server {closed} could not be asked: ")
    assert "refused" in text


async def test_another_server_is_asked_when_one_cannot_answer(server: NameServer) -> None:
    second = NameServer({NAME: "127.0.0.2"})
    await second.start()
    try:
        for fault in ("silent", "server-failure", "refused"):
            server.faults = {fault}
            found = await _resolve(NAME, server.address, second.address)
            assert [info[4][0] for info in found] == ["127.0.0.2"]
            assert server.hits[fault] >= 1
        # No such name is an answer: nobody else is asked.
        server.faults = {"name-unknown"}
        assert (await _fails(NAME, server.address, second.address))[0] == socket.EAI_NONAME

        server.faults, second.faults = {"server-failure"}, {"silent"}
        number, text = await _fails(NAME, server.address, second.address)
        assert number == socket.EAI_AGAIN
        assert text.startswith(f"name server {server.address} answered SERVFAIL for {NAME}; name server ")
        assert re.search(rf"{second.address} did not answer within 0\.[345]\d? s$", text)
    finally:
        await second.stop()


async def test_an_answer_is_kept_as_long_as_it_says_and_a_failure_is_not(server: NameServer) -> None:
    async def act() -> list[int]:
        loop = asyncio.get_running_loop()
        counts = []
        server.faults = {"server-failure"}
        with pytest.raises(socket.gaierror):
            await loop.getaddrinfo(NAME, 443)
        server.faults = set()
        for pause in (0.0, 0.0, 1.1):
            await asyncio.sleep(pause)
            await loop.getaddrinfo(NAME, 443, family=socket.AF_INET)
            counts.append(server.hits["answered"])
        return counts

    # The first of these asked once, the second nobody, the third again.
    before, kept, after = await _in_loop(act, server.address)
    assert (kept - before, after - before) == (0, 1)


async def test_the_libraries_of_the_gateway_resolve_through_it(server: NameServer) -> None:
    async def hello(connection: Any) -> None:
        await connection.send("hello")

    def plain(connection: Any, request: Any) -> Any:
        return connection.respond(200, "plain\n") if request.path == "/plain" else None

    async with websockets.serve(hello, "127.0.0.1", 0, process_request=plain) as running:
        port = running.sockets[0].getsockname()[1]

        async def act() -> tuple[str, str | bytes]:
            async with httpx.AsyncClient(trust_env=False) as client:
                text = (await client.get(f"http://{NAME}:{port}/plain")).text
            async with websockets.connect(f"ws://{NAME}:{port}/", proxy=None) as connection:
                return text, await connection.recv()

        assert await _in_loop(act, server.address) == ("plain\n", "hello")

    async def fails() -> Unreachable:
        async with http_client(Trust.system_and(None), base_url=f"https://{NAME}") as client:
            with pytest.raises(Unreachable) as caught:
                await call(client, "GET", "/")
        return caught.value

    server.faults = {"name-unknown"}
    error = await _in_loop(fails, server.address)
    assert error.fields["hop"] == "name"
    assert f"name server {server.address} answered NXDOMAIN for {NAME}" in error.evidence[1]
