"""What reads bytes of strangers, each as one function of bytes that must end, or refuse in its own way.

Anything else that is raised is a finding. `test_targets.py` feeds them with small mutations at every run of the tests,
`guided.py` under atheris in `make soak`.
"""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

import dns.message
import dns.query
import dns.rrset
import yaml

from pcg.bundle.limits import Budget, LimitReached, Limits
from pcg.bundle.members import MemberReader, Unread
from pcg.bundle.reading import read_logs
from pcg.bundle.text import text_blocks
from pcg.clouds.lab.edge.http_head import read_head
from pcg.diagnosis.log_files import log_file
from pcg.diagnosis.log_lines import parse_line
from pcg.errors import InvalidInput, ProtocolError
from pcg.gateway.ovf_environment import parse_ovf_environment
from pcg.gateway.ovf_properties import check_properties
from pcg.model.configuration import parse_configuration
from pcg.model.yaml_document import parse_yaml
from pcg.network import name_queries
from pcg.sealing import pairing_code
from pcg.wire.frames import decode, encode

NOW = datetime(2026, 3, 1, tzinfo=UTC)
LIMITS = Limits(member_bytes=1 << 20, total_bytes=4 << 20, members=50, line_bytes=4096)
TRANSCRIPTS = Path(__file__).parents[1] / "wire/v1"
CODE = pairing_code.show("0" * pairing_code.LENGTH)
TIMES = ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "Feb 29 ", "2026-02-30", "24:00:00", "²")
YAML = (
    "!!bool ",
    "!!timestamp ",
    "!!float ",
    "&a ",
    "*a",
    "<<: ",
    ".nan",
    "1e999",
    "2026-02-30",
    "0b_",
    "²",
)
LINES = b"""\
E0102 15:04:05.000000    1187 server.go:12] "Starting" err="x509: certificate signed by unknown authority"
2026-01-02T15:04:05.123456789Z stderr F connection refused
Jan  2 15:04:05 host dhclient[712]: No DHCPOFFERS received.
2026-01-02 15:04:05,123 - util.py[WARNING]: failed
time="2026-01-02T15:04:05Z" level=error msg="no space left on device"
[   12.345678] vmxnet3 0000:0b:00.0 ens192: NIC Link is Down
"""


@dataclass(frozen=True)
class Target:
    run: Callable[[bytes], bool]
    """whether it was read, and not refused"""
    seeds: Callable[[], list[bytes]]
    """from which mutations begin: what the parser accepts"""
    words: tuple[str, ...] = ()
    """what is put in now and then: no mutation of single bytes would find it"""
    mutations: int = 300
    """at each run of the tests"""


def archive(data: bytes) -> bool:
    """As it is given: the packings, and what is no archive at all."""
    found = False
    with _file(data) as path:
        try:
            for member in MemberReader(path, Budget(LIMITS), Unread()).members():
                assert ".." not in member.name.split("/") and not member.name.startswith("/")
                held = sum(len(block) for block in text_blocks(member.chunks, LIMITS.line_bytes, lambda _: None))
                assert held <= 3 * LIMITS.member_bytes, "UTF-16 grows, by no more than this"
                found = found or held > 0
        except LimitReached:
            return False
    return found


def tar(data: bytes) -> bool:
    """Its headers get the checksums that fit, else nothing behind the first change would ever be read."""
    blocks = [bytearray(data[at : at + 512]) for at in range(0, len(data), 512)]
    for block in blocks:
        if block[257:262] == b"ustar" and len(block) == 512:
            block[148:156] = b" " * 8
            block[148:156] = b"%06o\0 " % sum(block)
    return archive(b"".join(blocks))


def logs(data: bytes) -> bool:
    """Text through the scanner and the judgement."""
    with _file(data) as path:
        try:
            return read_logs(path, NOW, LIMITS).lines > 0
        except InvalidInput:
            return False


def log_line(data: bytes) -> bool:
    for modified in (0.0, 1.7e9, 1e15):
        line = parse_line(data, 1, log_file("var/log/syslog", modified), NOW)
        assert line.time is None or line.time.tzinfo is UTC
    return True


def frame(data: bytes) -> bool:
    try:
        read = decode(data)
        again = decode(encode(read))
    except ProtocolError:
        return False
    assert again == read
    return True


def ovf(data: bytes) -> bool:
    try:
        check_properties(parse_ovf_environment(data))
    except InvalidInput:
        return False
    return True


def configuration(data: bytes) -> bool:
    try:
        read, _ = parse_configuration(parse_yaml(data, what="The body"))
    except InvalidInput:
        return False
    again, _ = parse_configuration(read.model_dump(by_alias=True, mode="json"))
    assert again == read
    return True


def code(data: bytes) -> bool:
    try:
        read = pairing_code.parse(data.decode("utf-8", "replace"))
    except InvalidInput:
        return False
    assert pairing_code.parse(pairing_code.show(read)) == read
    return True


def name_answer(data: bytes) -> bool:
    """As it comes by TCP. The network alone is left out: the answer is read as `_exchange` reads it."""

    async def exchange(query: dns.message.Message, server: object) -> dns.message.Message:
        answer = dns.message.from_wire(query.id.to_bytes(2, "big") + data)
        if not query.is_response(answer):
            raise dns.query.BadResponse
        return answer

    async def asked() -> bool:
        resolver = name_queries.Resolver([("127.0.0.1", 53)], 1.0, 1.0, lambda: 0.0)
        try:
            return len(await resolver.addresses("console.example.com", ["A", "AAAA"])) > 0
        except OSError:
            return False

    with mock.patch.object(name_queries, "_exchange", exchange):
        return asyncio.run(asked())


