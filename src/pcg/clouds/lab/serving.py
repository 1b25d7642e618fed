"""How a simulated data center is served: its own certificate, uvicorn on given addresses, SIGTERM as a clean end."""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import signal
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from starlette.types import ASGIApp

from pcg.errors import InvalidInput, SetupMissing

_LIFETIME = timedelta(days=397)
_LAST_SECONDS = 1


@dataclass(frozen=True)
class ServerCertificate:
    file: Path
    """certificate and key as PEM"""
    thumbprint: str
    """SHA-256 of the certificate, `AB:CD:…`"""


def server_certificate(state: Path, host: str) -> ServerCertificate:
    """The self-signed certificate of this state folder; made at the first start."""
    file = state / "server.pem"
    if not file.exists():
        _make(file, host)
    certificate = x509.load_pem_x509_certificate(file.read_bytes())
    digest = hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).hexdigest().upper()
    return ServerCertificate(file, ":".join(digest[i : i + 2] for i in range(0, len(digest), 2)))


def split_listen(listen: str) -> tuple[str, int]:
    """HOST:PORT. Raises InvalidInput."""
    host, _, port = listen.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise InvalidInput(f"{listen!r} is not HOST:PORT.", reason="listen-address", field_name="listen")
    return host.strip("[]"), int(port)


@asynccontextmanager
async def serving(
    app: ASGIApp, host: str, port: int, certificate: ServerCertificate | None = None
) -> AsyncIterator[str]:
    """Serve until the block ends; gives the base URL. Without a certificate it is plain HTTP."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        lifespan="off",
        log_config=None,
        access_log=False,
        ws="none",
        timeout_graceful_shutdown=_LAST_SECONDS,
    )
    config.load()
    if certificate is not None:
        config.ssl = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        config.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
        config.ssl.load_cert_chain(certificate.file)
    server = _Server(config)
    task = asyncio.create_task(server.serve())
    try:
        yield f"{'https' if certificate else 'http'}://{host}:{await server.port(task)}"
    finally:
        server.should_exit = True
        await task


async def until_stopped() -> None:
    """Until SIGTERM or SIGINT."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    await stopped.wait()


class _Server(uvicorn.Server):
    """uvicorn, told when it listens, and leaving the signals to whoever called it."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._up = asyncio.Event()

    async def port(self, task: asyncio.Task[None]) -> int:
        """Raises SetupMissing when the address cannot be had."""
        up = asyncio.ensure_future(self._up.wait())
        await asyncio.wait({up, task}, return_when=asyncio.FIRST_COMPLETED)
        up.cancel()
        if not self.started:
            raise SetupMissing(
                f"Nothing can listen at {self.config.host}:{self.config.port}.",
                reason="listen-address",
                remedy=["Choose another --listen address, or end the process that uses this one."],
            )
        return int(self.servers[0].sockets[0].getsockname()[1])

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        try:
            await super().startup()
        except SystemExit:
            # uvicorn's word for an address that cannot be had; `port` says it better.
            self.should_exit = True
        self._up.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _make(file: Path, host: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    try:
        alternative: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        alternative = x509.DNSName(host)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    made = file.with_suffix(".new")
    made.touch(mode=0o600)
    made.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + private)
    made.replace(file)
