"""The reader of OVA streams against archives that somebody made on purpose."""

from __future__ import annotations

import hashlib
import io
import tarfile
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pcg.clouds.vsphere import ova, ovf
from pcg.clouds.vsphere.ova import MalformedOva, OvaReader, Sums, parse_manifest

DESCRIPTOR = b"""<?xml version="1.0"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1">
 <References><File ovf:href="a.vmdk" ovf:id="f1"/><File ovf:href="b.vmdk" ovf:id="f2"/></References>
 <NetworkSection><Info>n</Info><Network ovf:name="VM Network"/></NetworkSection>
</Envelope>"""


def tar_of(*members: tuple[str, bytes], form: int = tarfile.USTAR_FORMAT, **changes: Any) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=form) as archive:
        for name, content in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            for key, value in changes.items():
                setattr(entry, key, value)
            archive.addfile(entry, io.BytesIO(content))
    return made.getvalue()


async def pieces_of(content: bytes, size: int = 1000) -> AsyncIterator[bytes]:
    for at in range(0, len(content), size):
        yield content[at : at + size]


def reader(content: bytes, size: int = 1000) -> OvaReader:
    return OvaReader(pieces_of(content, size))


async def whole(content: bytes, size: int = 1000) -> list[tuple[str, bytes]]:
    read, found = reader(content, size), []
    while (member := await read.next()) is not None:
        found.append((member.name, await read.read(10**9)))
    await read.finish()
    assert read.sha256 == hashlib.sha256(content).hexdigest()
    assert read.position == len(content)
    return found


@settings(max_examples=30, deadline=None)
@given(st.lists(st.binary(max_size=2000), max_size=5), st.integers(1, 3000))
async def test_every_byte_comes_out_whatever_the_pieces(contents: list[bytes], size: int) -> None:
    members = [(f"file-{number}", content) for number, content in enumerate(contents)]
    assert await whole(tar_of(*members), size) == members


async def test_a_large_disk_takes_no_more_memory_than_a_piece() -> None:
    entry = tarfile.TarInfo("a.vmdk")
    entry.size = 256 << 20

    async def stream() -> AsyncIterator[bytes]:
        yield entry.tobuf(tarfile.USTAR_FORMAT)
        for _ in range(256):
            yield b"x" * (1 << 20)
        yield b"\0" * 1024

    read = OvaReader(stream())
    tracemalloc.start()
    try:
        assert await read.next() is not None
        assert sum([len(piece) async for piece in read.content()]) == entry.size
        assert await read.next() is None
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


async def test_what_is_not_read_is_passed_over() -> None:
    read = reader(tar_of(("a", b"1" * 700), ("b", b"2" * 3000), ("c", b"3")))
    assert [member.name async for member in names(read)] == ["a", "b", "c"]


async def names(read: OvaReader) -> AsyncIterator[Any]:
    while (member := await read.next()) is not None:
        yield member


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
async def test_long_names_of_both_kinds(form: int) -> None:
    name = "n" * 180 + ".vmdk"
    assert await whole(tar_of((name, b"x"), ("after", b"y"), form=form)) == [(name, b"x"), ("after", b"y")]


@pytest.mark.parametrize(
    "name", ["../x.vmdk", "/etc/passwd", "a/b", "..", "a\\b", "./../x", "x\n.vmdk", "y\x1b[2J", "./"]
)
async def test_a_name_that_is_a_path_is_refused(name: str) -> None:
    with pytest.raises(MalformedOva, match="plain file name"):
        await whole(tar_of((name, b"x")))


async def test_a_leading_dot_slash_is_harmless() -> None:
    assert await whole(tar_of(("./node.ovf", b"x"))) == [("node.ovf", b"x")]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
async def test_only_regular_files(kind: bytes) -> None:
    with pytest.raises(MalformedOva, match="no regular file"):
        await whole(tar_of(("x", b""), type=kind))


@pytest.mark.parametrize("cut", [0, 1, 511, 512, 700, 1024, 1500])
async def test_a_cut_archive(cut: int) -> None:
    with pytest.raises(MalformedOva, match="ends too early"):
        await whole(tar_of(("node.ovf", b"x" * 1000))[:cut])


async def test_no_archive_at_all() -> None:
    with pytest.raises(MalformedOva, match="no tar archive"):
        await whole(b"<html>" * 500)


async def test_too_many_members() -> None:
    with pytest.raises(MalformedOva, match="more than"):
        await whole(tar_of(*((f"f{number}", b"") for number in range(ova.MAXIMUM_MEMBERS + 1))))


async def test_a_huge_descriptor_is_not_even_read() -> None:
    entry = tarfile.TarInfo("node.ovf")
    entry.size = 1 << 40
    read = reader(entry.tobuf(tarfile.GNU_FORMAT) + b"x" * 4096, size=512)
    assert await read.next() is not None
    with pytest.raises(MalformedOva, match="larger than"):
        await read.read(ova.MAXIMUM_DESCRIPTOR_BYTES)
    assert read.position <= 1024


