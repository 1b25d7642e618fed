"""The endpoint as typed: what is read how, and what is refused before any network call."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pcg.errors import InvalidInput
from pcg.network.endpoint import parse_endpoint


@pytest.mark.parametrize(
    "typed,url,notices",
    [
        ("https://console.example.com", "https://console.example.com", 0),
        ("https://console.example.com:8443", "https://console.example.com:8443", 0),
        ("https://console.example.com:443", "https://console.example.com", 0),
        ("HTTPS://Console.Example.COM", "https://console.example.com", 0),
        ("https://console.example.com/", "https://console.example.com", 1),
        ("https://console.example.com///", "https://console.example.com", 1),
        (" https://console.example.com\n", "https://console.example.com", 1),
        ("console.example.com", "https://console.example.com", 1),
        ("console.example.com:8443/", "https://console.example.com:8443", 2),
        ("https://127.0.0.1:9000", "https://127.0.0.1:9000", 0),
        ("https://[2001:DB8::1]:9000", "https://[2001:db8::1]:9000", 0),
        ("https://[2001:db8:0::1]", "https://[2001:db8::1]", 0),
    ],
)
def test_read_as(typed: str, url: str, notices: int) -> None:
    endpoint, told = parse_endpoint(typed)
    assert endpoint.url == url
    assert len(told) == notices


@pytest.mark.parametrize(
    "typed,why",
    [
        ("", "no host"),
        ("https://", "no host"),
        ("http://console.example.com", "only https"),
        ("http://127.0.0.1:8000", "only https"),
        ("ftp://console.example.com", "only https"),
        ("https://https://console.example.com", "typed twice"),
        ("https://http://console.example.com", "typed twice"),
        ("//console.example.com", "not a scheme"),
        ("https://console.example.com/api", "a path"),
        ("https://console.example.com?x=1", "a query"),
        ("https://console.example.com#top", "a fragment"),
        ("https://user:secret@console.example.com", "a user name"),
        ("https://console example.com", "blank"),
        ("https://console.example.com:0", "not a port"),
        ("https://console.example.com:65536", "not a port"),
        ("https://console.example.com:", "port must follow"),
        ("https://console.example.com:https", "not a port"),
        ("https://300.1.1.1", ""),
        ("https://-bad-.example.com", "not a host name"),
        ("https://[2001:db8::1", "missing"),
        ("https://console.example.com.", "ends with a dot"),
        ("https://:8443", ""),
    ],
)
def test_refused(typed: str, why: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_endpoint(typed)
    assert why in caught.value.what
    assert caught.value.reason == "endpoint-invalid"
    assert "secret" not in str(caught.value.evidence)


@given(st.text(max_size=60))
def test_anything_is_an_endpoint_or_invalid_input(typed: str) -> None:
    for text in (typed, f"https://{typed}"):
        try:
            endpoint, _ = parse_endpoint(text)
        except InvalidInput:
            continue
        assert parse_endpoint(endpoint.url) == (endpoint, [])
