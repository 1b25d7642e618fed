"""How a hop failed, in the field's standard terms, from what `pcg.network` raised.

Most are the names of causes in the scenarios (`connection-refused`, `proxy-authentication-required`, …); the others are
finer, and `pcg.diagnosis.hops` says which cause they lead to.
"""

from __future__ import annotations

import errno
import socket
import ssl

from pcg.errors import Unreachable
from pcg.network.failures import causes

BY_REASON = {
    "name-not-resolved": "name-not-resolved",
    "connection-refused": "connection-refused",
    "connection-timed-out": "connection-timed-out",
    "no-route": "no-route",
    "proxy-authentication-needed": "proxy-authentication-required",
    "proxy-authentication-unsupported": "proxy-authentication-required",
    "proxy-credentials-wrong": "proxy-authentication-required",
    "proxy-refuses": "proxy-refused",
    "proxy-cannot-resolve": "proxy-refused",
    "proxy-cannot-connect": "proxy-refused",
    "proxy-name": "proxy-unreachable",
    "proxy-silent": "proxy-unreachable",
    "proxy-closed": "proxy-refused",
    "proxy-tls": "proxy-unreachable",
    "proxy-is-none": "proxy-refused",
    "unreachable-proxy": "proxy-unreachable",
    "tls-other-ca": "certificate-not-trusted",
    "tls-other-host": "certificate-of-another-host",
    "tls-expired": "certificate-expired",
    "tls-not-yet-valid": "certificate-not-valid-yet",
    "websocket-timed-out": "websocket-blocked",
    "unreachable-websocket": "websocket-blocked",
    "not-a-console": "not-a-console",
}
"""reason of an error of ours: kind"""

_BY_NUMBER = {
    errno.ECONNREFUSED: "connection-refused",
    errno.ETIMEDOUT: "connection-timed-out",
    errno.ENETUNREACH: "no-route",
    errno.EHOSTUNREACH: "no-route",
    errno.ENETDOWN: "no-route",
    errno.EHOSTDOWN: "no-route",
    errno.ECONNRESET: "connection-reset",
    errno.EPIPE: "connection-reset",
    errno.EACCES: "not-permitted",
    errno.EPERM: "not-permitted",
}

_BY_VERIFY_CODE = {
    9: "certificate-not-valid-yet",
    10: "certificate-expired",
    62: "certificate-of-another-host",
    64: "certificate-of-another-host",
}
"""X509_V_ERR_CERT_NOT_YET_VALID, …_CERT_HAS_EXPIRED, …_HOSTNAME_MISMATCH, …_IP_ADDRESS_MISMATCH (openssl's x509_vfy.h);
any other: not trusted"""


def kind_of_error(error: BaseException) -> str:
    """Of an Unreachable by its reason, of anything else by what lies in its chain."""
    if isinstance(error, Unreachable):
        kind = BY_REASON.get(error.reason) or _of_chain(causes(error))
        return kind or ("tls-failed" if error.fields.get("hop") == "tls" else error.reason)
    return _of_chain(causes(error)) or "failed"


def _of_chain(chain: list[BaseException]) -> str:
    for cause in chain:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _BY_VERIFY_CODE.get(cause.verify_code, "certificate-not-trusted")
        if isinstance(cause, socket.gaierror):
            return "name-not-resolved"
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLWantReadError | ssl.SSLWantWriteError):
            # Those two only tell that it was waited for the peer when the time was over.
            return "tls-failed"
    for cause in chain:
        if isinstance(cause, OSError) and cause.errno in _BY_NUMBER:
            return _BY_NUMBER[cause.errno]
        if isinstance(cause, TimeoutError):
            return "connection-timed-out"
        if isinstance(cause, ConnectionResetError | EOFError):
            return "connection-reset"
    return ""
