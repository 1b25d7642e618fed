"""What preflight tries of the ways that nodes will need: real servers on loopback, a real proxy, a real console."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from doubles.time_server import time_server
from pcg.clouds.base import Check
from pcg.clouds.lab.edge.forward_proxy import ForwardProxy
from pcg.clouds.lab.edge.name_server import NameServer
from pcg.gateway.ways_ahead import Ahead, ways_ahead
from pcg.model.configuration import parse_configuration
from pcg.network.address_in_use import AddressAnswer, Presence

from .conftest import CREDENTIALS, PASSWORD, Console

DOCUMENT: dict[str, Any] = {
    "cloud": "simulated",
    "vcenter": {"address": "127.64.0.2", "username": "svc"},
    "placement": [{"datacenter": "d", "cluster": "c", "datastore": "s", "network": "n"}],
    "template": {"image": "node"},
}


def ahead(url: str = "https://127.0.0.1:1", ca: str = "", *, standing: bool = False, **changes: Any) -> Ahead:
    return Ahead(parse_configuration(DOCUMENT | changes)[0], url, ca, standing)


async def only(checks: list[Check]) -> Check:
    (check,) = checks
    assert check.ok is True or (check.problem is not None and check.what == check.problem.what)  # type: ignore[attr-defined]
    return check


async def test_without_anything_to_try_nothing_is_asked() -> None:
    assert await ways_ahead(ahead()) == []


@pytest.mark.parametrize(
    ("offset", "stratum", "ok", "told"),
    [
        (0, 2, True, "this machine's clock is"),
        (30, 2, True, "this machine's clock is"),
        (-3600, 2, False, "3600"),
        (0, 16, None, "gave no good time"),
    ],
)
async def test_a_time_server(offset: float, stratum: int, ok: bool | None, told: str) -> None:
    async with time_server(offset, stratum) as port:
        check = await only(await ways_ahead(ahead(network={"ntpServers": ["127.0.0.1"]}), ntp_port=port))
    assert (check.name, check.ok) == ("time server 127.0.0.1", ok)
    assert told in check.what
    if ok is False:
        assert check.problem is not None and check.problem.reason == "clock-wrong"  # type: ignore[attr-defined]


async def test_a_time_server_that_is_silent_cannot_be_told() -> None:
    loop = asyncio.get_running_loop()
    silent, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0))
    port = silent.get_extra_info("sockname")[1]
    wanted = ahead(network={"ntpServers": ["127.0.0.1"]})
    check = await only(await ways_ahead(wanted, ntp_port=port, seconds=0.3))
    silent.close()
    assert (check.ok, check.what) == (None, "The time server 127.0.0.1 did not answer this machine within 0.3 s.")


async def test_a_time_server_whose_name_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    async def unknown(*_: Any, **__: Any) -> Any:
        raise OSError("Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)
    check = await only(await ways_ahead(ahead(network={"ntpServers": ["time.example.com"]})))
    assert (check.ok, check.what) == (
        None,
        "The name of the time server time.example.com is not known on this machine.",
    )


@pytest.mark.parametrize(
    ("host", "fault", "ok", "told"),
    [
        ("127.0.0.1", "", True, "answers this machine"),
        ("console.example.com", "", True, "answers this machine"),
        ("other.example.com", "", None, "does not know the console's name other.example.com"),
        ("127.0.0.1", "refused", None, "gave this machine no answer"),
        ("console.example.com", "server-failure", None, "gave this machine no answer"),
    ],
)
async def test_a_name_server(host: str, fault: str, ok: bool | None, told: str) -> None:
    server = NameServer({"console.example.com": "127.0.0.9"})
    server.faults.update([fault] if fault else [])
    await server.start()
    wanted = ahead(f"https://{host}", network={"nameServers": ["127.0.0.1"]})
    try:
        check = await only(await ways_ahead(wanted, dns_port=int(server.address.rpartition(":")[2])))
    finally:
        await server.stop()
    assert (check.name, check.ok) == ("name server 127.0.0.1", ok)
    assert told in check.what


@pytest.mark.parametrize(
    ("presence", "standing", "ok"),
    [
        (Presence.FREE, False, [True]),
        (Presence.IN_USE, False, [False]),
        (Presence.CANNOT_TELL, False, [None]),
        (Presence.IN_USE, True, []),
    ],
)
async def test_the_control_plane_address(presence: Presence, standing: bool, ok: list[bool | None]) -> None:
    """A cluster that stands holds it itself."""

    async def ask(address: str) -> AddressAnswer:
        return AddressAnswer(presence, f"asked for {address}", "02:00:00:00:00:01")

    wanted = ahead(standing=standing, network={"controlPlaneAddress": "127.64.0.9"})
    checks = await ways_ahead(wanted, ask_who_has=ask)
    assert [check.ok for check in checks] == ok
    if ok == [False]:
        problem: Any = checks[0].problem
        assert (problem.reason, problem.fields["mac"]) == ("address-in-use", "02:00:00:00:00:01")


@pytest.mark.parametrize(
    ("fault", "ok", "told"),
    [
        ("", True, "opens the way to"),
        ("password-wrong", False, "does not accept its user and password"),
        ("refuse", None, "is not reached through"),
        ("not-a-proxy", None, "is not reached through"),
    ],
)
async def test_the_nodes_proxy(console: Console, proxy: ForwardProxy, fault: str, ok: bool | None, told: str) -> None:
    proxy.faults.update([fault] if fault else [])
    url = f"http://{CREDENTIALS}@{proxy.address}"
    check = await only(await ways_ahead(ahead(console.url, console.ca, proxy={"https": url})))
    assert (check.name, check.ok) == ("nodes' proxy", ok)
    assert told in check.what
    shown = f"{check} {check.problem!r} {getattr(check.problem, 'evidence', '')}"
    assert PASSWORD not in shown and CREDENTIALS not in shown


async def test_a_proxy_that_is_not_for_the_console_is_not_asked(console: Console, proxy: ForwardProxy) -> None:
    wanted = ahead(console.url, console.ca, proxy={"https": f"http://{proxy.address}", "no": ["127.0.0.1"]})
    check = await only(await ways_ahead(wanted))
    assert (check.ok, check.what) == (True, f"nodes reach {console.url} directly")
