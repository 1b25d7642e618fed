"""TLS that failed, in words: which certificate was served instead of the expected one, by whom issued, or which clock.

A proxy or firewall that opens TLS serves certificates of its own CA. The console's CA is pinned, so it cannot go
unnoticed; a person must see whose certificate it is to know whom to ask. Called by `http` and `websocket`.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from pcg.errors import Unreachable
from pcg.network.failures import causes

_OTHER_CA = {7, 18, 19, 20, 21}
"""X509_V_ERR_…: signature failure, self-signed (leaf, chain), no issuer (locally, of the leaf); openssl's x509_vfy.h"""

_OTHERS = {
    9: (
        "tls-not-yet-valid",
        "its certificate is not valid yet",
        "Set this machine's clock; if it is right, the other's.",
    ),
    10: ("tls-expired", "its certificate has expired", "Check this machine's clock; if it is right, renew it there."),
    62: ("tls-other-host", "its certificate is for another host", "Use the name that the console's certificate bears."),
    64: (
        "tls-other-host",
        "its certificate is for another address",
        "Use the name that the console's certificate bears.",
    ),
}


async def explain(
    translated: Unreachable,
    error: BaseException,
    target: str,
    served: Callable[[str], Awaitable[bytes | None]],
) -> None:
    """Complete `translated` (hop tls) when a certificate was not accepted; `served` looks at it once more, and may
    raise Unreachable, which is then told as evidence."""
    refusal = next((cause for cause in causes(error) if isinstance(cause, ssl.SSLCertVerificationError)), None)
    if refusal is None:
        return
    if refusal.verify_code in _OTHER_CA:
        translated.reason = "tls-other-ca"
        words = "it shows a certificate of another CA than the expected one"
        remedy = (
            "Something between here and the console seems to open TLS (a proxy, a firewall): let it pass the console's "
            "host unopened. If the issuer is the console's own new CA, pair again with the pin that its page shows."
        )
    elif refusal.verify_code in _OTHERS:
        translated.reason, words, remedy = _OTHERS[refusal.verify_code]
    else:
        return
    parts = urlsplit(target)
    try:
        shown = await served(f"https://{parts.netloc}")
        translated.evidence += certificate_words(shown) if shown else []
    except Unreachable as again:
        translated.evidence.append(f"the certificate could not be looked at: {again.what}")
    translated.what = f"{target} cannot be reached: {words}; nothing was sent to it."
    translated.remedy = [remedy]


def certificate_words(certificate: bytes) -> list[str]:
    """Whose it is, by whom issued, and how long it is valid, of a DER certificate; harmless to a terminal."""
    from cryptography import x509  # here, because jet shall not pay for it

    try:
        read = x509.load_der_x509_certificate(certificate)
        subject, issuer = read.subject.rfc4514_string(), read.issuer.rfc4514_string()
    except ValueError as error:
        return [f"the served certificate cannot be read: {error}"]
    valid = f"{read.not_valid_before_utc:%Y-%m-%d %H:%M} to {read.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
    return [f"served certificate: {_plain(subject)}", f"issued by: {_plain(issuer)}", f"valid: {valid}"]


def _plain(text: str) -> str:
    """A stranger's words without what a terminal would obey."""
    return "".join(symbol if symbol.isprintable() else "?" for symbol in text)[:200]
