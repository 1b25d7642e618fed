"""The ways in which a connection fails, as Go, curl, OpenSSL, Python, Node and systemd say them. The scenarios
about the console, vCenter and the image's source take what they need from here; the peer is told by `log_context`.

Order is precedence: a name that a proxy could not resolve is the proxy's, an expired certificate is not a refusal.
"""

from __future__ import annotations

from dataclasses import dataclass

from pcg.diagnosis.log_rules import Cause, Signature, Where

_PROXY_INVALID = (
    r"\bhttps?://https?:?//|invalid proxy|proxy (?:url|address|setting|is wrong"
    r"|is invalid)[^:]*(?:invalid|wrong|malformed|unsupported|missing)"
    r"|the proxy is wrong|unsupported proxy (?:scheme|syntax)|unknown (?:url )?scheme.{0,40}proxy"
    r"|proxy.{0,60}(?:first path segment in url|invalid (?:port|character|url|uri)|missing (?:host"
    r"|scheme)|unknown scheme|malformed)"
    r"|malformed.{0,40}proxy|(?:parse|parsing).{0,20}proxy.{0,60}(?:invalid|missing|error|fail)"
    r"|proxyconnect tcp: dial tcp: lookup https?\b|could not resolve proxy: https?\b"
)
_PROXY_AUTHENTICATION = (
    r"\b407\b|proxy.authentication.required|proxy.{0,40}(?:asks for|wants"
    r"|does not accept).{0,40}(?:user|authentication)|response 407"
    r"|authenticationrequired.{0,20}proxy"
)
_PROXY_REFUSED = (
    r"HTTP code \d+ from proxy|CONNECT tunnel failed|tunnel connection failed"
    r"|proxy connect aborted|proxy.{0,60}(?:forbids|forbidden|denied|blocked|prohibits)"
    r"|the proxy did not connect us|proxy answered: HTTP [45]\d\d|proxyconnect tcp: (?:EOF"
    r"|.{0,20}(?:forbidden|bad gateway|service unavailable))"
    r"|response [45]\d\d.{0,30}(?:from|by).{0,10}proxy|cannot connect to proxy.{0,80}(?:tunnel|forbidden|403|50[234])"
    r"|X-Squid-Error|ERR_ACCESS_DENIED|squid.{0,40}denied"
)
_PROXY_UNREACHABLE = (
    r"proxyconnect tcp|could not resolve proxy|cannot connect to proxy"
    r"|unable to connect to (?:the )?proxy|failed to connect to (?:the )?proxy|socks connect"
    r"|(?:proxy|PROXY)\b.{0,120}(?:refused|timed? ?out|unreachable|no route to host"
    r"|could not be resolved|no such host|not known|did not answer|no connection to)"
    r"|no connection to the proxy|ProxyError"
)
INTERCEPTING = (
    r"sent GOAWAY and closed the connection|(?:issuer|issued by|CN ?=|O ?=|authority|signed by"
    r"|chain).{0,120}\b(?:zscaler|forti(?:net|gate|guard)|palo ?alto|blue ?coat"
    r"|netskope|squid|mcafee|trellix|sophos|check ?point|barracuda|umbrella|sonicwall|watchguard"
    r"|websense|forcepoint|broadcom proxysg|inspection|intercept\w*|ssl.?decrypt\w*|mitm\w*"
    r"|decrypt\w*)"
    r"|\b(?:zscaler|fortigate|blue ?coat|netskope|mitmproxy)\b.{0,60}(?:certificate|issuer|CA\b)"
    r"|tls.{0,20}intercept|intercept.{0,30}(?:tls|ssl|certificate)"
)
_NOT_YET = (
    r"current time \S+ is before|certificate (?:is )?not (?:yet valid|valid yet)|not valid yet"
    r"|not yet valid(?!: current time \S+ is after)"
    r"|verify error:num=9\b|notBefore.{0,20}(?:future|later)|certificate becomes valid"
    r"|CERT_NOT_YET_VALID|is not valid before"
)
_EXPIRED = (
    r"current time \S+ is after|certificate (?:has |is )?expired(?! or)|expired certificate"
    r"|verify error:num=10\b|certificate.{0,60}expired (?:on|at)|CERT_HAS_EXPIRED"
    r"|certificate expired"
)
_NOT_TRUSTED = (
    r"unknown authority|unable to get (?:local )?issuer|self.signed certificate"
    r"|CERTIFICATE_VERIFY_FAILED|verify error:num=(?:18|19|20|21|2)\b"
    r"|certificate (?:is )?not trusted|untrusted (?:root|certificate|ca)"
    r"|unable to verify the first certificate|SEC_ERROR_UNKNOWN_ISSUER|UNKNOWN_CA|unknown ca\b"
    r"|curl: \(60\)|cacerts checksum|ca-checksum|doesn't match (?:the )?(?:ca )?pin"
    r"|does not match (?:the )?(?:ca.?)?pin|tlsv1 alert unknown ca"
    r"|certificate signed by unknown|failed to verify certificate|certificate verify failed"
    r"|not issued by.{0,40}(?:pin|CA)|server certificate verification failed"
    r"|certificate is valid for .{0,200}, not |doesn't contain any IP SANs|hostname.{0,10}mismatch"
    r"|no alternative certificate subject name matches"
)
_NAME = (
    r"no such host|could not resolve|couldn't resolve|name or service not known"
    r"|temporary failure in name resolution|nodename nor servname|server misbehaving"
    r"|\bNXDOMAIN\b|\bSERVFAIL\b|ENOTFOUND|EAI_AGAIN|getaddrinfo|gaierror"
    r"|no address associated with hostname|unable to resolve|cannot resolve|failed to resolve"
    r"|name could not be resolved|resolving timed out|name resolution (?:failed|error|failure)"
    r"|NameResolutionError|lookup \S+ on \S+: (?:read|dial|write)"
    r"|lookup \S+: i/o timeout|no servers could be reached|bad address '|hop=name"
)
_REFUSED = (
    r"connection refused|ECONNREFUSED|connection was refused|refused the connection"
    r"|actively refused|Errno 111|refused to connect|refused our connection"
    r"|after \d{1,3} ms: (?:couldn't|could not) connect to server|connect call failed"
)
_TIMED_OUT = (
    r"i/o timeout|connection timed out|operation timed out|timed out|deadline exceeded"
    r"|Client\.Timeout exceeded|ETIMEDOUT|Errno 110|no route to host|EHOSTUNREACH"
    r"|network is unreachable|ENETUNREACH|host is unreachable|host unreachable|connection timeout"
    r"|handshake timeout|curl: \((?:7|28)\)|couldn't connect to server"
    r"|could not connect to server|ConnectTimeout|TimeoutError|no answer (?:came )?within"
    r"|is not accessible|hop=connect|no connection could be made"
    r"|connection reset by peer|ECONNRESET|curl: \((?:35|52|56)\)|unexpected EOF"
    r"|network unreachable|(?:failed|unable|could not|cannot) (?:to )?connect to"
)
_WEBSOCKET = (
    r"websocket: bad handshake|websocket.{0,80}(?:refused|blocked|rejected|failed|did not pass"
    r"|does not pass|not upgraded|HTTP [2345]\d\d|\b(?:200|400|403|404|426|50[0234])\b)"
    r"|upgrade.{0,60}(?:refused|blocked|stripped|removed|not pass|rejected|missing|ignored|failed"
    r"|426)|expected (?:handshake|101).{0,40}"
    r"|unexpected (?:server )?response(?: code)?: [2345]\d\d"
    r"|(?:goes|going|go) on by long polling|fall(?:s|ing)? back to long.polling|hop=websocket"
    r"|Connection: Upgrade.{0,40}(?:missing|stripped)"
)


