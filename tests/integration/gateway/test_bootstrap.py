"""Registration over real TLS: pins, lost answers, final refusals, strangers that answer."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import PlainTextResponse, Response

from doubles.serving import serving
from pcg.clock import SystemClock
from pcg.errors import InvalidInput, Refused, Unreachable
from pcg.gateway import bootstrap
from pcg.gateway.backoff import Backoff
from pcg.gateway.bootstrap_steps import BootstrapSteps
from pcg.gateway.installer import InstallSettings, check
from pcg.network.endpoint import parse_endpoint
from pcg.network.http import call, fetch_ca, http_client
from pcg.network.trust import Trust
from pcg.sealing import pairing_code
from pcg.sealing.keys import GatewayKeys

CODE = pairing_code.generate()


async def register(console: Any, keys: GatewayKeys | None = None, said: list[str] | None = None, **changes: Any) -> Any:
    console.pairing_key = console.pairing_key or bootstrap.pairing_public_key(CODE)
    values = {"endpoint": console.url, "state": Path("/x"), "pairing_code": CODE, "ca_pin": console.authority.pin}
    plan = check(InstallSettings(**{**values, **changes}))
    clock, tries = SystemClock(), Backoff(first=0.01, most=0.02)
    steps = BootstrapSteps(clock, (said if said is not None else []).append)
    return await bootstrap.register(plan, keys or GatewayKeys.generate(), clock, steps, tries)


async def test_it_registers_and_the_code_never_crosses_the_wire(console: Any) -> None:
    keys = GatewayKeys.generate()
    made = await register(console, keys)
    assert (made.gateway_id, made.gateway_name, made.console_id) == ("g-1", "first", "c-1")
    assert made.identity_key == console.identity_key
    assert made.signing_key == keys.public_signing
    sent = b"".join(console.bodies).decode()
    assert CODE not in sent
    assert pairing_code.parse(CODE) not in sent


async def test_a_ca_file_serves_instead_of_a_pin(console: Any) -> None:
    made = await register(console, ca_pin=None, ca=console.authority.ca)
    assert made.gateway_id == "g-1"


async def test_lost_answers_and_passing_trouble_are_tried_again(console: Any, refusal: Any) -> None:
    keys, said = GatewayKeys.generate(), []
    console.answers = [
        refusal(500, "internal"),
        refusal(403, "nonce-expired"),
        PlainTextResponse("<html>hotel portal</html>"),
        refusal(503, "restarting", retry_after="0"),
        Response(status_code=302, headers={"location": "https://elsewhere/"}),
    ]
    assert (await register(console, keys, said)).gateway_id == "g-1"
    assert len(console.registered) == 6
    assert {body.signing_key for body in console.registered} == {keys.public_signing}
    assert sum("next try in" in line for line in said) == 5
    assert any("hotel portal" in line for line in said)


@pytest.mark.parametrize(
    "reason", ["pairing-code-unknown", "pairing-code-expired", "pairing-code-used", "bad-signature"]
)
async def test_a_final_no_ends_with_its_evidence(console: Any, refusal: Any, reason: str) -> None:
    console.answers = [refusal(403, reason)]
    with pytest.raises(Refused) as caught:
        await register(console)
    assert caught.value.reason == reason
    assert caught.value.evidence == ["used on 1 January by other-installer"]
    assert caught.value.remedy
    assert len(console.registered) == 1


async def test_another_ca_than_the_pinned_one_is_told_nothing(console: Any, tmp_path: Path) -> None:
    other, said = type(console.authority)(tmp_path, "Other CA"), []
    with pytest.raises(Refused, match="is not the one that was pinned") as caught:
        await register(console, said=said, ca_pin=other.pin, give_up_after=0.1)
    assert caught.value.reason == "gave-up"
    assert any(other.pin in item for item in caught.value.evidence)
    assert console.registered == []


async def test_a_bundle_smuggles_no_second_ca_in(console: Any, tmp_path: Path) -> None:
    # The interceptor answers with the pinned CA beside its own; its certificate must not be trusted for that.
    pinned = type(console.authority)(tmp_path, "Pinned CA")
    console.ca = console.authority.ca + pinned.ca
    with pytest.raises(Refused) as caught:
        await register(console, ca_pin=pinned.pin, give_up_after=0.1)
    assert caught.value.fields["hop"] == "tls"
    assert console.registered == []


async def test_giving_up_names_the_hop(unused_tcp_port: int, console: Any) -> None:
    with pytest.raises(Refused) as caught:
        await register(console, endpoint=f"https://127.0.0.1:{unused_tcp_port}", give_up_after=0.05)
    assert caught.value.fields["hop"] == "connect"
    assert caught.value.reason == "gave-up"


async def test_a_proxy_that_cannot_be_reached_is_named(unused_tcp_port: int, console: Any) -> None:
    with pytest.raises(Refused) as caught:
        await register(console, https_proxy=f"http://user:secret@127.0.0.1:{unused_tcp_port}", give_up_after=0.05)
    assert caught.value.fields["hop"] == "proxy"
    assert f"through the proxy http://127.0.0.1:{unused_tcp_port}" in caught.value.evidence
    assert "secret" not in str(caught.value.evidence)


async def test_without_a_code_nothing_is_tried(console: Any) -> None:
    with pytest.raises(InvalidInput):
        await register(console, pairing_code=None)


async def test_trust_in_one_leaf_alone(console: Any, tmp_path: Path) -> None:
    other = type(console.authority)(tmp_path, "Other CA")
    async with http_client(Trust.only_leaf(console.authority.leaf), base_url=console.url) as client:
        answer = await call(client, "GET", "/gateway/v1/identity")
        assert json.loads(answer.content)["console_id"] == "c-1"
    for trust in (Trust.only_leaf(other.leaf), Trust.only_ca(other.ca), Trust.system()):
        async with http_client(trust, base_url=console.url) as client:
            with pytest.raises(Unreachable) as caught:
                await call(client, "GET", "/gateway/v1/identity")
            assert caught.value.fields["hop"] == "tls"


async def test_plain_http_at_the_port_is_a_tls_failure() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with serving(answer) as port:
        endpoint, _ = parse_endpoint(f"https://127.0.0.1:{port}")
        with pytest.raises(Unreachable) as caught:
            await fetch_ca(endpoint)
    assert caught.value.fields["hop"] == "tls"


async def test_an_endless_answer_is_cut(console: Any) -> None:
    console.ca = "-----BEGIN CERTIFICATE-----" + "A" * 100_000
    endpoint, _ = parse_endpoint(console.url)
    with pytest.raises(Unreachable, match="cannot be reached") as caught:
        await fetch_ca(endpoint)
    assert caught.value.reason == "too-large"
