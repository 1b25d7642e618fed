"""What anybody on the network may try at the gateways' side of the console, on real sockets."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from pcg.network.trust import Trust
from pcg.sealing import signatures
from pcg.wire import frames

from .conftest import Console, Make, until


async def _dial(console: Console) -> ClientConnection:
    url = f"wss://127.0.0.1:{console.relay.port}/gateway/v1/session"
    return await connect(url, ssl=Trust.only_ca(console.ca).context(), ping_interval=None, proxy=None)


async def _refusal(connection: ClientConnection) -> Any:
    """What the console says before it closes."""
    async with asyncio.timeout(20):
        told = json.loads(await connection.recv())
        with pytest.raises(ConnectionClosed):
            await connection.recv()
    await connection.close()
    return told


@pytest.mark.parametrize("message", ["", "{", "null", '{"type":"welcome"}', b"\x00\xff", "[" * 100_000])
async def test_what_is_no_frame(console: Console, message: str | bytes):
    connection = await _dial(console)
    await connection.send(message)
    told = await _refusal(connection)
    assert (told["type"], told["reason"], told["final"]) == ("refusal", "protocol", False)


async def test_a_frame_that_is_too_large(console: Console):
    connection = await _dial(console)
    await connection.send("x" * (frames.MAXIMUM_FRAME_BYTES + 1))
    with pytest.raises(ConnectionClosed) as caught:
        await connection.recv()
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1009
    await connection.close()


async def test_a_proof_that_was_overheard_is_worth_nothing_later(console: Console, make: Make):
    gateway = await make()
    await gateway.up()
    hello = frames.Hello(versions=(1, 1), gateway_id=gateway.registration.gateway_id, nonce="again")
    first = await _dial(console)
    await first.send(frames.encode(hello))
    challenge = frames.decode(await first.recv())
    assert isinstance(challenge, frames.Challenge)
    parts = signatures.session_parts(1, hello.gateway_id, challenge.console_id, hello.nonce, challenge.nonce)
    signature = signatures.sign(gateway.keys.signing, signatures.SESSION_GATEWAY, *parts)
    proof = frames.encode(frames.Proof(signature=signature, term=1, writer="w"))
    second = await _dial(console)
    await second.send(frames.encode(hello))
    await second.recv()
    await second.send(proof)
    assert (await _refusal(second))["reason"] == "bad-proof"
    await first.close()
    assert gateway.session.connected


async def test_the_others_go_on_meanwhile(console: Console, make: Make):
    gateway = await make()
    await gateway.up()
    idle = [await _dial(console) for _ in range(20)]
    gateway.happen("all is well")
    await until(lambda: gateway.store.pending() == (0, []), "acknowledged")
    assert await console.messages(gateway.registration.gateway_id) == ["all is well"]
    for connection in idle:
        connection.transport.abort()
    for connection in idle:
        await connection.wait_closed()


async def test_plain_requests_are_answered_readably(console: Console):
    url = f"https://127.0.0.1:{console.relay.port}/gateway/v1"
    async with httpx.AsyncClient(verify=Trust.only_ca(console.ca).context()) as client:
        assert (await client.get(f"{url}/ca")).text == console.ca
        cases = [
            ("GET", "session", b"", 404, "path-unknown"),
            ("GET", "register", b"", 405, "method-not-allowed"),
            ("POST", "register", b"{", 400, "not-json"),
            ("POST", "register", b"{}", 422, "request-invalid"),
            ("POST", "register", b"x" * (2 << 20), 413, "body-too-large"),
            ("POST", "jet", b"{}", 401, "token-rejected"),
        ]
        for method, path, body, status, reason in cases:
            headers = {"content-type": "application/json"}
            answer = await client.request(method, f"{url}/{path}", content=body, headers=headers)
            assert (answer.status_code, answer.json()["reason"]) == (status, reason), path
            assert answer.headers["content-type"] == "application/problem+json"
        for token in ("x", "x" * 5000, "\u00e4\u00f6"):
            headers_of_jet = {"authorization": f"Bearer {token}".encode("latin-1")}
            answer = await client.post(f"{url}/jet", json={}, headers=headers_of_jet)
            assert (answer.status_code, answer.json()["reason"]) == (401, "token-rejected")