@dataclass(frozen=True)
class _Kin:
    cause: str
    pattern: str
    summary: str
    remedy: tuple[str, ...]
    tells: str
    unless: str = ""


_KINS = (
    _Kin(
        "proxy-invalid",
        _PROXY_INVALID,
        "The proxy setting is no usable URL, so {peer} cannot be reached.",
        ("Correct the proxy URL: one scheme, host and port (http://proxy.example.com:3128).",),
        "a scheme typed twice, or a URL that cannot be read, in the proxy settings",
    ),
    _Kin(
        "proxy-authentication-required",
        _PROXY_AUTHENTICATION,
        "The proxy asks for a user and a password before it leads to {peer}.",
        ("Give the proxy's user and password, or exempt {peer} in NO_PROXY.",),
        "the proxy's answer 407",
    ),
    _Kin(
        "proxy-refused",
        _PROXY_REFUSED,
        "The proxy refuses to connect to {peer}.",
        (
            "Allow CONNECT to {peer} on port 443 in the proxy's rules.",
            "If it can be reached directly, name it in NO_PROXY.",
        ),
        "the proxy's own refusal (403, 502, 503)",
    ),
    _Kin(
        "proxy-unreachable",
        _PROXY_UNREACHABLE,
        "The proxy that should lead to {peer} cannot be reached.",
        ("Correct the proxy's address and port.", "Open the path from this machine to the proxy."),
        "the connection to the proxy itself fails",
    ),
    _Kin(
        "tls-intercepted",
        INTERCEPTING,
        "Something between here and {peer} opens the TLS connection and serves a certificate of its own.",
        ("Exempt {peer} from TLS inspection.", "Or add the inspecting CA to the trusted ones."),
        "the issuer that was served belongs to an inspecting device, or HTTP/2 is broken by one",
    ),
    _Kin(
        "certificate-not-valid-yet",
        _NOT_YET,
        "The certificate of {peer} is not valid yet by this machine's clock.",
        ("Set this machine's clock (NTP servers, UDP 123).", "Check from when the certificate is valid."),
        "the certificate's first day lies after the clock's time",
    ),
    _Kin(
        "certificate-expired",
        _EXPIRED,
        "The certificate of {peer} has expired by this machine's clock.",
        ("Renew the certificate.", "Check this machine's clock."),
        "the certificate's last day lies before the clock's time",
    ),
    _Kin(
        "certificate-not-trusted",
        _NOT_TRUSTED,
        "The certificate of {peer} is not trusted here.",
        (
            "Add the CA that signed it to the trusted ones (ca-pin, ca-file, trust).",
            "Check that the address leads to the right server.",
        ),
        "the chain does not end in a CA that is known here, or names another host",
    ),
    _Kin(
        "websocket-blocked",
        _WEBSOCKET,
        "HTTPS to {peer} passes, but the upgrade to a WebSocket does not.",
        ("Allow WebSocket upgrades to {peer} in the proxy or firewall.", "Until then it goes on by long polling."),
        "plain HTTPS is answered, the upgrade is not",
    ),
    _Kin(
        "name-not-resolved",
        _NAME,
        "The name of {peer} cannot be resolved.",
        (
            "Check the name, and the name servers that this machine was given.",
            "Open UDP and TCP 53 to the name server.",
        ),
        "the resolver's answer",
    ),
    _Kin(
        "connection-refused",
        _REFUSED,
        "{peer} refuses the connection.",
        ("Check the address and port.", "See whether a firewall rejects outbound 443, and that the service runs."),
        "a refusal, at once",
    ),
    _Kin(
        "connection-timed-out",
        _TIMED_OUT,
        "{peer} does not answer.",
        ("Open outbound TCP 443 to {peer}.", "Check this machine's route and gateway."),
        "no answer at all, or no route",
    ),
)


def network_causes(
    where: Where,
    peer: str,
    cured_by: tuple[Signature, ...],
    *,
    cured: str,
    only: tuple[str, ...] = (),
    requires: tuple[str, ...] = (),
    excludes: tuple[str, ...] = (),
    at_least: int = 1,
) -> tuple[Cause, ...]:
    """One cause for each way to fail, towards the peer that `where` recognises."""

    def causes() -> list[Cause]:
        return [
            Cause(
                name=kin.cause,
                summary=_capital(kin.summary.format(peer=peer)),
                remedy=tuple(line.format(peer=peer) for line in kin.remedy),
                signs=(Signature(kin.pattern, where=where, unless=kin.unless, at_least=at_least),),
                tells=kin.tells,
                cured_by=cured_by,
                cured=cured,
                requires=requires,
                excludes=excludes,
            )
            for kin in _KINS
            if not only or kin.cause in only
        ]

    return tuple(causes())


ANY_FAILURE = "|".join(kin.pattern for kin in _KINS)
"""a connection failed, in whatever way"""


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
