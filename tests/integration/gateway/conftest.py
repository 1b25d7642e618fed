"""A double of the console's HTTPS side on a real socket, with a CA of its own."""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from nacl.signing import SigningKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from pcg.model.desired import DesiredState
from pcg.model.records import Event
from pcg.network.pins import spki_pin
from pcg.sealing import encoding, signatures
from pcg.wire import frames
from pcg.wire.registration import ConsoleIdentity, RegistrationAnswer, RegistrationRequest
from pcg.wire.release import Artifact, Release, SignedRelease


def _certificate(name: str, issuer: tuple[x509.Name, ec.EllipticCurvePrivateKey] | None) -> tuple[Any, Any]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    by, by_key = issuer or (subject, key)
    now = datetime.now(UTC)
    made = x509.CertificateBuilder(by, subject, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=30))
    made = made.add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    made = made.add_extension(
        x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
    )
    return made.sign(by_key, hashes.SHA256()), key


@dataclass
class Authority:
    """A CA and a server certificate for 127.0.0.1, in files."""

    folder: Path
    name: str = "Test CA"
    ca: str = field(init=False)
    pin: str = field(init=False)

    def __post_init__(self) -> None:
        ca, ca_key = _certificate(self.name, None)
        leaf, key = _certificate("127.0.0.1", (ca.subject, ca_key))
        self.ca = ca.public_bytes(Encoding.PEM).decode()
        self.pin = spki_pin(self.ca)
        self.leaf = leaf.public_bytes(Encoding.PEM).decode()
        self.certificate, self.key = self.folder / f"{self.name}.pem", self.folder / f"{self.name}.key"
        self.certificate.write_text(self.leaf)
        self.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))

    def server_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context


