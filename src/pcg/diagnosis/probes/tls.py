"""The probe `tls` for a server that is reached directly: what it serves, and whether that is trusted here.

Called by the chains of vCenter and the API server; the console's has its own, since it may lead through a proxy.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ssl

from pcg.diagnosis.probes.answer import About, ProbeAnswer, bounded
from pcg.diagnosis.probes.failure_kinds import kind_of_error
from pcg.network.served_certificate import certificate_words
from pcg.network.trust import Trust

SECONDS = 4.0


async def probe_tls(
    about: About,
    host: str,
    port: int,
    address: str,
    trust: Trust,
    *,
    thumbprint: str = "",
    seconds: float = SECONDS,
) -> ProbeAnswer:
    """`thumbprint` (SHA-256, AB:CD:…) is compared instead of the chain. `address` is where TCP was accepted."""

    async def look(question: ProbeAnswer) -> ProbeAnswer:
        try:
            shown = await served_leaf(address, port, host)
        except (ssl.SSLError, OSError) as error:
            return question.failing("tls-failed", f"no TLS is spoken there: {type(error).__name__}: {error}")
        words = " · ".join(certificate_words(shown))
        if thumbprint:
            if has_fingerprint(shown, thumbprint):
                return question.passed(f"it has the pinned fingerprint · {words}")
            return question.failing("certificate-not-trusted", f"it is not the pinned certificate · {words}")
        try:
            await _handshake(address, port, host, trust.context())
        except ssl.SSLCertVerificationError as error:
            return question.failing(kind_of_error(error), f"{error.verify_message} · {words}")
        return question.passed(words)

    question = ProbeAnswer(about, "tls", f"{host}:{port}", asked=address)
    return await bounded(question, look, seconds, silence="tls-silent")


async def served_leaf(address: str, port: int, host: str) -> bytes:
    """The certificate (DER) that is served there, trusted for nothing. Raises OSError and ssl.SSLError."""
    blind = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    blind.check_hostname = False
    blind.verify_mode = ssl.CERT_NONE
    return await _handshake(address, port, host, blind)


def has_fingerprint(certificate: bytes, thumbprint: str) -> bool:
    """SHA-256 of the DER certificate, given as AB:CD:…"""
    digest = hashlib.sha256(certificate).hexdigest()
    return hmac.compare_digest(digest, thumbprint.replace(":", "").lower())


async def _handshake(address: str, port: int, host: str, context: ssl.SSLContext) -> bytes:
    _, writer = await asyncio.open_connection(address, port, ssl=context, server_hostname=host)
    try:
        shown: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True) or b""
        return shown
    finally:
        writer.transport.abort()
