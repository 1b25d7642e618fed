"""What the gateway trusts its console by: kept before it counts, told once, never lost to nonsense, brought to jets."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from pcg.clock import LoopClock, SystemClock
from pcg.console.authorities import Authority, make_next, open_authorities, pem_of, switch
from pcg.errors import InvalidInput, SetupMissing, Unreachable
from pcg.gateway import bootstrap, console_trust, jet
from pcg.gateway.console_trust import ConsoleTrust
from pcg.gateway.identity import Registration, StateDirectory
from pcg.gateway.installer import InstallSettings, check
from pcg.gateway.steps.jet_installed import jet_installed
from pcg.gateway.steps.outcome import Done, JetEndpoint
from pcg.gateway.store import GatewayStore
from pcg.model.desired import DesiredState
from pcg.model.records import GatewayStatus
from pcg.network.endpoint import parse_endpoint
from pcg.network.pins import spki_pin, spki_pins
from pcg.network.proxies import NO_PROXIES
from pcg.nodes.manifests import JET_CA, JET_NAME, JET_SECRET, jet_manifest, jet_manifest_template
from pcg.sealing import pairing_code
from pcg.wire.registration import JetAnswer
from unit.gateway.reconciler.making import TOKEN, situation


def _pem(authority: Authority) -> str:
    return pem_of(authority.certificate)


@pytest.fixture(scope="module")
def cas(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Three in a row, each followed by the next."""
    folder, now = tmp_path_factory.mktemp("cas"), datetime.now(UTC)
    found = [_pem(open_authorities(folder, now).present)]
    for _ in range(2):
        found.append(_pem(make_next(folder, now)))
        switch(folder, spki_pin(found[-1]))
    return found


class World:
    def __init__(self, folder: Path, ca: str) -> None:
        self.state = StateDirectory(folder)
        self.said: list[str] = []
        with self.state.locked():
            names = {"gateway_id": "g", "gateway_name": "n", "console_id": "c", "identity_key": "k", "pairing_key": "p"}
            self.state.register(Registration(**names, ca=ca, signing_key=self.state.keys().public_signing))
            self.store = GatewayStore(self.state.database)

    def trust(self) -> ConsoleTrust:
        """Of a process that starts now."""
        registration = self.state.registration()
        assert registration is not None
        return ConsoleTrust(self.state, registration, self.store, SystemClock(), self.said.append)

    def events(self) -> list[tuple[str, str]]:
        return [(report.event.reason, report.event.message) for report in self.store.pending()[1]]


@pytest.fixture
def world(tmp_path: Path, cas: list[str]) -> Iterator[World]:
    made = World(tmp_path / "state", cas[0])
    yield made
    made.store.close()


def _desired(ca: str | None, generation: int = 1) -> DesiredState:
    return DesiredState(generation=generation, incarnation=1, mode="idle", console_ca=ca)


def test_it_is_kept_on_disk_for_the_gateway_and_its_jet_and_told_once(world: World, cas: list[str]) -> None:
    trust, both = world.trust(), cas[0] + cas[1]
    assert not trust.want(_desired(None))
    assert trust.want(_desired(both))
    assert not trust.want(_desired(both))
    assert world.trust().registration.ca == both
    assert world.state.jet_ca.read_text() == both
    # The older of the two, after the console has changed: also by a process that began in between.
    again = world.trust()
    assert not again.want(_desired(both, generation=0))
    assert again.want(_desired(cas[1], generation=0))
    kept = world.trust().registration
    assert (kept.ca, list(kept.pins)) == (cas[1], spki_pins(both))
    told = again.confirmed(GatewayStatus(generation=0, incarnation=1))
    assert told.trusts == [spki_pin(cas[1])]
    reasons = [reason for reason, _ in world.events()]
    assert reasons == ["ConsoleCaChanged", "ConsoleCaChanged"]
    assert spki_pin(cas[1]) in world.events()[1][1]


@pytest.mark.parametrize(
    "nonsense",
    ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"],
    ids=["empty", "text", "damaged"],
)
def test_what_is_no_ca_changes_nothing(world: World, cas: list[str], nonsense: str) -> None:
    trust = world.trust()
    for generation in (1, 2):
        assert not trust.want(_desired(nonsense, generation))
    assert world.trust().registration.ca == cas[0]
    assert [reason for reason, _ in world.events()] == ["ConsoleCaUnreadable"]


