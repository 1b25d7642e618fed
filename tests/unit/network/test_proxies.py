"""Proxies as typed: accepted, normalised or refused by name; which one is used; and no password is given away."""

from __future__ import annotations

import ssl

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pcg.errors import InvalidInput
from pcg.network.failures import causes
from pcg.network.proxies import NO_PROXIES, Proxies, parse_proxies, without_credentials
from pcg.network.proxy_failures import Answer, broke, refused
from unit.network.test_pins_and_failures import certificate

TARGET = "https://console.example/gateway/v1/ca"


@pytest.mark.parametrize(
    ("typed", "url", "notices"),
    [
        ("http://proxy.example:3128", "http://proxy.example:3128", 0),
        ("https://proxy.example:443", "https://proxy.example:443", 0),
        ("HTTP://Proxy.Example:3128", "http://proxy.example:3128", 0),
        ("http://10.1.2.3:3128", "http://10.1.2.3:3128", 0),
        ("http://[fd00::0001]:3128", "http://[fd00::1]:3128", 0),
        ("http://proxy:3128/", "http://proxy:3128", 1),
        ("proxy:3128", "http://proxy:3128", 1),
        ("user:word@proxy:3128", "http://user:word@proxy:3128", 1),
        ("http://user:@proxy:3128", "http://user:@proxy:3128", 0),
        ("http://user:p%40ss%3a%2F@proxy:3128", "http://user:p%40ss%3A%2F@proxy:3128", 0),
        ("http://DOMAIN%5Cuser:word@proxy:3128", "http://DOMAIN%5Cuser:word@proxy:3128", 0),
        ("http://u%C3%A4:w%C3%B6@proxy:3128", "http://u%C3%A4:w%C3%B6@proxy:3128", 0),
        ("  http://proxy:3128\n", "http://proxy:3128", 0),
        ("", None, 0),
    ],
)
def test_good_proxies(typed: str, url: str | None, notices: int) -> None:
    proxies, told = parse_proxies(None, typed, None)
    assert proxies.https == url
    assert len(told) == notices
    assert "word" not in " ".join(told)
    assert parse_proxies(None, proxies.https, None)[0] == proxies


@pytest.mark.parametrize(
    ("typed", "why"),
    [
        ("socks5://proxy:1080", "SOCKS is not spoken; give the address of an HTTP proxy"),
        ("socks5h://user:secret@proxy:1080", "SOCKS is not spoken"),
        ("ntlm://proxy:3128", "NTLM is not spoken"),
        ("ftp://proxy:3128", "its scheme is ftp: only HTTP proxies"),
        ("pac+http://proxy/x", "a PAC file is not read"),
        ("http://proxy:80/proxy.pac", "a PAC file is not read"),
        ("http://proxy", "its port is missing"),
        ("http://fd00::1:3128", "its port is missing"),
        ("http://:3128", "it has no host"),
        ("http://proxy:0", "'0' is not a port"),
        ("http://proxy:99999", "is not a port"),
        ("http://proxy:3128/path", "it has a path"),
        ("http://user:sec/ret@proxy:3128", "written %XX"),
        ("http://user:secret#@proxy:3128", "written %XX"),
        ("http://proxy:3128?x", "it has a query"),
        ("http://10.1.2.300:3128", "10.1.2.300"),
        ("http://pro xy:3128", "a blank"),
        ("http://pro\x00xy:3128", "a blank or a control character"),
        ("//proxy:3128", "is not a scheme"),
        ("http://http://proxy:3128", "it has a path"),
        ("http://user@proxy:3128", "a user without a password"),
        ("http://:secret@proxy:3128", "its user is empty"),
        ("http://us%3Aer:secret@proxy:3128", "a colon"),
        ("http://DOMAIN\\user:secret@proxy:3128", "an account for NTLM or Kerberos"),
        ("DOMAIN\\user:secret@proxy:3128", "DOMAIN%5CUSER"),
        ("http://user:secret%0D%0A@proxy:3128", "a control character"),
        ("http://user:secret%FF@proxy:3128", "not UTF-8"),
        ("http://user:100%secret@proxy:3128", "written %XX"),
        ("http://a:secret@b:secret@proxy:3128", "written %XX"),
    ],
)
def test_other_proxies_are_refused(typed: str, why: str) -> None:
    for flag, arguments in (("http-proxy", (typed, None, None)), ("https-proxy", (None, typed, None))):
        with pytest.raises(InvalidInput) as caught:
            parse_proxies(*arguments)
        assert why in caught.value.what
        assert caught.value.field_name == flag
        assert "secret" not in repr(caught.value)


@settings(deadline=None)
@given(st.text(), st.text(), st.text())
def test_no_text_breaks_it(http: str, https: str, no: str) -> None:
    try:
        proxies, _ = parse_proxies(http, https, no)
    except InvalidInput:
        return
    assert "@" not in repr(proxies)


