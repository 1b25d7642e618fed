"""Pieces of the loopback for data centers side by side, and how they are served: true sockets, no simulated time."""

from __future__ import annotations

import socket
import ssl
import stat
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from pcg.clouds.lab import addresses
from pcg.clouds.lab.addresses import AddressBlock, claim_block
from pcg.clouds.lab.serving import server_certificate, serving, split_listen
from pcg.errors import InvalidInput, SetupMissing


async def _hello(request: Request) -> PlainTextResponse:
    return PlainTextResponse("hello")


APPLICATION = Starlette(routes=[Route("/", _hello)])


def folder(parent: Path, name: str) -> Path:
    made = parent / name
    made.mkdir()
    return made


def test_two_data_centers_side_by_side_have_different_addresses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    thrown = iter([64, 7, 64, 7, 65, 7])
    monkeypatch.setattr(addresses.random, "randrange", lambda *bounds: next(thrown))
    first, second = claim_block(folder(tmp_path, "a")), claim_block(folder(tmp_path, "b"))
    assert (first.block.network, second.block.network) == ("127.64.7", "127.65.7")
    first.close()
    second.close()


def test_a_data_center_has_its_addresses_again_after_a_restart(tmp_path: Path) -> None:
    first = claim_block(tmp_path)
    first.close()
    second = claim_block(tmp_path)
    assert second.block == first.block
    second.close()


def test_a_kill_while_the_addresses_are_written_down_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def torn(file: Path, text: str) -> None:
        file.write_bytes(text.encode()[:5])
        raise KeyboardInterrupt

    with (
        socket.socket() as held,
        monkeypatch.context() as patch,
        pytest.raises(KeyboardInterrupt),
    ):
        patch.setattr(addresses, "_hold", lambda block: held)
        patch.setattr(Path, "write_text", torn)
        claim_block(tmp_path)
    claim_block(tmp_path).close()


def test_addresses_that_are_in_use_are_not_taken(tmp_path: Path) -> None:
    first = claim_block(tmp_path)
    with pytest.raises(SetupMissing) as caught:
        claim_block(tmp_path)
    assert caught.value.reason == "addresses-in-use"
    assert first.block.network in caught.value.what
    first.close()


def test_when_no_piece_is_free_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "_hold", lambda block: None)
    with pytest.raises(SetupMissing) as caught:
        claim_block(tmp_path)
    assert caught.value.reason == "addresses-in-use"
    assert not (tmp_path / "addresses.json").exists()


def test_a_machine_without_these_loopback_addresses_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses.random, "randrange", lambda *bounds: 300)
    monkeypatch.setattr(AddressBlock, "gateway", "192.0.2.1")
    with pytest.raises(SetupMissing) as caught:
        claim_block(tmp_path)
    assert caught.value.reason == "loopback-missing"
    assert isinstance(caught.value.__cause__, OSError)


def test_nobody_is_given_an_address_that_has_a_purpose() -> None:
    block = AddressBlock("127.64.7")
    leased = block.scope.addresses()
    assert not {block.gateway, block.image_host, block.control_plane_address} & set(leased)
    assert len(leased) == 190


@pytest.mark.parametrize(
    "listen,expected",
    [("127.0.0.1:0", ("127.0.0.1", 0)), ("localhost:8443", ("localhost", 8443)), ("[::1]:443", ("::1", 443))],
)
def test_a_listen_address_is_host_and_port(listen: str, expected: tuple[str, int]) -> None:
    assert split_listen(listen) == expected


@pytest.mark.parametrize(
    "listen", ["", "localhost", ":80", "localhost:", "localhost:http", "localhost:65536", "a:-1", "a:²"]
)
def test_anything_else_is_refused_with_the_field(listen: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        split_listen(listen)
    assert caught.value.field_name == "listen"


async def test_an_application_is_served_until_the_block_ends() -> None:
    async with serving(APPLICATION, "127.0.0.1", 0) as url, httpx.AsyncClient(trust_env=False) as client:
        assert url.startswith("http://127.0.0.1:")
        assert (await client.get(url)).text == "hello"
    async with httpx.AsyncClient(trust_env=False) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(url)


async def test_a_port_in_use_is_told_and_nothing_is_served() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SetupMissing) as caught:
            async with serving(APPLICATION, "127.0.0.1", port):
                raise AssertionError("it cannot be served")
        assert caught.value.reason == "listen-address"
        assert f"127.0.0.1:{port}" in caught.value.what


async def test_it_is_served_with_the_certificate_of_its_folder(tmp_path: Path) -> None:
    certificate = server_certificate(tmp_path, "127.0.0.1")
    context = ssl.create_default_context(cafile=certificate.file)
    async with (
        serving(APPLICATION, "127.0.0.1", 0, certificate) as url,
        httpx.AsyncClient(verify=context, trust_env=False) as client,
    ):
        assert url.startswith("https://")
        assert (await client.get(url)).text == "hello"


def test_the_certificate_is_the_same_after_a_restart_and_its_key_is_ours_alone(tmp_path: Path) -> None:
    first = server_certificate(tmp_path, "localhost")
    assert server_certificate(tmp_path, "localhost") == first
    assert stat.S_IMODE(first.file.stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["server.pem"]
    assert len(first.thumbprint) == 95


def test_two_data_centers_have_different_certificates(tmp_path: Path) -> None:
    first, second = (server_certificate(folder(tmp_path, name), "localhost") for name in "ab")
    assert first.thumbprint != second.thumbprint
