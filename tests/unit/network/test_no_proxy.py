"""NO_PROXY after Go's convention: what matches what, what is refused by name, and that no text breaks the parser."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pcg.errors import InvalidInput
from pcg.network.no_proxy import MAXIMUM_CHARACTERS, parse_no_proxy


@pytest.mark.parametrize(
    ("typed", "host", "port", "direct"),
    [
        ("*", "anything.example", 443, True),
        ("*:8443", "anything.example", 8443, True),
        ("*:8443", "anything.example", 443, False),
        ("example.com", "example.com", 443, True),
        ("example.com", "www.example.com", 443, True),
        ("example.com", "WWW.Example.COM.", 443, True),
        ("EXAMPLE.com.", "example.com", 443, True),
        ("ample.com", "example.com", 443, False),
        ("example.com", "example.com.org", 443, False),
        (".example.com", "example.com", 443, False),
        (".example.com", "a.b.example.com", 443, True),
        ("*.example.com", "example.com", 443, False),
        ("*.example.com", "a.example.com", 443, True),
        ("example.com:8443", "example.com", 8443, True),
        ("example.com:8443", "example.com", 443, False),
        ("console", "console", 443, True),
        ("with_underscore.example", "with_underscore.example", 443, True),
        ("10.1.2.3", "10.1.2.3", 443, True),
        ("10.1.2.3", "10.1.2.30", 443, False),
        ("10.1.2.3:443", "10.1.2.3", 443, True),
        ("10.1.2.3:443", "10.1.2.3", 8443, False),
        ("10.0.0.0/8", "10.255.0.1", 443, True),
        ("10.0.0.0/8:443", "10.255.0.1", 80, False),
        ("10.0.0.0/8", "11.0.0.1", 443, False),
        ("10.0.0.0/8", "name.example", 443, False),
        ("0.0.0.0/0", "fd00::1", 443, False),
        ("0.0.0.0/0", "name.example", 443, False),
        ("fd00::/8", "fd12::1", 443, True),
        ("[fd00::/8]:443", "fd12::1", 443, True),
        ("[fd00::/8]:443", "fd12::1", 80, False),
        ("::1", "::1", 443, True),
        ("[::1]", "0:0:0:0:0:0:0:1", 443, True),
        ("[::1]:80", "::1", 443, False),
        ("10.1.2.3", "::ffff:10.1.2.3", 443, True),
        ("::ffff:10.1.2.3", "10.1.2.3", 443, True),
        ("3", "10.1.2.3.example", 443, None),
        ("1.2.3.4.example", "1.2.3.4", 443, False),
        (" a.example ,, b.example,", "b.example", 443, True),
        ("", "localhost", 443, False),
    ],
)
def test_what_matches(typed: str, host: str, port: int, direct: bool | None) -> None:
    if direct is None:
        with pytest.raises(InvalidInput):
            parse_no_proxy(typed)
        return
    entries, _ = parse_no_proxy(typed)
    assert any(entry.matches(host, port) for entry in entries) is direct


@pytest.mark.parametrize(
    ("typed", "named"),
    [
        ("good.example,bad entry", "bad entry"),
        ("good.example,10.0.0.0/33", "10.0.0.0/33"),
        ("10.0.0.0/255.0.0.0", "10.0.0.0/255.0.0.0"),
        ("10.0.0.300", "10.0.0.300"),
        ("10.0.0.*", "10.0.0.*"),
        ("10.", "10."),
        ("a.*.example", "a.*.example"),
        ("a*", "a*"),
        ("http://a.example", "http://a.example"),
        ("a.example:", "a.example:"),
        ("a.example:99999", "a.example:99999"),
        ("a.example:0", "a.example:0"),
        ("a.example:x", "a.example:x"),
        (":443", ":443"),
        ("[::1", "[::1"),
        ("[::1]x", "[::1]x"),
        ("[a.example]:443", "[a.example]:443"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("::1::2", "::1::2"),
        (".", "."),
        ("*.", "*."),
        ("..a", "..a"),
        ("-a.example", "-a.example"),
        ("a;b", "a;b"),
        ("münchen.example", "münchen.example"),
        ("a\x1b[31m", "\\x1b"),
        ("a" * 64 + ".example", "a" * 64),
    ],
)
def test_what_is_refused_is_named(typed: str, named: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_no_proxy(typed)
    assert named in caught.value.what
    assert (caught.value.reason, caught.value.field_name) == ("no-proxy-invalid", "no-proxy")
    assert caught.value.remedy


def test_a_password_pasted_here_is_not_shown() -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_no_proxy("http://user:secret@proxy:3128")
    assert "secret" not in repr(caught.value)
    with pytest.raises(InvalidInput, match="longer than"):
        parse_no_proxy("a," * MAXIMUM_CHARACTERS)


def test_bits_behind_the_prefix_are_told() -> None:
    entries, notices = parse_no_proxy("10.1.2.3/8,10.0.0.0/8,10.1.2.3/32")
    assert [str(entry) for entry in entries] == ["10.0.0.0/8", "10.1.2.3"]
    assert notices == ["no-proxy: 10.1.2.3/8 has bits set behind its prefix: 10.0.0.0/8 is used"]


_ports = st.none() | st.integers(1, 65535)
_names = st.from_regex(r"[a-z][a-z0-9]{0,8}(\.[a-z][a-z0-9]{0,8}){0,3}", fullmatch=True)
_addresses = st.ip_addresses()
_networks = st.tuples(_addresses, st.integers(0, 32)).map(
    lambda pair: ipaddress.ip_network(f"{pair[0]}/{pair[1]}", strict=False)
)


def _with_port(host: str, port: int | None) -> str:
    bare = f"[{host}]" if ":" in host else host
    return host if port is None else f"{bare}:{port}"


_entries = st.tuples(
    st.just("*") | _names | _names.map(lambda name: f".{name}") | _addresses.map(str) | _networks.map(str), _ports
).map(lambda pair: _with_port(*pair))


@settings(deadline=None)
@given(st.lists(_entries, max_size=6))
def test_round_trip(typed: list[str]) -> None:
    entries, _ = parse_no_proxy(",".join(typed))
    assert parse_no_proxy(",".join(map(str, entries))) == (entries, [])


@settings(deadline=None)
@given(_entries)
def test_each_form_is_one_entry(typed: str) -> None:
    assert len(parse_no_proxy(typed)[0]) == 1


@settings(deadline=None)
@given(st.text() | st.text("0123456789.:/[]*,%@ aA-_", max_size=40), st.text(max_size=20), st.integers(1, 65535))
def test_no_text_breaks_it(typed: str, host: str, port: int) -> None:
    try:
        entries, _ = parse_no_proxy(typed)
    except InvalidInput:
        return
    assert {entry.matches(host, port) for entry in entries} <= {True, False}
    assert parse_no_proxy(",".join(map(str, entries)))[0] == entries


@settings(deadline=None)
@given(_addresses, st.integers(0, 32))
def test_a_network_holds_its_addresses(address: ipaddress.IPv4Address | ipaddress.IPv6Address, length: int) -> None:
    network = ipaddress.ip_network(f"{address}/{length}", strict=False)
    mapped = getattr(address, "ipv4_mapped", None)
    entries, _ = parse_no_proxy(str(network))
    assert entries[0].matches(str(address), 443) or mapped is not None
