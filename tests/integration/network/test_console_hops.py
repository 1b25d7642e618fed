"""The way to a real console, hop by hop, as the live diagnosis asks it: through a proxy, past what opens TLS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from doubles.serving import serving
from pcg.clouds.lab.edge.forward_proxy import ForwardProxy
from pcg.clouds.lab.edge.tls_terminator import TlsTerminator
from pcg.clouds.lab.edge.upstream import Upstream
from pcg.diagnosis.probes.answer import Outcome, ProbeAnswer
from pcg.diagnosis.probes.console import ConsoleWay, probe_console
from pcg.network.endpoint import parse_endpoint
from pcg.network.proxies import Proxies

from .conftest import CREDENTIALS, PASSWORD, Console

EVERY_HOP = ["name", "route", "tcp", "clock", "tls", "http", "websocket"]


async def ask(way: ConsoleWay) -> list[ProbeAnswer]:
    answers: list[ProbeAnswer] = []
    async with asyncio.timeout(30):
        await probe_console(way, answers.append)
    assert PASSWORD not in str(answers)
    assert CREDENTIALS not in str(answers)
    return answers


def failed(answers: list[ProbeAnswer]) -> list[tuple[str, str]]:
    return [(answer.probe, answer.kind) for answer in answers if answer.failed]


@pytest.fixture
def way(console: Console) -> ConsoleWay:
    return ConsoleWay(parse_endpoint(console.url)[0], Proxies(), pin=console.pin)


@pytest.fixture
def proxied(way: ConsoleWay, proxy: ForwardProxy) -> ConsoleWay:
    return replace(way, proxies=Proxies(https=f"http://{CREDENTIALS}@{proxy.address}"))


@pytest.fixture
async def terminator(console: Console, tmp_path: Path) -> AsyncIterator[TlsTerminator]:
    folder = tmp_path / "terminator"
    folder.mkdir()
    upstream = Upstream("127.0.0.1", console.relay.target)
    made = TlsTerminator(folder, upstream, "127.0.0.1", ca=console.data / "ca.pem")
    await made.start()
    yield made
    await made.stop()


async def test_every_hop_passes(way: ConsoleWay) -> None:
    answers = await ask(way)
    assert [answer.probe for answer in answers] == EVERY_HOP
    assert {answer.answer for answer in answers} == {Outcome.PASSED}


async def test_every_hop_passes_through_a_proxy(proxied: ConsoleWay) -> None:
    answers = await ask(proxied)
    assert [answer.probe for answer in answers] == [*EVERY_HOP[:3], "proxy", *EVERY_HOP[3:]]
    assert {answer.answer for answer in answers} == {Outcome.PASSED}


@pytest.mark.parametrize(
    "fault,hop,kind",
    [
        ("password-wrong", "proxy", "proxy-authentication-required"),
        ("other-authentication", "proxy", "proxy-authentication-required"),
        ("refuse", "proxy", "proxy-refused"),
        ("name-unresolved", "proxy", "proxy-refused"),
        ("close-at-once", "proxy", "proxy-refused"),
        ("not-a-proxy", "proxy", "proxy-refused"),
        ("intercept-tls", "tls", "tls-intercepted"),
    ],
)
async def test_a_fault_of_the_proxy(proxied: ConsoleWay, proxy: ForwardProxy, fault: str, hop: str, kind: str) -> None:
    proxy.faults.add(fault)
    assert failed(await ask(proxied)) == [(hop, kind)]
    assert proxy.hits[fault] > 0


@pytest.mark.parametrize(
    "fault,hop,kind",
    [
        ("certificate-ended", "tls", "certificate-expired"),
        ("certificate-not-yet-valid", "tls", "certificate-not-valid-yet"),
        ("certificate-other-host", "tls", "certificate-of-another-host"),
        ("certificate-other-ca", "tls", "tls-intercepted"),
        ("drop-upgrade", "websocket", "websocket-blocked"),
    ],
)
async def test_what_opens_tls(way: ConsoleWay, terminator: TlsTerminator, fault: str, hop: str, kind: str) -> None:
    terminator.faults.add(fault)
    answers = await ask(replace(way, endpoint=parse_endpoint(f"https://{terminator.address}")[0]))
    assert failed(answers) == [(hop, kind)], answers
    assert terminator.hits[fault] > 0


async def test_credentials_that_only_the_installer_has(proxied: ConsoleWay, proxy: ForwardProxy) -> None:
    without = replace(proxied, proxies=Proxies(https=f"http://{proxy.address}"), proxy_credentials_withheld=True)
    answers = await ask(without)
    assert not failed(answers)
    assert (answers[-1].probe, answers[-1].answer) == ("proxy", Outcome.UNKNOWN)
    assert "user and password" in answers[-1].needs


async def test_nobody_can_be_proved_without_a_pin(way: ConsoleWay) -> None:
    answers = await ask(replace(way, pin=None))
    assert (answers[-1].probe, answers[-1].answer) == ("tls", Outcome.UNKNOWN)


async def test_another_console_than_the_pinned_one(way: ConsoleWay) -> None:
    assert failed(await ask(replace(way, pin=f"sha256:{'0' * 64}"))) == [("tls", "certificate-not-trusted")]


async def test_a_port_that_never_speaks(way: ConsoleWay) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with serving(silent) as port:
        answers = await ask(replace(way, endpoint=parse_endpoint(f"https://127.0.0.1:{port}")[0]))
    assert failed(answers) == [("tls", "tls-silent")]