def test_what_cannot_be_kept_is_not_confirmed(world: World, cas: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    trust = world.trust()

    def full(registration: Registration) -> None:
        raise SetupMissing("The gateway's state cannot be used.", evidence=["No space left on device"])

    with monkeypatch.context() as patched:
        patched.setattr(world.state, "register", full)
        assert not trust.want(_desired(cas[0] + cas[1]))
    assert trust.confirmed(GatewayStatus(generation=0, incarnation=1)).trusts == [spki_pin(cas[0])]
    assert "No space left" in world.said[-1]
    assert trust.want(_desired(cas[0] + cas[1]))


async def test_each_dial_trusts_what_is_known_by_then(
    world: World, cas: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    async def dial(url: str, context: Any, *, proxies: Any) -> Any:
        assert url == "wss://console.example/gateway/v1/session"
        # The names of our CAs are the same; their serial numbers are not.
        asked.append(sorted(entry["serialNumber"] for entry in context.get_ca_certs()))
        raise Unreachable("TLS failed.", "tls-other-ca", fields={"hop": "tls"})

    monkeypatch.setattr(console_trust, "open_websocket", dial)
    trust, (endpoint, _) = world.trust(), parse_endpoint("https://console.example")
    for ca in (None, cas[0] + cas[1], cas[1]):
        trust.want(_desired(ca))
        with pytest.raises(Unreachable) as caught:
            await trust.open_session(endpoint, NO_PROXIES)
        # None of them has ended, so it is somebody else's CA.
        assert caught.value.reason == "tls-other-ca"
    assert [len(found) for found in asked] == [1, 2, 1]
    assert set(asked[1]) == {*asked[0], *asked[2]}


@pytest.mark.parametrize("hop", ["tls", "connect"])
async def test_when_every_known_ca_has_ended_it_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hop: str
) -> None:
    now = datetime.now(UTC)
    (tmp_path / "old").mkdir()
    ended = World(tmp_path / "state", _pem(open_authorities(tmp_path / "old", now - timedelta(days=7310)).present))

    async def dial(url: str, context: Any, *, proxies: Any) -> Any:
        raise Unreachable("It failed.", "failed", fields={"hop": hop})

    monkeypatch.setattr(console_trust, "open_websocket", dial)
    with pytest.raises(Unreachable) as caught:
        await ended.trust().open_session(parse_endpoint("https://console.example")[0], NO_PROXIES)
    ended.store.close()
    assert caught.value.reason == ("console-ca-ended" if hop == "tls" else "failed")
    if hop == "tls":
        assert f"{now - timedelta(days=10):%Y-%m-%d}" in caught.value.what
        assert "Pair it anew" in caught.value.what


def test_every_pin_it_ever_had_means_the_same_console(world: World, cas: list[str]) -> None:
    trust = world.trust()
    trust.want(_desired(cas[0] + cas[1]))
    trust.want(_desired(cas[1]))

    def plan(pin: str) -> Any:
        return check(InstallSettings("https://console.example", world.state.path, pairing_code.generate(), pin))

    for ca in cas[:2]:
        bootstrap.check_same_console(plan(spki_pin(ca)), world.trust().registration)
    with pytest.raises(InvalidInput) as caught:
        bootstrap.check_same_console(plan(spki_pin(cas[2])), world.trust().registration)
    assert caught.value.reason == "other-console"


@pytest.mark.looptime
async def test_jet_goes_on_with_another_ca_without_ending(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("token")
    file = tmp_path / "ca.pem"
    trusted: list[str] = []
    posts: list[str] = []
    readiness: list[bool] = []

    def client(url: str, ca: str) -> httpx.AsyncClient:
        trusted.append(ca)

        def answer(request: httpx.Request) -> httpx.Response:
            posts.append(ca)
            return httpx.Response(200, json=JetAnswer(gateway_id="g", heartbeat_seconds=20).model_dump())

        return httpx.AsyncClient(base_url=url, transport=httpx.MockTransport(answer))

    environment = {"PCG_ENDPOINT": "https://console", "PCG_CA_PEM": "manifest", "PCG_CA_FILE": str(file)}
    environment["PCG_JET_TOKEN_FILE"] = str(tmp_path / "token")
    lines: list[str] = []
    running = asyncio.create_task(
        jet.run_jet(
            environment, clock=LoopClock(), http_client_factory=client, log=lines.append,
            on_ready=readiness.append, serve=False,
        )
    )  # fmt: skip
    await asyncio.sleep(50)
    assert trusted == ["manifest"]
    file.write_text("both")
    await asyncio.sleep(20)
    assert trusted == ["manifest", "both"]
    file.unlink()
    file.write_text("")
    await asyncio.sleep(40)
    # An empty file is one that is being written, or was damaged: what the manifest gave is better than nothing.
    assert trusted[2:] == ["manifest"]
    assert posts[:4] == ["manifest", "manifest", "manifest", "both"]
    assert readiness == [True]
    assert not running.done()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def _deployment(ca: str) -> Any:
    import yaml

    manifest = jet_manifest(jet_manifest_template("1"), "https://console.example", ca)
    return next(item for item in yaml.safe_load_all(manifest) if item["kind"] == "Deployment")


@pytest.mark.looptime
async def test_the_clusters_jet_is_given_a_ca_that_its_manifest_has_not(cas: list[str]) -> None:
    made = situation()
    made.situation.configuration = made.situation.configuration.model_copy(
        update={
            "network": made.situation.configuration.network.model_copy(update={"control_plane_address": "127.64.0.9"})
        }
    )

    async def deployment(namespace: str, name: str) -> Any:
        return _deployment(cas[0])

    made.cluster.deployment = deployment  # type: ignore[method-assign]
    for ca, more in ((cas[0], {}), (cas[0] + cas[1], {JET_CA: (cas[0] + cas[1]).encode()}), (cas[0], {})):
        made.situation.jet = JetEndpoint("https://console.example", ca)
        assert await jet_installed(made.situation) == Done()
        assert made.cluster.secrets[JET_SECRET] == {"token": TOKEN, **more}
    assert made.cluster.deleted_pods == []


def test_the_manifest_names_the_file_in_the_secret_that_is_mounted() -> None:
    (container,) = _deployment("pem")["spec"]["template"]["spec"]["containers"]
    environment = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert container["name"] == JET_NAME
    assert environment["PCG_CA_FILE"] == f"{container['volumeMounts'][0]['mountPath']}/{JET_CA}"
    assert Path(environment["PCG_CA_FILE"]).parent == Path(environment["PCG_JET_TOKEN_FILE"]).parent
