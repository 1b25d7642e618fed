"""Pairing and a session through a real proxy; each fault at its hop, in words, and over as soon as the fault is."""

from __future__ import annotations

import asyncio

import pytest

from pcg.errors import Refused

from .conftest import CREDENTIALS, PASSWORD, Through, until

FAULTS = [
    ("password-wrong", "proxy", "does not accept the user and password", "HTTP 407"),
    ("other-authentication", "proxy", "only Basic is spoken", "it offers: Negotiate, NTLM"),
    ("refuse", "proxy", "forbids it", "HTTP 403"),
    ("name-unresolved", "proxy", "cannot resolve its name", "ERR_DNS_FAIL"),
    ("close-at-once", "proxy", "closed the connection without an answer", "through the proxy http://127.0.0.1:"),
    ("not-a-proxy", "proxy", "is not a proxy that allows CONNECT", "server: nginx"),
    ("intercept-tls", "tls", "a certificate of another CA", "issued by: CN=Edge Inspection CA"),
]


async def test_pairing_and_a_session(through: Through) -> None:
    await through.register()
    assert through.proxy.hits["connect"] >= 2
    through.gateway.start()
    try:
        await through.gateway.up()
        through.gateway.happen("seen through the proxy")
        path = through.gateway.registration.gateway_id
        async with asyncio.timeout(20):
            while await through.console.messages(path) != ["seen through the proxy"]:
                await asyncio.sleep(0.02)
        connections = through.console.relay.connections
        assert through.proxy.hits["connect"] == connections, "the gateway has another way out"
    finally:
        await through.gateway.kill()


@pytest.mark.parametrize(("fault", "hop", "words", "evidence"), FAULTS)
async def test_a_fault_while_pairing(through: Through, fault: str, hop: str, words: str, evidence: str) -> None:
    through.proxy.faults.add(fault)
    with pytest.raises(Refused) as caught:
        await through.register(give_up_after=0.05)
    told = "\n".join([caught.value.what, *caught.value.evidence])
    assert caught.value.reason == "gave-up"
    assert caught.value.fields["hop"] == hop, told
    assert words in told
    assert evidence in told
    assert caught.value.remedy
    assert through.proxy.hits[fault] > 0
    for secret in (CREDENTIALS, PASSWORD, "p%40ss"):
        assert secret not in told + through.all_texts()

    # The same again, but without a limit: it tries until the fault is gone.
    through.gateway.said.clear()
    trying = asyncio.create_task(through.register())
    await until(lambda: words in through.all_texts(), f"{words!r} told")
    assert not trying.done()
    through.proxy.faults.clear()
    async with asyncio.timeout(20):
        await trying


@pytest.mark.parametrize(("fault", "hop", "words", "evidence"), FAULTS)
async def test_a_fault_under_a_session(through: Through, fault: str, hop: str, words: str, evidence: str) -> None:
    await through.register()
    through.gateway.start()
    try:
        await through.gateway.up()
        through.proxy.faults.add(fault)
        through.again()
        await until(lambda: words in through.all_texts(), f"{words!r} told")
        assert evidence in through.all_texts()
        assert not through.gateway.session.connected
        assert PASSWORD not in through.all_texts()
        assert CREDENTIALS not in through.all_texts()

        through.proxy.faults.clear()
        await through.gateway.up()
    finally:
        await through.gateway.kill()


async def test_credentials_that_were_not_given(through: Through) -> None:
    through.url = f"http://{through.proxy.address}"
    with pytest.raises(Refused, match="asks for a user and a password") as caught:
        await through.register(give_up_after=0.05)
    assert "it offers: Basic" in caught.value.evidence


async def test_what_no_proxy_names_goes_directly(through: Through) -> None:
    await through.register(no_proxy="localhost,127.0.0.0/8")
    assert not through.proxy.hits