def http_head(data: bytes) -> bool:
    async def read() -> bool:
        reader = asyncio.StreamReader(limit=4096)
        reader.feed_data(data)
        reader.feed_eof()
        try:
            (await read_head(reader)).for_origin().encode()
        except (ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return False
        return True

    return asyncio.run(read())


@contextmanager
def _file(data: bytes) -> Iterator[Path]:
    """As short-lived as memory, where the machine has such a folder: a target runs some thousand times a second."""
    with tempfile.NamedTemporaryFile(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as file:
        file.write(data)
        file.flush()
        yield Path(file.name)


def pax_archive(**headers: str) -> bytes:
    return _archive(tarfile.PAX_FORMAT, headers)


def _archive(kind: int, headers: dict[str, str]) -> bytes:
    kept = io.BytesIO()
    with tarfile.open(fileobj=kept, mode="w", format=kind) as made:
        for name in ("var/log/syslog", "var/log/" + "l" * 120 + "/ü.log"):
            entry = tarfile.TarInfo(name)
            entry.size, entry.pax_headers = len(LINES), headers
            made.addfile(entry, io.BytesIO(LINES))
    return kept.getvalue()


def _archives() -> list[bytes]:
    return [_archive(tarfile.GNU_FORMAT, {}), pax_archive(size=str(len(LINES)))]


def _frames() -> list[bytes]:
    lines = json.loads((TRANSCRIPTS / "work.json").read_text())["lines"]
    said = [said for line in lines for said in line.values() if isinstance(said, dict) and "type" in said]
    return list({frame["type"]: json.dumps(frame).encode() for frame in said}.values())


def _ovf() -> list[bytes]:
    properties = {
        "pcg.endpoint": "https://console.example.com",
        "pcg.pairing-code": CODE,
        "pcg.installer-name": "installer-1",
        "pcg.https-proxy": "http://me:secret@proxy.example.com:3128",
        "pcg.pod-cidr": "10.244.0.0/16",
        "pcg.ip-scheme": "static",
        "pcg.ip-address": "10.10.20.3",
        "pcg.ip-prefix": "24",
        "pcg.ip-gateway": "10.10.20.1",
        "pcg.name-servers": "10.10.20.2",
        "pcg.no-proxy": ".example.com,10.0.0.0/8",
    }
    items = "".join(f'<Property oe:key="{key}" oe:value="{value}"/>' for key, value in properties.items())
    space = "http://schemas.dmtf.org/ovf/environment/1"
    section = f"<PropertySection>{items}</PropertySection>"
    return [f'<Environment xmlns="{space}" xmlns:oe="{space}">{section}</Environment>'.encode()]


def _configurations() -> list[bytes]:
    document: dict[str, Any] = {
        "cloud": "vsphere",
        "vcenter": {
            "address": "vcenter.example.com",
            "username": "someone",
            "trust": {"thumbprint": "AB:" * 31 + "AB"},
        },
        "placement": [{"datacenter": "d", "cluster": "c", "datastore": "s", "network": "n"}],
        "template": {"image": "https://images.example.com/node.ova", "sha256": "0" * 64},
        "nodes": {"count": 3, "size": "medium"},
        "network": {
            "addresses": {"static": {"range": "10.10.20.10-10.10.20.29", "prefix": 24, "gateway": "10.10.20.1"}},
            "nameServers": ["10.10.1.2"],
            "ntpServers": ["10.10.1.3"],
            "controlPlaneAddress": "10.10.20.9",
        },
        "proxy": {"http": "", "https": "http://proxy.example.com:3128", "no": [".example.com"], "ca": ""},
        "kubernetes": {"version": "1.30", "cni": "cilium"},
    }
    return [yaml.safe_dump(document).encode(), json.dumps(document).encode()]


def _name_answers() -> list[bytes]:
    found = []
    for kind, data in (("A", "127.0.0.1"), ("AAAA", "::1")):
        answer = dns.message.make_response(dns.message.make_query("console.example.com", kind))
        answer.answer.append(dns.rrset.from_text("console.example.com.", 60, "IN", "CNAME", "other.example.com."))
        answer.answer.append(dns.rrset.from_text("other.example.com.", 60, "IN", kind, data))
        found.append(answer.to_wire()[2:])
    return found


TARGETS = {
    "archive": Target(archive, lambda: [gzip.compress(made, mtime=0) for made in _archives()]),
    "tar": Target(tar, _archives, ("size=", "path=", "../", "²", "-1", "9" * 18)),
    "logs": Target(logs, lambda: [LINES, LINES.decode().encode("utf-16")], TIMES, mutations=40),
    "log-line": Target(log_line, LINES.splitlines, TIMES),
    "frame": Target(frame, _frames, ("1e999", "NaN", "-1", "9" * 20, "[[[[[[[[", "\\ud800", *TIMES)),
    "ovf": Target(ovf, _ovf, ("&#0;", "&a;", "<!DOCTYPE a>", "oe:", "::1", "/0", "²", "[", "https://")),
    "configuration": Target(configuration, _configurations, YAML),
    "pairing-code": Target(code, lambda: [CODE.encode()], ("ß", "ı", "²", "\u2014", "U")),
    "name-answer": Target(name_answer, _name_answers),
    "http-head": Target(
        http_head,
        lambda: [
            b"CONNECT console.example.com:443 HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Basic eDp5\r\n\r\n",
            b"GET http://[::1]:80/a?b HTTP/1.1\r\nHost: x\r\n\r\n",
        ],
    ),
}
