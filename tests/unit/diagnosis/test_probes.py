"""Each probe against real sockets of this machine, and each always answers within its time."""

from __future__ import annotations

import asyncio
import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest

from doubles.time_server import time_server
from pcg.clouds.lab.edge.name_server import NameServer
from pcg.diagnosis.engine import diagnose
from pcg.diagnosis.facts import Facts, InstallerFact
from pcg.diagnosis.live_verdict import live_verdict
from pcg.diagnosis.probes.answer import About, Outcome, ProbeAnswer, bounded
from pcg.diagnosis.probes.api_server import judge
from pcg.diagnosis.probes.disk import probe_disk
from pcg.diagnosis.probes.name import ask_names
from pcg.diagnosis.probes.route import probe_route
from pcg.diagnosis.probes.sntp import probe_sntp
from pcg.diagnosis.probes.tcp import probe_tcp
from pcg.diagnosis.probes.tls import probe_tls
from pcg.model.records import GatewayStatus
from pcg.network.dhcp_discover import bootp, datagram, discover_packet, read_offer
from pcg.network.trust import Trust

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ASKED = ProbeAnswer(About.CONSOLE, "tcp", "192.0.2.1:443")


async def test_a_deadline_is_an_answer() -> None:
    async def never(question: ProbeAnswer) -> ProbeAnswer:
        await asyncio.Event().wait()
        return question

    answer = await bounded(ASKED, never, 0.02, silence="connection-timed-out")
    assert (answer.answer, answer.kind) == (Outcome.FAILED, "connection-timed-out")
    assert "no answer within 0.02 s" in answer.detail


async def test_a_mistake_in_a_probe_is_an_answer() -> None:
    async def wrong(question: ProbeAnswer) -> ProbeAnswer:
        raise ValueError("oh")

    assert (await bounded(ASKED, wrong, 1)).answer is Outcome.UNKNOWN


async def test_tcp_accepted_and_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        assert (await probe_tcp(About.CONSOLE, "127.0.0.1", port)).answer is Outcome.PASSED
    assert (await probe_tcp(About.CONSOLE, "127.0.0.1", port)).kind == "connection-refused"


async def test_the_route_to_loopback() -> None:
    assert (await probe_route(About.CONSOLE, "127.0.0.1")).detail == "on this machine"


async def test_tls_with_a_server_that_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        answer = await probe_tls(About.VCENTER, "127.0.0.1", port, "127.0.0.1", Trust.system(), seconds=0.1)
    assert answer.kind == "tls-silent"


FAULTS = [
    ("silent", "name-server-silent"),
    ("refused", "name-server-refused"),
    ("server-failure", "name-server-failed"),
    ("name-unknown", "name-unknown"),
]


@pytest.mark.parametrize("fault,kind", FAULTS)
async def test_which_name_server_answered_what(fault: str, kind: str) -> None:
    good, bad = NameServer({"console.example.com": "127.0.0.9"}), NameServer({})
    bad.faults.add(fault)
    await good.start()
    await bad.start()
    servers = [("127.0.0.1", int(one.address.rpartition(":")[2])) for one in (bad, good)]
    try:
        answers, found = await ask_names(About.CONSOLE, "console.example.com", servers, seconds=0.4)
    finally:
        await good.stop()
        await bad.stop()
    assert [answer.kind for answer in answers] == [kind, ""]
    assert found == ["127.0.0.9"]


@pytest.mark.parametrize(
    "offset,stratum,kind", [(0, 2, ""), (100, 2, "clock-wrong"), (0, 0, "ntp-refused"), (0, 16, "ntp-not-synchronised")]
)
async def test_a_clock_by_sntp(offset: float, stratum: int, kind: str) -> None:
    async with time_server(offset, stratum) as port:
        answer = await probe_sntp("ntp.example.com", "127.0.0.1", port=port, seconds=1)
    assert answer.kind == kind, answer


def test_an_offer_is_read_and_another_client_s_is_not() -> None:
    own, transaction = b"\x02\0\0\0\0\x01", b"abcd"
    body = bootp(2, own, transaction, bytes([192, 0, 2, 7]), [(53, b"\x02"), (54, bytes([192, 0, 2, 1]))])
    packet = datagram(bytes([192, 0, 2, 1]), 67, b"\xff" * 4, 68, body)
    offer = read_offer(packet, transaction)
    assert offer is not None and (offer.address, offer.server) == ("192.0.2.7", "192.0.2.1")
    assert read_offer(packet, b"efgh") is None
    assert read_offer(discover_packet(own, transaction), transaction) is None
    assert all(read_offer(packet[:length], transaction) is None for length in range(260))


