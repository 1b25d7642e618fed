"""Transfers of the node image that break, stand still or bring something wrong: recovered from, or told and undone."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import Callable
from typing import Any

import pytest

from pcg.clouds.vsphere.downloads import source_of
from pcg.clouds.vsphere.simulator.launcher import RunningVcenter
from pcg.errors import GiveUp, PermissionMissing, TryAgain, Unreachable
from pcg.network.proxies import NO_PROXIES, parse_proxies

from .conftest import CLONER, SERVICE
from .image_server import DISK, ImageServer, image_server, small_ova
from .importing import failure, lying_there, outcome, wanted
from .test_driver import connect

pytestmark = [pytest.mark.vsphere, pytest.mark.usefixtures("quick_imports")]

Control = Callable[..., Any]


async def test_a_wrong_checksum_leaves_nothing(vcenter: RunningVcenter, control: Control, server: ImageServer) -> None:
    right = "0" * 64
    async with connect(vcenter, SERVICE) as connection:
        error = await failure(connection, wanted(vcenter, server.url, right))
    assert isinstance(error, GiveUp)
    assert error.reason == "image-checksum-wrong"
    assert f"expected: {right}" in error.evidence
    assert f"found:    {server.sha256}" in error.evidence
    assert lying_there(vcenter) == {}
    assert [one["ended"] for one in (await control("/imports"))["imports"]] == ["aborted"]


async def test_a_sum_of_the_manifest_is_verified_too(vcenter: RunningVcenter) -> None:
    async with image_server(small_ova(manifest_of=b"another disk")) as server, connect(vcenter, SERVICE) as connection:
        error = await failure(connection, wanted(vcenter, server.url, server.sha256))
    assert error.reason == "image-checksum-wrong"
    assert "disk1.vmdk" in error.what
    assert error.fields["found"] == hashlib.sha256(DISK).hexdigest()
    assert lying_there(vcenter) == {}


@pytest.mark.parametrize("fault", ["breakAfter", "leaseAfter", "abortAfter"])
async def test_interrupted_at_every_tenth_it_recovers_to_one_template(
    vcenter: RunningVcenter, control: Control, server: ImageServer, fault: str
) -> None:
    async with connect(vcenter, SERVICE) as connection:
        for tenth in range(1, 11):
            folder = f"images-{tenth}"
            configuration = wanted(vcenter, server.url, server.sha256, folder)
            await control("/imports", {fault: len(DISK) * tenth // 10})
            error = await failure(connection, configuration)
            assert isinstance(error, TryAgain)
            assert error.reason == "image-transfer-interrupted"
            assert error.fields["attempt"] == "1"
            assert "after " in error.what
            assert lying_there(vcenter, folder) == {}
            again = await connection.ensure_template(configuration)
            assert again.attempt == 2
            assert again.interrupted_at
            progress = await outcome(connection, configuration)
            assert progress.template is not None
            assert lying_there(vcenter, folder) == {configuration.template.name: True}


async def test_a_broken_download_goes_on_where_it_stood(
    vcenter: RunningVcenter, control: Control, server: ImageServer
) -> None:
    size = len(server.content)
    server.breaks = [size * tenth // 10 for tenth in range(1, 10)]
    async with connect(vcenter, SERVICE) as connection:
        progress = await outcome(connection, wanted(vcenter, server.url, server.sha256))
        assert progress.template is not None
    assert len(server.requests) == 10
    assert server.requests == sorted(set(server.requests))
    assert server.served < size * 1.1  # not one byte again, but for what was lost with a connection
    (told,) = (await control("/imports"))["imports"]
    assert told["uploaded"] == len(DISK)


async def test_an_image_that_changed_meanwhile_is_fetched_anew(vcenter: RunningVcenter, server: ImageServer) -> None:
    server.hold = 500_000
    server.breaks = [1_000_000]
    configuration = wanted(vcenter, server.url, None)
    async with connect(vcenter, SERVICE) as connection:
        await connection.ensure_template(configuration)
        await asyncio.wait_for(server.held.wait(), 10)
        server.tag = '"two"'
        server.go_on.set()
        error = await failure(connection, configuration)
        assert error.reason == "image-transfer-interrupted"
        assert int(error.fields["bytes"]) > 0
        assert lying_there(vcenter) == {}
        assert (await outcome(connection, configuration)).template is not None
    assert server.requests == [0, 0, 0]


async def test_a_lease_outlasts_its_limit_while_the_download_stands_still(
    vcenter: RunningVcenter, control: Control, server: ImageServer
) -> None:
    await control("/imports", {"leaseTimeout": 0.6})
    server.hold = 1_000_000
    async with connect(vcenter, SERVICE) as connection:
        configuration = wanted(vcenter, server.url, server.sha256)
        await connection.ensure_template(configuration)
        await asyncio.wait_for(server.held.wait(), 10)
        await asyncio.sleep(1.5)
        server.go_on.set()
        assert (await outcome(connection, configuration)).template is not None


async def test_a_closed_host_is_named_with_its_hop(
    vcenter: RunningVcenter, control: Control, server: ImageServer
) -> None:
    await control("/imports", {"host": "127.0.0.1:9"})
    async with connect(vcenter, SERVICE) as connection:
        error = await failure(connection, wanted(vcenter, server.url, server.sha256))
    assert error.reason == "upload-host-unreachable"
    assert (error.fields["hop"], error.fields["host"], error.fields["port"]) == ("connect", "127.0.0.1", "9")
    assert "url" not in error.fields
    assert lying_there(vcenter) == {}


async def test_a_host_that_answers_busy_is_tried_again(
    vcenter: RunningVcenter, control: Control, server: ImageServer
) -> None:
    await control("/imports", {"refuseAfter": 1_000_000})
    configuration = wanted(vcenter, server.url, server.sha256)
    async with connect(vcenter, SERVICE) as connection:
        error = await failure(connection, configuration)
        assert error.reason == "image-transfer-interrupted"
        assert lying_there(vcenter) == {}
        assert (await outcome(connection, configuration)).template is not None


async def test_a_source_that_is_not_there_is_named(vcenter: RunningVcenter, server: ImageServer) -> None:
    server.status = 404
    async with connect(vcenter, SERVICE) as connection:
        error = await failure(connection, wanted(vcenter, server.url + "?token=secret", server.sha256))
        assert error.reason == "image-source-unreachable"
        assert error.fields["url"] == server.url
        assert "answer: HTTP 404" in error.evidence
        assert "secret" not in repr((error.what, error.evidence, error.remedy, error.fields))
        error = await failure(connection, wanted(vcenter, "file:///nowhere/node.ova", None))
        assert error.reason == "image-source-unreachable"


async def test_what_is_no_ova_is_refused_before_anything_is_made(vcenter: RunningVcenter) -> None:
    async with image_server(b"<html>log in first</html>" * 100) as server, connect(vcenter, SERVICE) as connection:
        error = await failure(connection, wanted(vcenter, server.url, None))
    assert error.reason == "image-malformed"
    assert lying_there(vcenter) == {}


async def test_a_missing_privilege_is_named_with_its_object(vcenter: RunningVcenter, server: ImageServer) -> None:
    async with connect(vcenter, CLONER) as connection:
        error = await failure(connection, wanted(vcenter, server.url, server.sha256))
    assert isinstance(error, PermissionMissing)
    assert error.fields["privilege"] == "VApp.Import"
    assert error.fields["object"] == "/dc-1/host/c-1/Resources"


async def test_a_host_is_trusted_by_the_thumbprint_that_vcenter_tells(
    vcenter: RunningVcenter, control: Control, server: ImageServer
) -> None:
    port = vcenter.address.rpartition(":")[2]
    right = hashlib.sha1(ssl.PEM_cert_to_DER_cert(vcenter.certificate.read_text())).hexdigest().upper()
    wrong = "0" * 40
    configuration = wanted(vcenter, server.url, server.sha256)
    async with connect(vcenter, SERVICE) as connection:
        await control("/imports", {"host": f"localhost:{port}", "thumbprint": wrong})
        error = await failure(connection, configuration)
        assert error.reason == "upload-host-unreachable"
        assert (error.fields["hop"], error.fields["host"]) == ("tls", "localhost")
        assert [one["uploaded"] for one in (await control("/imports"))["imports"]] == [0]
        told = ":".join(right[at : at + 2] for at in range(0, 40, 2))
        await control("/imports", {"host": f"localhost:{port}", "thumbprint": told})
        assert (await outcome(connection, configuration)).template is not None


async def test_an_image_is_fetched_through_the_proxy_and_resumed_there(server: ImageServer) -> None:
    proxies, _ = parse_proxies(server.url.removesuffix("/node-1.30.ova"), None, None)
    server.breaks = [500_000]
    source = source_of("http://images.example.com/node-1.30.ova", proxies)
    content = b"".join([piece async for piece in source.pieces()])
    assert content == server.content
    assert server.asked == ["GET http://images.example.com/node-1.30.ova HTTP/1.1"] * 2


async def test_a_redirect_is_followed_and_a_loop_is_not(server: ImageServer) -> None:
    server.redirect = "/elsewhere/node.ova"
    content = b"".join([piece async for piece in source_of(server.url, NO_PROXIES).pieces()])
    assert content == server.content
    assert server.asked[-1] == "GET /elsewhere/node.ova HTTP/1.1"
    server.redirect = "file:///etc/passwd"
    with pytest.raises(Unreachable, match="cannot be fetched"):
        _ = [piece async for piece in source_of(server.url, NO_PROXIES).pieces()]


async def test_a_server_that_ignores_ranges_ends_the_attempt(server: ImageServer) -> None:
    server.ranges, server.breaks = False, [500_000]
    with pytest.raises(TryAgain) as interrupted:
        _ = [piece async for piece in source_of(server.url, NO_PROXIES).pieces()]
    assert interrupted.value.reason == "image-transfer-interrupted"
    assert 0 < int(interrupted.value.fields["bytes"]) <= 500_000
