"""A flood of wrong pairing codes at the real application: it goes on serving, and a right code among them registers."""

from __future__ import annotations

import asyncio
import time

import httpx
import pytest
from nacl.signing import SigningKey

from doubles.gateway import registration
from pcg.console.collapsed_audit import MAXIMUM_KINDS
from pcg.console.nonces import LIFETIME_SECONDS
from pcg.sealing.keys import GatewayKeys
from pcg.wire.registration import ConsoleIdentity

from .conftest import BASE, Console

GUESSERS = 48
"""at the same time, more than may wait"""


async def _identity(client: httpx.AsyncClient) -> ConsoleIdentity:
    return ConsoleIdentity.model_validate((await client.get("/gateway/v1/identity")).json())


@pytest.mark.parametrize("tries", [1_000, pytest.param(10_000, marks=pytest.mark.soak)])
async def test_many_wrong_codes_and_a_right_one(console: Console, tries: int):
    made = (await console.client.post("/api/v1/gateways", json={"name": "one", "cloud": "simulated"})).json()
    # All of one company's address, the one with the right code too.
    here = httpx.ASGITransport(app=console.app, client=("192.0.2.7", 1))
    left, told, longest = tries, set(), 0.0
    async with httpx.AsyncClient(transport=here, base_url=BASE) as client:
        keys, identity, begun = GatewayKeys.generate(), await _identity(client), time.monotonic()

        async def guess() -> None:
            nonlocal left
            while left > 0:
                left -= 1
                await asyncio.sleep(0)  # as a socket would: an answer that waits for nothing must not hold the loop
                body = registration("", keys, identity, pairing=SigningKey.generate()).model_dump()
                answer = await client.post("/gateway/v1/register", json=body)
                told.add((answer.status_code, answer.json()["reason"], answer.headers.get("retry-after")))

        async with asyncio.TaskGroup() as group:
            for _ in range(GUESSERS):
                group.create_task(guess())
            while left > tries // 2:
                await asyncio.sleep(0.05)
            asked = time.monotonic()
            right = registration(made["pairing_code"], GatewayKeys.generate(), await _identity(client))
            answer = await client.post("/gateway/v1/register", json=right.model_dump())
            longest = time.monotonic() - asked
            assert left > 0, "the flood goes on"
    assert (answer.status_code, answer.json().get("gateway_id")) == (200, made["gateway"]["id"]), answer.text
    assert longest < 3
    assert time.monotonic() - begun < LIFETIME_SECONDS
    assert told == {(403, "pairing-code-unknown", None), (503, "too-many-attempts", "3")}

    await console.service.collapsed.write(everything=True)
    rows = (await console.client.get("/api/v1/audit", params={"limit": 1000})).json()["items"]
    refused = [row["details"] for row in rows if row["action"] == "registration-refused"]
    # Those who were told to come again, because too many were being looked up, are refused nothing.
    assert tries // 10 < sum(row["count"] for row in refused) <= tries
    assert len(refused) <= 2 + (time.monotonic() - begun) / 60
    assert len(console.service.collapsed._kept) < MAXIMUM_KINDS


@pytest.mark.parametrize("header", ["Bearer pcg_wrong", "bearer x"])
async def test_keys_that_nobody_has_are_in_the_audit(console: Console, header: str):
    for _ in range(20):
        assert (await console.anonymous(Authorization=header).get("/api/v1/gateways")).status_code == 401
    await console.service.collapsed.write(everything=True)
    rows = (await console.client.get("/api/v1/audit")).json()["items"]
    told = [row["details"] for row in rows if row["action"] == "key-refused"]
    assert {(row["address"], row["reason"]) for row in told} == {("127.0.0.9", "no-such-key")}
    assert sum(row["count"] for row in told) == 20