@settings(deadline=None)
@given(st.text(min_size=1).filter(lambda text: ":" not in text and text.isprintable()), st.text())
def test_every_user_that_basic_can_carry(user: str, password: str) -> None:
    from urllib.parse import quote

    typed = f"http://{quote(user, safe='')}:{quote(password, safe='')}@proxy:3128"
    try:
        proxies, _ = parse_proxies(None, typed, None)
    except InvalidInput:
        assert not password.isprintable()
        return
    assert proxies.https == typed
    assert without_credentials(typed) == "http://proxy:3128"


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("https://console.example", "http://u:p@secure:1"),
        ("wss://console.example/x", "http://u:p@secure:1"),
        ("http://console.example", "http://plain:2"),
        ("ws://console.example", "http://plain:2"),
        ("https://direct.example", None),
        ("https://10.1.2.3:8443/x", None),
        ("https://10.1.2.3", "http://u:p@secure:1"),
        ("wss://[fd00::1]:443", None),
    ],
)
def test_which_proxy(url: str, proxy: str | None) -> None:
    proxies, _ = parse_proxies("http://plain:2", "http://u:p@secure:1", "direct.example,10.0.0.0/8:8443,fd00::/8")
    assert proxies.proxy_for(url) == proxy
    assert NO_PROXIES.proxy_for(url) is None


def test_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://elsewhere:3128")
    assert parse_proxies(None, None, None) == (NO_PROXIES, [])


def test_a_child_reads_what_it_was_given() -> None:
    proxies, _ = parse_proxies("http://plain:2", "http://u:p@secure:1", "a.example,[fd00::/8]:443", certificate("x"))
    given_on = proxies.environment()
    names = ("PCG_HTTP_PROXY", "PCG_HTTPS_PROXY", "PCG_NO_PROXY", "PCG_PROXY_CA_PEM")
    assert parse_proxies(*(given_on.get(name) for name in names)) == (proxies, [])
    assert NO_PROXIES.environment() == {}
    assert "u:p" not in repr(proxies)


def test_what_changes_nothing_is_told() -> None:
    assert "goes directly" in parse_proxies("http://plain:2", None, None)[1][0]
    assert "changes nothing" in parse_proxies(None, None, "a.example")[1][0]


def test_the_proxys_ca() -> None:
    proxies, _ = parse_proxies(None, "https://proxy:443", None, certificate("proxy"))
    context = proxies.context_for("https://proxy:443")
    assert context is not None
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert proxies.context_for("http://proxy:443") is None
    with pytest.raises(InvalidInput) as caught:
        parse_proxies(None, "https://proxy:443", None, "garbage")
    assert caught.value.field_name == "proxy-ca"


@pytest.mark.parametrize(
    ("header", "offers"),
    [
        ('Basic realm="x"', ["Basic"]),
        ('Basic realm="a, NTLM", charset="UTF-8"', ["Basic"]),
        ('Basic realm="a \\" , NTLM"', ["Basic"]),
        ('Negotiate, NTLM, Basic realm="x"', ["Negotiate", "NTLM", "Basic"]),
        ('Digest realm="x", nonce="abc", qop="auth"', ["Digest"]),
        ("Negotiate abcd==", ["Negotiate"]),
        ("", []),
    ],
)
def test_which_schemes_a_proxy_offers(header: str, offers: list[str]) -> None:
    assert Answer.of(407, "", [("Proxy-Authenticate", header)]).offers == offers


@pytest.mark.parametrize(
    ("status", "headers", "proxy", "reason"),
    [
        (407, [("Proxy-Authenticate", "Basic")], "http://p:1", "proxy-authentication-needed"),
        (407, [("Proxy-Authenticate", "Basic")], "http://u:w@p:1", "proxy-credentials-wrong"),
        (407, [("proxy-authenticate", "Digest x=y")], "http://u:w@p:1", "proxy-authentication-unsupported"),
        (407, [], "http://u:w@p:1", "proxy-authentication-unsupported"),
        (403, [], "http://p:1", "proxy-refuses"),
        (503, [("X-Squid-Error", "ERR_DNS_FAIL 0")], "http://p:1", "proxy-cannot-resolve"),
        (503, [("X-Squid-Error", "ERR_CONNECT_FAIL 111")], "http://p:1", "proxy-cannot-connect"),
        (502, [], "http://p:1", "proxy-cannot-connect"),
        (405, [], "http://p:1", "proxy-is-none"),
        (302, [], "http://p:1", "proxy-is-none"),
        (500, [], "http://p:1", "unreachable-proxy"),
    ],
)
def test_refusals_in_words(status: int, headers: list[tuple[str, str]], proxy: str, reason: str) -> None:
    error = refused(TARGET, proxy, Answer.of(status, "Be\x1b[31mcause", headers))
    assert (error.reason, error.fields["hop"], error.fields["target"]) == (reason, "proxy", TARGET)
    assert any(f"HTTP {status}" in item for item in error.evidence)
    assert error.remedy
    assert "u:w" not in repr(error)
    assert "\x1b" not in repr(error.evidence)


def test_what_broke_is_told_by_its_first_cause() -> None:
    outer = RuntimeError("outer")
    outer.__cause__ = ConnectionResetError(104, "Connection reset by peer")
    error = broke(TARGET, "http://u:w@p:1", causes(outer))
    assert error.reason == "proxy-closed"
    assert "u:w" not in repr(error)
    assert broke(TARGET, "http://p:1", [TimeoutError()]).reason == "proxy-silent"
    assert broke(TARGET, "http://p:1", [OSError(113, "No route to host")]).reason == "unreachable-proxy"
    assert broke(TARGET, "http://p:1", [ValueError("what")]).reason == "proxy-is-none"


def test_proxies_compare_by_value() -> None:
    assert Proxies(https="http://a:1") == Proxies(https="http://a:1") != Proxies(https="http://b:1")