async def test_a_huge_extension_header_is_not_read() -> None:
    entry = tarfile.TarInfo("././@LongLink")
    entry.type, entry.size = tarfile.GNUTYPE_LONGNAME, 1 << 30
    with pytest.raises(MalformedOva, match="too large"):
        await whole(entry.tobuf(tarfile.GNU_FORMAT) + b"x" * 4096)


async def test_a_member_larger_than_any_disk() -> None:
    entry = tarfile.TarInfo("a.vmdk")
    entry.size = (1 << 40) + 1
    with pytest.raises(MalformedOva, match="larger than any disk"):
        await reader(entry.tobuf(tarfile.GNU_FORMAT)).next()


async def test_a_source_that_goes_on_for_ever_behind_the_archive() -> None:
    content = tar_of(("node.ovf", b"x"))

    async def endless() -> AsyncIterator[bytes]:
        yield content
        while True:
            yield b"\0" * 65536

    read = OvaReader(endless())
    assert [member.name async for member in names(read)] == ["node.ovf"]
    with pytest.raises(MalformedOva, match="does not stop"):
        await read.finish()
    assert read.position < len(content) + 2 * ova.MAXIMUM_TRAILING_BYTES


async def test_a_pax_header_cannot_smuggle_a_path() -> None:
    content = tar_of(("harmless", b"x"), form=tarfile.PAX_FORMAT, pax_headers={"path": "../../etc/cron.d/x"})
    with pytest.raises(MalformedOva, match="plain file name"):
        await whole(content)


async def test_a_negative_size() -> None:
    entry = tarfile.TarInfo("node.ovf")
    block = bytearray(entry.tobuf(tarfile.GNU_FORMAT))
    block[124:136] = b"\xff" * 12
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    with pytest.raises(MalformedOva, match="negative size"):
        await whole(bytes(block) + b"x" * 2048)


def test_a_descriptor_as_far_as_it_is_needed() -> None:
    found = ovf.parse(DESCRIPTOR)
    assert found.files == ("a.vmdk", "b.vmdk")
    assert found.networks == ("VM Network",)
    assert found.text == DESCRIPTOR.decode()


BOMB = b"""<?xml version="1.0"?><!DOCTYPE b [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>
<Envelope>&b;</Envelope>"""
OUTSIDE = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><Envelope>&e;</Envelope>'


@pytest.mark.parametrize(
    "document",
    [b"", b"<Envelope>", b"\xff\xfe\x00", b'<?xml version="1.0" encoding="no-such"?><Envelope/>', BOMB, OUTSIDE],
)
def test_a_descriptor_that_may_not_be_read(document: bytes) -> None:
    with pytest.raises(MalformedOva, match="no XML that may be read"):
        ovf.parse(document)


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (b"<html/>", "no OVF envelope"),
        (DESCRIPTOR.replace(b'ovf:id="f1"', b'ovf:chunkSize="7"'), "split or compressed"),
        (DESCRIPTOR.replace(b'ovf:id="f1"', b'ovf:compression="gzip"'), "split or compressed"),
        (DESCRIPTOR.replace(b"<References>", b"<References>" + b"<File/>" * 200), "too many"),
    ],
)
def test_a_descriptor_that_cannot_be_used(document: bytes, why: str) -> None:
    with pytest.raises(MalformedOva, match=why):
        ovf.parse(document)


def test_sums_of_a_manifest() -> None:
    one, two = hashlib.sha1(b"1").hexdigest(), hashlib.sha256(b"2").hexdigest()
    found = parse_manifest(f"SHA1(a.ovf)= {one}\r\n\r\nSHA256 (b b.vmdk) = {two.upper()}\r\n".encode())
    assert found == {"a.ovf": ("sha1", one), "b b.vmdk": ("sha256", two)}


@pytest.mark.parametrize("text", [b"SHA1(a)= 00", b"MD5(a)= " + b"0" * 32, b"nonsense", b"SHA256(a)= " + b"0" * 40])
def test_a_manifest_that_cannot_be_understood(text: bytes) -> None:
    with pytest.raises(MalformedOva, match="manifest"):
        parse_manifest(text)


def test_sums_are_ready_for_a_manifest_that_comes_last() -> None:
    late, known = Sums("a", None), Sums("a", {"a": ("sha512", "0" * 128)})
    for sums in (late, known, Sums("unlisted", {"a": ("sha1", "0" * 40)})):
        sums.update(b"content")
    assert late.found("sha1") == hashlib.sha1(b"content").hexdigest()
    assert late.found("sha512") == known.found("sha512") == hashlib.sha512(b"content").hexdigest()
