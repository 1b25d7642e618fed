"""Connections in masses and connections that say nothing: who has not proven itself gets a bounded share, and a good
gateway gets in meanwhile. On real sockets; loopback has as many addresses as there are attackers."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from integration.attack.speaker import Speaker, speaking
from integration.gateway_console.conftest import Console, Gateway, Make, until
from pcg.console import session
from pcg.console.hub import MAXIMUM_UNPROVEN_OF_ONE
from pcg.network.trust import Trust
from pcg.wire import frames

ATTACKER = "127.0.0.2"
THOUSAND = 1000


@pytest.fixture(autouse=True)
def enough_files() -> None:
    """Both ends of a thousand connections are in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 4 * THOUSAND:
        if hard != resource.RLIM_INFINITY and hard < 4 * THOUSAND:
            pytest.skip("this machine allows too few open files")
        resource.setrlimit(resource.RLIMIT_NOFILE, (4 * THOUSAND, hard))


@asynccontextmanager
async def silent(console: Console, count: int) -> AsyncIterator[list[Speaker]]:
    """WebSockets from the attacker's address that say nothing."""
    gateway = None
    async with AsyncExitStack() as stack:
        made = []
        for _ in range(count):
            entered = speaking(console, gateway, from_address=ATTACKER)  # type: ignore[arg-type]
            made.append(await stack.enter_async_context(entered))
        yield made


async def _is_busy(speaker: Speaker) -> bool:
    """Whether it was turned away at once."""
    try:
        async with asyncio.timeout(3):
            frame = frames.decode(await speaker.connection.recv())
    except TimeoutError:
        return False
    assert isinstance(frame, frames.Refusal)
    assert (frame.reason, frame.final) == ("busy", False)
    with pytest.raises(ConnectionClosed):
        await speaker.connection.recv()
    return True


async def _let_in(console: Console, gateway: Gateway) -> None:
    """The attacker's address is answered again."""
    async with asyncio.timeout(20):
        while True:
            async with speaking(console, gateway, from_address=ATTACKER) as speaker:
                try:
                    if isinstance(await speaker.hello(), frames.Challenge):
                        return
                except ConnectionClosed:
                    continue  # turned away still


async def test_silent_connections_of_one_address_take_a_bounded_share(
    console: Console, make: Make, monkeypatch: pytest.MonkeyPatch
):
    # A slow machine may take longer for so many connections than the first ones are given.
    monkeypatch.setattr(session, "HANDSHAKE_SECONDS", 300)
    standing = await make("standing")
    await standing.up()
    async with silent(console, 3 * MAXIMUM_UNPROVEN_OF_ONE) as attackers:
        turned_away = await asyncio.gather(*map(_is_busy, attackers))
        assert turned_away.count(False) == MAXIMUM_UNPROVEN_OF_ONE
        # From another address one registers and gets a session; who had one keeps it.
        good = await make("good")
        await good.up()
        for gateway in (good, standing):
            gateway.happen("in spite of it")
            await until(lambda gateway=gateway: not gateway.store.pending()[1], "an acknowledgement")
            assert [line for line in gateway.said if "no session" in line] == []
        # From the attacker's own address nobody gets in, until it lets go.
        async with speaking(console, good, from_address=ATTACKER) as neighbour:
            assert await _is_busy(neighbour)
    await _let_in(console, good)


async def test_a_handshake_that_creeps_ends(console: Console, make: Make, monkeypatch: pytest.MonkeyPatch):
    """The limit is for hello and proof together: who says a little from time to time gains nothing."""
    monkeypatch.setattr(session, "HANDSHAKE_SECONDS", 0.5)
    gateway = await make()
    await gateway.kill()
    async with speaking(console, gateway) as creeping, speaking(console, gateway) as halfway:
        begun = asyncio.get_running_loop().time()
        assert isinstance(await halfway.hello(), frames.Challenge)

        async def letters() -> AsyncIterator[str]:
            for _ in range(100):
                yield " "
                await asyncio.sleep(0.05)

        feeding = asyncio.create_task(creeping.connection.send(letters()))
        for speaker in (creeping, halfway):
            refusal = await speaker.refused()
            assert refusal.reason == "protocol"
            assert "took longer" in refusal.message
        assert asyncio.get_running_loop().time() - begun < 4
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)


@pytest.mark.parametrize(
    "says", [b"", b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/1.1\r\n"], ids=["nothing", "TLS", "HTTP"]
)
async def test_a_thousand_connections_and_a_good_gateway(console: Console, make: Make, says: bytes):
    """Of TCP, which cost the console the least and the attacker too; some begin TLS and never go on."""
    standing = await make("standing")
    await standing.up()
    writers = []
    try:
        for _ in range(THOUSAND):
            _, writer = await asyncio.open_connection(
                "127.0.0.1", console.relay.target, local_addr=(ATTACKER, 0)
            )  # fmt: skip
            writer.write(says)
            writers.append(writer)
        good = await make("good")
        await good.up()
        good.happen("among a thousand")
        await until(lambda: not good.store.pending()[1], "an acknowledgement")
        assert (await console.client.get("/gateways")).status_code == 200
        assert [line for line in standing.said if "no session" in line] == []
    finally:
        for writer in writers:
            writer.transport.abort()


async def test_a_thousand_upgrades_one_after_the_other(console: Console, make: Make):
    """Coming and going leaves nothing behind."""
    gateway = await make()
    await gateway.up()
    url = f"wss://127.0.0.1:{console.relay.target}/gateway/v1/session"
    context = Trust.only_ca(console.ca).context()

    async def come_and_go(count: int) -> None:
        for _ in range(count):
            connection = await connect(url, ssl=context, proxy=None, compression=None, local_addr=(ATTACKER, 0))
            connection.transport.abort()
            await connection.wait_closed()

    await asyncio.gather(*(come_and_go(50) for _ in range(8)))
    await _let_in(console, gateway)
    gateway.happen("after all of them")
    await until(lambda: not gateway.store.pending()[1], "an acknowledgement")


async def test_polled_sessions_count_as_connections_do(console: Console, make: Make, monkeypatch: pytest.MonkeyPatch):
    """Long polling is not a way around: the hub counts the same address together."""
    monkeypatch.setattr(session, "HANDSHAKE_SECONDS", 300)
    transport = httpx.AsyncHTTPTransport(verify=Trust.only_ca(console.ca).context(), local_address=ATTACKER)
    url = f"https://127.0.0.1:{console.relay.target}/gateway/v1/poll"
    async with httpx.AsyncClient(transport=transport) as client:
        said = []
        for _ in range(MAXIMUM_UNPROVEN_OF_ONE + 8):
            token = (await client.post(url)).json()["session"]
            headers = {"authorization": f"Bearer {token}"}
            said.append((await client.get(f"{url}/frames?wait=0.05", headers=headers)).status_code)
    assert said.count(204) == MAXIMUM_UNPROVEN_OF_ONE
    assert said.count(200) == 8
    good = await make()
    await good.up()