def test_readyz_by_its_failing_checks() -> None:
    answer = judge(ASKED, 500, "[+]ping ok\n[-]etcd failed: reason withheld\nreadyz check failed\n")
    assert answer.kind == "api-server-not-ready" and "etcd" in answer.detail and "ping" not in answer.detail
    assert judge(ASKED, 200, "ok").answer is Outcome.PASSED


async def test_a_disk_without_room(tmp_path: Path) -> None:
    assert (await probe_disk(tmp_path, least=1 << 60)).kind == "disk-full"
    assert (await probe_disk(tmp_path, least=0)).answer is Outcome.PASSED


def facts(*probes: ProbeAnswer, registered: bool = False, began: bool = True, properties: str = "") -> Facts:
    seen = InstallerFact(registered, began, "an endpoint was given", properties)
    return Facts(NOW, GatewayStatus(generation=0, incarnation=0), probes=probes, installer=seen)


def failing(about: About, probe: str, kind: str) -> ProbeAnswer:
    return ProbeAnswer(about, probe, "target").failing(kind, "told")


JUDGED = [
    (About.CONSOLE, "name", "name-unknown", "installer-not-registered/name-not-resolved"),
    (About.CONSOLE, "tcp", "connection-refused", "installer-not-registered/connection-refused"),
    (About.CONSOLE, "tcp", "connection-timed-out", "installer-not-registered/connection-timed-out"),
    (About.CONSOLE, "proxy", "proxy-authentication-required", "installer-not-registered/proxy-authentication-required"),
    (About.CONSOLE, "tls", "tls-intercepted", "installer-not-registered/tls-intercepted"),
    (About.CONSOLE, "websocket", "websocket-blocked", "installer-not-registered/websocket-blocked"),
    (About.VCENTER, "tcp", "connection-refused", "image-deploy-failed/vcenter-unreachable"),
    (About.IMAGE, "image", "http-404", "stuck-after-container-manager/image-source-unreachable"),
    (About.HOSTS, "tcp", "connection-refused", "stuck-after-container-manager/image-source-unreachable"),
    (About.TIME, "sntp", "ntp-no-answer", "provisioning-stalled/time-not-synchronised"),
    (About.ADDRESSES, "dhcp", "dhcp-no-answer", "address-not-assigned/dhcp-no-answer"),
    (About.ADDRESSES, "address", "address-in-use", "address-not-assigned/static-address-wrong"),
    (About.API_SERVER, "tcp", "connection-timed-out", "no-route-to-api-server/firewall-blocked"),
    (About.API_SERVER, "readyz", "api-server-not-ready", "no-route-to-api-server/api-server-down"),
    (About.DISK, "disk", "disk-full", "disk-full/node-disk-full"),
]


@pytest.mark.parametrize("about,probe,kind,expected", JUDGED)
def test_one_failed_hop_is_one_finding(about: About, probe: str, kind: str, expected: str) -> None:
    probes = [failing(about, probe, kind)]
    if probe == "dhcp":
        probes.append(failing(about, "adapter", "no-address"))
    (finding,) = diagnose(facts(*probes))
    assert f"{finding.scenario}/{finding.cause}" == expected


@pytest.mark.parametrize("registered", [True, False])
@pytest.mark.parametrize("probe", ["settings", "name", "route", "tcp", "proxy", "tls", "http", "websocket"])
def test_a_kind_that_nobody_has_foreseen_is_judged_by_its_hop(probe: str, registered: bool) -> None:
    (finding,) = diagnose(facts(failing(About.CONSOLE, probe, "something-new"), registered=registered))
    assert finding.cause in (
        *("name-not-resolved", "proxy-unreachable", "certificate-not-trusted"),
        *("websocket-blocked", "connection-refused"),
    )


def test_a_registered_gateway_is_disconnected() -> None:
    (finding,) = diagnose(facts(failing(About.CONSOLE, "http", "http-unavailable"), registered=True))
    assert finding.key == ("gateway-disconnected", "console-down")


def test_one_dead_name_server_for_all_is_one_finding() -> None:
    silent = [failing(about, "name", "name-server-silent") for about in (About.CONSOLE, About.VCENTER)]
    (finding,) = diagnose(facts(*silent))
    assert finding.scenario == "installer-not-registered"


@pytest.mark.parametrize(
    "properties,cause", [("no properties", "guest-properties-not-delivered"), ("", "registration-never-began")]
)
def test_a_machine_that_never_tried(properties: str, cause: str) -> None:
    (finding,) = diagnose(facts(began=False, properties=properties))
    assert finding.key == ("vm-not-in-console", cause)


def test_what_passes_is_clear() -> None:
    passed = ProbeAnswer(About.CONSOLE, "tcp", "target").passed("accepts connections")
    verdict = live_verdict(facts(passed, registered=True))
    answers = {checked.scenario: checked.answer for checked in verdict.checked}
    assert not verdict.findings and answers["gateway-disconnected"] == "clear"