@dataclass
class ConsoleDouble:
    """A mock: verifies what a console verifies, and can lose answers and refuse."""

    authority: Authority
    url: str = ""
    pairing_key: str = ""
    identity: SigningKey = field(default_factory=SigningKey.generate)
    registered: list[RegistrationRequest] = field(default_factory=list)
    answers: list[Response] = field(default_factory=list)
    """given instead of the true answer to a registration, each once"""
    ca: str = ""
    artifacts: dict[str, bytes] = field(default_factory=dict)
    artifact_url: str = "/gateway/v1/artifacts/"
    release_answers: list[Response] = field(default_factory=list)
    artifact_answers: list[Response] = field(default_factory=list)
    ranges: list[str | None] = field(default_factory=list)
    """of each request for an artifact"""
    jet_token: str = "none"
    jets: list[dict[str, str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    desired: DesiredState | None = None
    term: int = 0
    stored: dict[str, int] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    received: list[frames.Frame] = field(default_factory=list)
    sockets: list[WebSocket] = field(default_factory=list)

    @property
    def identity_key(self) -> str:
        return encoding.encode(bytes(self.identity.verify_key))

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/gateway/v1/ca", self._ca),
                Route("/gateway/v1/identity", self._identity),
                Route("/gateway/v1/register", self._register, methods=["POST"]),
                Route("/gateway/v1/release", self._release),
                Route("/gateway/v1/artifacts/{name}", self._artifact),
                Route("/gateway/v1/jet", self._jet, methods=["POST"]),
                WebSocketRoute("/gateway/v1/session", self._session),
            ]
        )

    async def send(self, frame: frames.Frame) -> None:
        await self.sockets[-1].send_text(frames.encode(frame))

    def of_type(self, kind: type[Any]) -> list[Any]:
        return [frame for frame in self.received if isinstance(frame, kind)]

    async def _session(self, socket: WebSocket) -> None:
        await socket.accept()
        hello = frames.decode(await socket.receive_text())
        assert isinstance(hello, frames.Hello)
        nonce = signatures.new_nonce()
        parts = signatures.session_parts(1, hello.gateway_id, "c-1", hello.nonce, nonce)
        signature = signatures.sign(self.identity, signatures.SESSION_CONSOLE, *parts)
        challenge = frames.Challenge(version=1, console_id="c-1", nonce=nonce, signature=signature)
        await socket.send_text(frames.encode(challenge))
        proof = frames.decode(await socket.receive_text())
        assert isinstance(proof, frames.Proof)
        key = self.registered[-1].signing_key
        assert signatures.verify(key, proof.signature, signatures.SESSION_GATEWAY, *parts)
        self.received.append(proof)
        self.term = proof.term or self.term + 1
        welcome = frames.Welcome(term=self.term, stored=dict(self.stored), time=datetime.now(UTC))
        await socket.send_text(frames.encode(welcome))
        self.sockets.append(socket)
        if self.desired is not None:
            await self.send(frames.Desired(state=self.desired))
        async for text in socket.iter_text():
            frame = frames.decode(text)
            self.received.append(frame)
            if isinstance(frame, frames.Reports):
                for report in frame.reports:
                    if report.number > self.stored.get(report.writer, 0):
                        self.stored[report.writer] = report.number
                        self.events.append(report.event)
                await self.send(frames.Acknowledge(stored=dict(self.stored)))

    async def _ca(self, request: Request) -> Response:
        return PlainTextResponse(self.ca or self.authority.ca, media_type="application/x-pem-file")

    async def _identity(self, request: Request) -> Response:
        self.nonce = signatures.new_nonce()
        identity = ConsoleIdentity(console_id="c-1", identity_key=self.identity_key, nonce=self.nonce)
        return JSONResponse(identity.model_dump())

    async def _register(self, request: Request) -> Response:
        self.bodies.append(await request.body())
        body = RegistrationRequest.model_validate_json(self.bodies[-1])
        parts = signatures.registration_parts(
            body.pairing_key, body.signing_key, body.sealing_key, "c-1", self.identity_key, self.nonce
        )
        assert signatures.verify(body.pairing_key, body.pairing_signature, signatures.REGISTER, *parts)
        assert signatures.verify(body.signing_key, body.possession_signature, signatures.REGISTER, *parts)
        self.registered.append(body)
        if self.answers:
            return self.answers.pop(0)
        if body.pairing_key != self.pairing_key:
            return problem(403, "pairing-code-unknown")
        answer = RegistrationAnswer(gateway_id="g-1", gateway_name="first", console_id="c-1")
        return JSONResponse(answer.model_dump())

    async def _release(self, request: Request) -> Response:
        if self.release_answers:
            return self.release_answers.pop(0)
        artifacts = [
            Artifact(name=name, url=self.artifact_url + name, size=len(data), sha256=hashlib.sha256(data).hexdigest())
            for name, data in self.artifacts.items()
        ]
        document = Release(console_id="c-1", version="1", artifacts=artifacts).model_dump_json()
        signature = signatures.sign(self.identity, signatures.RELEASE, "c-1", document)
        return JSONResponse(SignedRelease(document=document, signature=signature).model_dump())

    async def _artifact(self, request: Request) -> Response:
        """One range as RFC 9110 has it; `artifact_answers` are given first, each once."""
        self.ranges.append(request.headers.get("range"))
        if self.artifact_answers:
            return self.artifact_answers.pop(0)
        data = self.artifacts[request.path_params["name"]]
        if self.ranges[-1] is None:
            return Response(data, media_type="application/octet-stream")
        start = int(self.ranges[-1].removeprefix("bytes=").removesuffix("-"))
        headers = {"content-range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
        return Response(data[start:], 206, headers)

    async def _jet(self, request: Request) -> Response:
        if request.headers.get("authorization") != f"Bearer {self.jet_token}":
            return problem(401, "token-rejected")
        self.jets.append(await request.json())
        return JSONResponse({"gateway_id": "g-1", "heartbeat_seconds": 1.0})


def problem(status: int, reason: str, **headers: str) -> JSONResponse:
    document = {"type": "about:blank", "title": reason, "status": status, "detail": f"No: {reason}.", "reason": reason}
    return JSONResponse(
        {**document, "evidence": ["used on 1 January by other-installer"], "remedy": [], "link": ""},
        status,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
        media_type="application/problem+json",
    )


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def refusal() -> Any:
    return problem


@pytest.fixture
async def console(authority: Authority) -> AsyncIterator[ConsoleDouble]:
    double = ConsoleDouble(authority)
    config = uvicorn.Config(
        double.app(),
        host="127.0.0.1",
        port=0,
        log_config=None,
        ws="websockets-sansio",
        lifespan="off",
        ssl_certfile=str(authority.certificate),
        ssl_keyfile=str(authority.key),
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server._serve())
    while not server.started:
        await asyncio.sleep(0.01)
    double.url = f"https://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    yield double
    server.should_exit = True
    server.force_exit = True
    await serving
