"""What `pcg console serve` is told is checked with the option named."""

from __future__ import annotations

from pathlib import Path

import pytest

from pcg.console.settings import Settings
from pcg.errors import InvalidInput


def _settings(**options: object) -> Settings:
    return Settings.from_options(**{"listen": "127.0.0.1:8443", "data": Path("data"), **options})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("listen", "host", "port", "endpoint"),
    [
        ("127.0.0.1:8443", "127.0.0.1", 8443, "https://127.0.0.1:8443"),
        ("0.0.0.0:0", "0.0.0.0", 0, "https://0.0.0.0:0"),
        ("[::1]:8443", "::1", 8443, "https://[::1]:8443"),
        ("localhost:1", "localhost", 1, "https://localhost:1"),
    ],
)
def test_where_it_listens(listen: str, host: str, port: int, endpoint: str):
    settings = _settings(listen=listen)
    assert (settings.host, settings.port, settings.endpoint) == (host, port, endpoint)


@pytest.mark.parametrize(
    ("option", "value", "field"),
    [
        ("listen", "8443", "listen"),
        ("listen", ":8443", "listen"),
        ("listen", "127.0.0.1:", "listen"),
        ("listen", "127.0.0.1:70000", "listen"),
        ("listen", "300.0.0.1:1", "listen"),
        ("listen", "127.0.0.1:٣", "listen"),
        ("public_urls", ("http://a",), "public-url"),
        ("public_urls", ("console.example.com",), "public-url"),
        ("public_urls", ("https://a/path",), "public-url"),
        ("public_urls", ("https://user@a",), "public-url"),
        ("public_urls", ("https://a:99999",), "public-url"),
        ("tls_cert", Path("c"), "tls-key"),
        ("tls_key", Path("k"), "tls-cert"),
        ("trusted_proxies", ("10.0.0.1/8",), "trusted-proxy"),
    ],
)
def test_a_wrong_option_is_named(option: str, value: object, field: str):
    with pytest.raises(InvalidInput) as caught:
        _settings(**{option: value})
    assert caught.value.field_name == field
    assert caught.value.reason


def test_the_first_public_url_is_the_endpoint():
    settings = _settings(public_urls=("https://a.example.com/", "https://b.example.com:8443"))
    assert settings.endpoint == "https://a.example.com"
    assert settings.hosts == {"a.example.com", "b.example.com", "127.0.0.1"}
    assert _settings(listen="0.0.0.0:1").hosts == set()


@pytest.mark.parametrize(
    ("listen", "proxies", "plain"),
    [
        ("127.0.0.1:1", ("127.0.0.0/8",), True),
        ("127.0.0.1:1", (), False),
        ("0.0.0.0:1", ("127.0.0.0/8",), False),
        ("127.0.0.1:1", ("10.0.0.0/8",), False),
        ("127.0.0.1:1", ("10.0.0.0/8", "127.0.0.1/32"), True),
        ("[::1]:1", ("::1/128",), True),
    ],
)
def test_plain_http_only_on_loopback_behind_a_proxy(listen: str, proxies: tuple[str, ...], plain: bool):
    settings = _settings(listen=listen, trusted_proxies=proxies, public_urls=("https://console.example.com",))
    assert settings.plain_http is plain


def test_behind_a_proxy_the_public_url_is_needed():
    with pytest.raises(InvalidInput) as caught:
        _settings(trusted_proxies=("127.0.0.0/8",))
    assert caught.value.field_name == "public-url"


def test_the_first_administrator_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PCG_ADMIN_EMAIL", "a@example.com")
    monkeypatch.setenv("PCG_ADMIN_PASSWORD", "a long password")
    settings = _settings()
    assert (settings.admin_email, settings.admin_password) == ("a@example.com", "a long password")
    assert "a long password" not in repr(settings)
