"""Reaching a private cloud's API and trusting exactly the server that the person named: by thumbprint, CA or system.

Used by the drivers before they log in, so that name, connect and TLS are told apart. Everything here blocks and is
called in a thread. `unreachable` makes the driver's own Unreachable from the hop (name, connect, tls), the original
error and a reason.
"""

from __future__ import annotations

import hashlib
import hmac
import socket
import ssl
from typing import Protocol

from pcg.clouds.base import Login
from pcg.errors import Unreachable
from pcg.network.trust import Trust

CONNECT_TIMEOUT = 10.0
"""seconds"""


class MakeUnreachable(Protocol):
    def __call__(self, hop: str, error: Exception, *, reason: str = "") -> Unreachable: ...


def server_context(host: str, port: int, login: Login, unreachable: MakeUnreachable) -> ssl.SSLContext:
    """A client's context that has shaken hands with the server once. Raises Unreachable with the hop that failed.

    A thumbprint is compared with the presented certificate first; then that certificate alone is trusted.
    """
    server = _Server(host, port, unreachable)
    server.reach()
    if login.thumbprint:
        presented = server.presented()
        if not hmac.compare_digest(_digest(presented), login.thumbprint.replace(":", "").lower()):
            raise _mismatch(unreachable, login.thumbprint, presented)
        context = Trust.only_leaf(ssl.DER_cert_to_PEM_cert(presented)).context()
        # Python 3.13 turns this on; a certificate that a person pinned need not be well formed as a CA's.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    elif login.ca:
        context = Trust.only_ca(login.ca).context()
    else:
        context = Trust.system().context()
    try:
        server.shake_hands(context)
    except ssl.SSLCertVerificationError as error:
        raise _untrusted(server, unreachable, error) from error
    except OSError as error:
        raise unreachable("tls", error) from error
    return context


def thumbprint_of(certificate: bytes) -> str:
    """SHA-256 of a DER certificate as `AB:CD:…`."""
    digest = _digest(certificate).upper()
    return ":".join(digest[i : i + 2] for i in range(0, len(digest), 2))


class _Server:
    def __init__(self, host: str, port: int, unreachable: MakeUnreachable) -> None:
        self._host = host
        self._port = port
        self._unreachable = unreachable

    def reach(self) -> None:
        """Name and connect, so that their failures are not taken for others."""
        try:
            socket.create_connection((self._host, self._port), timeout=CONNECT_TIMEOUT).close()
        except socket.gaierror as error:
            raise self._unreachable("name", error) from error
        except OSError as error:
            raise self._unreachable("connect", error) from error

    def presented(self) -> bytes:
        """The certificate that the server shows, trusted for nothing: it is compared, then used as the only anchor."""
        blind = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        blind.check_hostname = False
        blind.verify_mode = ssl.CERT_NONE
        try:
            return self.shake_hands(blind)
        except OSError as error:
            raise self._unreachable("tls", error) from error

    def shake_hands(self, context: ssl.SSLContext) -> bytes:
        with (
            socket.create_connection((self._host, self._port), timeout=CONNECT_TIMEOUT) as plain,
            context.wrap_socket(plain, server_hostname=self._host) as secured,
        ):
            return secured.getpeercert(binary_form=True) or b""


def _mismatch(unreachable: MakeUnreachable, wanted: str, presented: bytes) -> Unreachable:
    error = unreachable("tls", ssl.SSLError("the certificate is not the pinned one"), reason="thumbprint-mismatch")
    error.evidence += [f"pinned: {wanted.upper()}", f"presented: {thumbprint_of(presented)}"]
    error.fields |= {"wanted": wanted.upper(), "presented": thumbprint_of(presented)}
    error.remedy = [
        "If the server's certificate was renewed, compare the presented thumbprint on the server itself "
        "and configure it; if not, somebody stands in between."
    ]
    return error


def _untrusted(server: _Server, unreachable: MakeUnreachable, error: ssl.SSLCertVerificationError) -> Unreachable:
    failure = unreachable("tls", error, reason="certificate-untrusted")
    failure.fields |= {"verify-code": str(error.verify_code), "verify-message": str(error.verify_message)}
    try:
        failure.fields["presented"] = thumbprint_of(server.presented())
        failure.evidence.append(f"presented: {failure.fields['presented']}")
    except Unreachable:
        pass  # the thumbprint would only have been a convenience
    return failure


def _digest(certificate: bytes) -> str:
    return hashlib.sha256(certificate).hexdigest()
