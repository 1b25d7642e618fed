"""Where an image comes from: what is refused, and what is never shown."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pcg.clouds.table import cloud_of
from pcg.clouds.vsphere import image_failures
from pcg.clouds.vsphere.cloud import VsphereCloud
from pcg.clouds.vsphere.downloads import source_of
from pcg.errors import PcgError, SetupMissing
from pcg.model.configuration import CloudKind, shown_url
from pcg.network.proxies import NO_PROXIES, parse_proxies


async def read(image: str) -> bytes:
    return b"".join([piece async for piece in source_of(image, NO_PROXIES).pieces()])


async def test_a_file_of_this_machine(tmp_path: Path) -> None:
    file = tmp_path / "an image.ova"
    file.write_bytes(b"x" * 1_000_000)
    source = source_of(file.as_uri(), NO_PROXIES)
    assert sum([len(piece) async for piece in source.pieces()]) == source.total == 1_000_000


async def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.ova")
    for image in ((tmp_path / "pipe.ova").as_uri(), tmp_path.as_uri(), "file://elsewhere/x.ova", "file:///dev/zero"):
        with pytest.raises(SetupMissing) as refused:
            await read(image)
        assert refused.value.reason == "image-source-unreachable"
        assert refused.value.fields["url"] == image


async def test_an_unknown_scheme_is_named() -> None:
    with pytest.raises(PcgError) as refused:
        source_of("ftp://images.example.com/x.ova", NO_PROXIES)
    assert "the scheme ftp is not known" in refused.value.evidence


def test_secrets_of_an_address_are_not_shown() -> None:
    assert shown_url("https://me:word@host:8443/a/x.ova?sig=abc#f") == "https://host:8443/a/x.ova"


def test_amounts_for_a_person() -> None:
    assert image_failures.amount(412 << 20, 1536 << 20) == "412 of 1,536 MiB"
    assert image_failures.amount(1_000, 2_000) == "1,000 of 2,000 bytes"
    assert image_failures.amount(5 << 20, None) == "5 MiB"


def test_the_gateways_proxies_reach_the_driver() -> None:
    proxies, _ = parse_proxies("http://proxy.example.com:3128", None, None)
    cloud = cloud_of(CloudKind.VSPHERE, proxies)
    assert isinstance(cloud, VsphereCloud)
    assert cloud._proxies is proxies
