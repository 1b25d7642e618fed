"""What `pcg console serve` was told, checked once at the start."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from pcg.console.pairing_codes import LIFETIME
from pcg.console.store.database import sqlite_url
from pcg.errors import InvalidInput
from pcg.model.configuration import split_host_port

EVENTS_OF_GATEWAY = 100_000
EVENTS_OF_GATEWAY_BYTES = 64 << 20
"""stored of one gateway at most; the oldest are removed first"""

KEEP_EVENTS_DAYS = 365
"""unless told otherwise"""


@dataclass(frozen=True)
class Settings:
    """`public_urls`: how gateways and browsers reach the console; the first stands in install commands."""

    data: Path
    host: str = "127.0.0.1"
    port: int = 8443
    """0 takes a free one"""
    public_urls: tuple[str, ...] = ()
    database: str | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    public_ca: Path | None = None
    """CA of what stands before the console and does its TLS: what installers pin"""
    trusted_proxies: tuple[str, ...] = ()
    artifact_mirror: str | None = None
    """https URL below which gateways find the files of the folder `artifacts`; None: the console serves them"""
    keep_events_days: int = KEEP_EVENTS_DAYS
    keep_audit_days: int = 0
    """0: for ever"""
    code_hours: float = LIFETIME / timedelta(hours=1)
    """for which a pairing code is good"""
    support_address: str | None = None
    """where people shall send log bundles; shown beside each"""
    admin_email: str | None = None
    admin_password: str | None = field(default=None, repr=False)

    @classmethod
    def from_options(
        cls,
        *,
        listen: str,
        data: Path,
        public_urls: tuple[str, ...] = (),
        database: str | None = None,
        tls_cert: Path | None = None,
        tls_key: Path | None = None,
        public_ca: Path | None = None,
        trusted_proxies: tuple[str, ...] = (),
        artifact_mirror: str | None = None,
        keep_events_days: int = KEEP_EVENTS_DAYS,
        keep_audit_days: int = 0,
        code_hours: float = LIFETIME / timedelta(hours=1),
        support_address: str | None = None,
    ) -> Settings:
        """Raises InvalidInput with the option named. The first administrator comes from the environment."""
        host, port = _listen(listen)
        if (tls_cert is None) != (tls_key is None):
            raise InvalidInput(
                "A certificate and its key belong together.",
                reason="tls-files",
                field_name="tls-key" if tls_key is None else "tls-cert",
                remedy=["Give both --tls-cert and --tls-key, or neither."],
            )
        settings = cls(
            data=data,
            host=host,
            port=port,
            public_urls=tuple(_public_url(url) for url in public_urls),
            database=database,
            tls_cert=tls_cert,
            tls_key=tls_key,
            public_ca=public_ca,
            trusted_proxies=tuple(_network(cidr) for cidr in trusted_proxies),
            artifact_mirror=_mirror(artifact_mirror) if artifact_mirror else None,
            keep_events_days=keep_events_days,
            keep_audit_days=keep_audit_days,
            code_hours=code_hours,
            support_address=support_address or None,
            admin_email=os.environ.get("PCG_ADMIN_EMAIL"),
            admin_password=os.environ.get("PCG_ADMIN_PASSWORD"),
        )
        if settings.plain_http and not settings.public_urls:
            raise InvalidInput(
                "Behind a proxy the console must know the URL that the proxy serves.",
                reason="public-url",
                field_name="public-url",
                remedy=["Give --public-url https://… as gateways and browsers see it."],
            )
        return settings

    @property
    def database_url(self) -> str:
        return self.database or sqlite_url(self.data / "console.db")

    @property
    def endpoint(self) -> str:
        """Where installers are sent: the first public URL, or else the address that it listens at."""
        if self.public_urls:
            return self.public_urls[0]
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"https://{host}:{self.port}"

    @property
    def hosts(self) -> set[str]:
        """Names and addresses that the server certificate must carry."""
        named = {urlsplit(url).hostname for url in self.public_urls} | {self.host}
        return {host for host in named if host} - {"0.0.0.0", "::"}  # noqa: S104 - they name no host

    @property
    def plain_http(self) -> bool:
        """Only on loopback behind a trusted proxy, which then does the TLS."""
        near = any(_reaches_loopback(network) for network in self.trusted_proxies)
        return near and self.tls_cert is None and _is_loopback(self.host)


def _listen(text: str) -> tuple[str, int]:
    host, separator, port = text.rpartition(":")
    try:
        if not separator or not (port.isascii() and port.isdigit() and int(port) <= 65535):
            raise ValueError("a port is missing")
        split_host_port(f"{host}:1", 1)
    except ValueError as error:
        raise InvalidInput(
            f"--listen {text!r} is not HOST:PORT: {error}.",
            reason="listen-address",
            field_name="listen",
            remedy=["For example 127.0.0.1:8443, 0.0.0.0:8443 or [::1]:8443; port 0 takes a free one."],
        ) from None
    return host.strip("[]"), int(port)


def _public_url(text: str) -> str:
    """Without a trailing slash."""
    parts = urlsplit(text)
    try:
        valid = parts.scheme == "https" and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid or parts.path.strip("/") or parts.query or parts.fragment or parts.username:
        raise InvalidInput(
            f"--public-url {text!r} is not an https:// URL of a host alone.",
            reason="public-url",
            field_name="public-url",
            remedy=["For example https://console.example.com or https://console.example.com:8443."],
        )
    return f"https://{parts.netloc}"


def _mirror(text: str) -> str:
    """Without a trailing slash; unlike a public URL it may have a path."""
    parts = urlsplit(text)
    if parts.scheme != "https" or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise InvalidInput(
            f"--artifact-mirror {text!r} is not an https:// URL.",
            reason="artifact-mirror",
            field_name="artifact-mirror",
            remedy=["For example https://mirror.example.com/pcg/1.0, with the files of DATA/artifacts below it."],
        )
    return text.rstrip("/")


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as error:
        raise InvalidInput(
            f"--trusted-proxy {text!r} is not a CIDR: {error}.", reason="trusted-proxy", field_name="trusted-proxy"
        ) from None


def _reaches_loopback(network: str) -> bool:
    """Whether a proxy on this very machine is among the trusted: no other can connect to a loopback address."""
    trusted = ipaddress.ip_network(network)
    loopback = ipaddress.ip_network("127.0.0.0/8" if trusted.version == 4 else "::1/128")
    return trusted.overlaps(loopback)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
