"""Every way to fail before the first session, caused for real at a data center's edge, told in plain words on the
installer's screen, and over by itself when the cause goes away. SCENARIOS.md: installer-not-registered,
gateway-disconnected, vm-not-in-console.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from e2e.way_in import WayIn, free_port, way_in
from pcg.sealing import pairing_code

PROXY = ("edge user", "edge:secret")
PROXY_URL = "http://edge%20user:edge%3Asecret@"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def way(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[WayIn]:
    async with way_in(tmp_path_factory.mktemp("way"), proxy_user=PROXY[0], proxy_password=PROXY[1]) as made:
        yield made


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize(
    ("fault", "step", "words", "remedy"),
    [
        ("edge/name-server/name-unknown", "network", "name could not be resolved.*NXDOMAIN", "name server knows it"),
        ("edge/name-server/server-failure", "network", "name could not be resolved.*SERVFAIL", "name server knows it"),
        ("edge/name-server/silent", "network", "name could not be resolved.*did not answer within", "name server"),
        ("edge/name-server/wrong-address", "network", "the connection was refused", "firewall rejects it"),
        ("edge/relay/refuse", "network", "the connection was refused", "firewall rejects it"),
        ("edge/console/down", "network", "the connection was refused", "check that the console runs"),
        ("edge/relay/black-hole", "network", "nothing answered in time", "A firewall on the way may drop it"),
        ("edge/tls/certificate-ended", "console-reached", "its certificate has expired.*valid: ", "clock"),
        ("edge/tls/certificate-not-yet-valid", "console-reached", "its certificate is not valid yet", "clock"),
        ("edge/tls/certificate-other-host", "console-reached", "certificate is for another host", "name"),
        ("edge/tls/certificate-other-ca", "console-reached", "certificate of another CA.*issued by: ", "open TLS"),
    ],
    ids=lambda value: value if value.startswith("edge/") else "",
)
async def test_on_the_way_to_the_console(way: WayIn, fault: str, step: str, words: str, remedy: str) -> None:
    await way.edge.switch(fault, on=True)
    try:
        async with way.installer(await way.code()) as installer:
            await installer.says(f"^bootstrap: {step}: try 1 failed: .*{words}")
            await installer.says(f"^  remedy: .*{remedy}")
            assert (await way.edge.faults())[fault]["hits"] > 0
            await way.edge.switch(fault, on=False)
            await installer.says("^registered as g-")
            await installer.says("^session with the console is up")
    finally:
        await way.edge.switch(fault, on=False)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("edge/proxy/refuse", "the proxy .* forbids it.*HTTP 403"),
        ("edge/proxy/password-wrong", "does not accept the user and password"),
        ("edge/proxy/other-authentication", "wants Negotiate or NTLM"),
        ("edge/proxy/name-unresolved", "cannot resolve its name"),
        ("edge/proxy/close-at-once", "closed the connection without an answer"),
        ("edge/proxy/not-a-proxy", "is not a proxy that allows CONNECT"),
        ("edge/proxy/intercept-tls", "certificate of another CA.*issued by: "),
    ],
    ids=lambda value: value if value.startswith("edge/") else "",
)
async def test_on_the_way_through_a_proxy(way: WayIn, tmp_path: Path, fault: str, words: str) -> None:
    file = tmp_path / "proxy"
    file.write_text(PROXY_URL + way.edge.proxy.removeprefix("http://"))
    await way.edge.switch(fault, on=True)
    try:
        async with way.installer(await way.code(), "--https-proxy-file", str(file)) as installer:
            await installer.says(f"^bootstrap: [a-z-]+: try 1 failed: .*{words}")
            assert (await way.edge.faults())[fault]["hits"] > 0
            await way.edge.switch(fault, on=False)
            await installer.says("^registered as g-")
            await installer.says("^session with the console is up")
            assert "secret" not in installer.told
    finally:
        await way.edge.switch(fault, on=False)


async def test_a_proxy_that_wants_a_password_and_one_that_is_not_there(way: WayIn) -> None:
    async with way.installer(await way.code(), "--https-proxy", way.edge.proxy) as installer:
        await installer.says("asks for a user and a password")
    async with way.installer(await way.code(), "--https-proxy", f"http://127.0.0.1:{free_port()}") as installer:
        await installer.says("no connection to the proxy .* could be made")


async def test_websockets_that_are_blocked_lead_to_long_polling_and_back_at_the_next_start(way: WayIn) -> None:
    await way.edge.switch("edge/tls/drop-upgrade", on=True)
    try:
        async with way.installer(await way.code()) as installer:
            await installer.says("^no session with the console: .*the WebSocket failed")
            await installer.says("^session with the console is up", patience=60)
            assert (await way.edge.faults())["edge/tls/drop-upgrade"]["hits"] >= 3
            gateway = (await way.console.gateway(f"g-{way.made}"))["id"]
            async with asyncio.timeout(20):
                names: list[str] = []
                while "websocket-blocked" not in names:
                    shown = await way.console.call("GET", f"/gateways/{gateway}")
                    names = [item["name"] for item in shown["conditions"]]
            events = [event["reason"] for event in await way.console.items(f"/gateways/{gateway}/events", limit=100)]
            assert "WebSocketBlocked" in events
    finally:
        await way.edge.switch("edge/tls/drop-upgrade", on=False)


async def test_artifacts_that_cannot_be_fetched_name_file_host_and_answer(tmp_path: Path) -> None:
    async with way_in(tmp_path, mirrored=True) as way:
        ca = tmp_path / "edge-ca.pem"
        ca.write_text(way.edge.own_ca)
        for fault, words in (
            ("edge/artifacts/forbidden", "answer: HTTP 403"),
            ("edge/artifacts/missing", "answer: HTTP 404"),
            ("edge/artifacts/cut", "RemoteProtocolError|ended after"),
            ("edge/artifacts/wrong-bytes", "expected SHA-256"),
        ):
            await way.edge.switch(fault, on=True)
            async with way.installer(await way.code(), "--proxy-ca-file", str(ca)) as installer:
                line = await installer.says("^bootstrap: artifacts: try 1 failed: ")
                assert "The artifact jet-manifest.yaml could not be fetched from artifacts.edge.test" in line
                assert re.search(words, line), line
                await installer.says("^  remedy: Let this machine .or its proxy. fetch https://artifacts.edge.test")
                assert (await way.edge.faults())[fault]["hits"] > 0
                await installer.says("^session with the console is up")
                await way.edge.switch(fault, on=False)
                await installer.says("^bootstrap: manager: done")
        async with way.installer(await way.code()) as installer:
            line = await installer.says("^bootstrap: artifacts: try 1 failed: ")
            assert "TLS failed" in line or "certificate" in line


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("edge/console/down", "the connection was refused"),
        ("edge/relay/cut", "the connection broke off|TLS failed|the WebSocket failed|it did not answer"),
        ("edge/relay/refuse", "the connection was refused"),
        ("edge/tls/certificate-other-ca", "certificate of another CA"),
    ],
    ids=lambda value: value if value.startswith("edge/") else "",
)
async def test_a_session_that_stood_and_cannot_come_back(way: WayIn, fault: str, words: str) -> None:
    async with way.installer(await way.code()) as installer:
        await installer.says("^session with the console is up")
        before = len(installer.lines)
        await way.edge.switch(fault, on=True)
        try:
            await way.edge.switch("edge/relay/cut", on=True)
            if fault != "edge/relay/cut":
                await way.edge.switch("edge/relay/cut", on=False)
            await installer.says(f"^no session with the console: .*({words}).*next try in", after=before)
        finally:
            await way.edge.switch(fault, on=False)
        await installer.says("^session with the console is up", after=before)


@pytest.mark.parametrize("slash", ["/", "//"])
async def test_a_trailing_slash_is_normalised_with_a_notice(way: WayIn, slash: str) -> None:
    more = ["--endpoint", way.edge.endpoint + slash, "--ca-pin", way.stack.ca_pin]
    more += ["--name-servers", way.edge.name_server]
    async with way.installer(await way.code(), *more, plain=True) as installer:
        await installer.says("^note: a trailing slash was taken off the endpoint")
        await installer.says("^registered as g-")


@pytest.mark.parametrize(
    ("endpoint", "code", "words"),
    [
        ("https://https://console.edge.test", "", "its scheme was typed twice"),
        ("http://console.edge.test", "", "only https is spoken"),
        ("https://console.edge.test/path", "", "it has a path"),
        ("https://console.edge.test", "swapped", "The pairing code was mistyped"),
        ("", "", "The console's endpoint is missing"),
    ],
    ids=["scheme twice", "plain http", "path", "mistyped code", "no endpoint"],
)
async def test_wrong_input_ends_before_any_call(way: WayIn, endpoint: str, code: str, words: str) -> None:
    good = pairing_code.generate()
    typed = good[1] + good[0] + good[2:] if code == "swapped" and good[0] != good[1] else good
    if code == "swapped" and typed == good:
        typed = "0" + good[1:] if good[0] != "0" else "1" + good[1:]
    more = ["--ca-pin", way.stack.ca_pin, *(["--endpoint", endpoint] if endpoint else [])]
    async with way.installer(typed, *more, plain=True) as installer:
        assert await installer.ends() == 2
        assert words in installer.told
        assert "remedy" in installer.told
        assert "bootstrap:" not in installer.told


async def test_the_consoles_final_no_says_when_and_by_whom_and_what_to_do(way: WayIn) -> None:
    async with way.installer(pairing_code.generate()) as installer:
        assert await installer.ends() == 4
        assert "This console does not know this pairing code" in installer.told
    code = await way.code()
    async with way.installer(code, "--name", "the first one") as first:
        await first.says("^registered as g-")
        async with way.installer(code) as second:
            assert await second.ends() == 4
            assert "This pairing code was used already" in second.told
            assert "by installer: the first one" in second.told
    gateway = (await way.console.gateway(f"g-{way.made}"))["id"]
    old = str((await way.console.call("POST", f"/gateways/{gateway}/pairing-code"))["pairing_code"])
    await way.console.call("POST", f"/gateways/{gateway}/pairing-code")
    async with way.installer(old) as installer:
        assert await installer.ends() == 4
        assert "no longer good" in installer.told
        assert "replaced by a newer code" in installer.told


async def test_a_machine_without_its_properties_says_so(way: WayIn, tmp_path: Path) -> None:
    environment = tmp_path / "ovf-env.xml"
    environment.write_text(
        '<?xml version="1.0" encoding="UTF-8"?><Environment xmlns="http://schemas.dmtf.org/ovf/environment/1">'
        "<PlatformSection><Kind>VMware ESXi</Kind></PlatformSection></Environment>"
    )
    async with way.installer("", "--ovf-env", str(environment), plain=True) as installer:
        assert await installer.ends() == 2
        assert "has no properties" in installer.told
        assert "Deploy the appliance again" in installer.told


async def test_the_screen_and_the_page_show_the_same_fingerprint(way: WayIn) -> None:
    async with way.installer(await way.code()) as installer:
        line = await installer.says("^this gateway's fingerprint: ")
        await installer.says("^registered as g-")
        shown = (await way.console.gateway(f"g-{way.made}"))["fingerprint"]
        assert shown == line.removeprefix("this gateway's fingerprint: ")
