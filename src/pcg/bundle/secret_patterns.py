"""What a secret looks like in a line of a log. Pure; `redaction.py` hands in only lines that hold one of `LITERALS`.

A false alarm costs a word of a log, a miss gives a password away: where in doubt, the value goes. The words around it
stay, since a diagnosis reads them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from pcg.errors import InvalidInput
from pcg.sealing import pairing_code

HIDDEN = b"[redacted]"

_CORES = rb"""(?:pass(?:word|wd|phrase)|\bpwd|secret|token|api[_-]?key|access[_-]?key(?:[_-]?id)?|private[_ -]?key
    |client[_-]?key[_-]?data|key[_-]data|credential|pairing[_ -]?code|certificate[_-]?key|encryption[_-]?key
    |session[_-]?(?:id|key)|soap[_-]session|user[_-]?data|x-amz-signature|x-amz-credential|x-goog-signature
    |x-goog-credential)(?:s|[_-]?(?:data|value|hash|base64|b64|string|text|\d{1,2}))?"""
_BENIGN = rb"""(?:true|false|null|nil|<nil>|none|missing|empty|invalid|expired|unknown|rejected|revoked|required
    |incorrect|wrong|not|no|is|was|has|the|an?|could|cannot|failed|error|unauthorized|forbidden|denied|context|dial|get|post|read
    |write|open|x509|signature|/[\w.-]+(?:/[\w.-]+)+)(?=[\s.,;:)\]}"']|$)|\[redacted"""
"""what stands behind `token:` in a sentence, and paths of files"""


def _verbose(pattern: bytes) -> re.Pattern[bytes]:
    return re.compile(pattern, re.IGNORECASE | re.VERBOSE)


_PATTERNS: tuple[tuple[re.Pattern[bytes], bytes], ...] = (
    # A private key whose line ends are escaped, as in JSON; the one over many lines is `redaction.py`'s.
    (_verbose(rb"-----BEGIN\ [A-Z0-9 ]*PRIVATE\ KEY(?:\ BLOCK)?-----.*?-----END\ [A-Z0-9 ]*-----"), HIDDEN),
    # Base64 of `-----BEGIN` (a certificate's stays), of an OpenSSH key's body, and of gzip: user data.
    (re.compile(rb"LS0tLS1CRUdJTiB(?!DRVJU)[A-Za-z0-9+/=\\]*|b3BlbnNzaC1rZXk[A-Za-z0-9+/=\\]*"), HIDDEN),
    (re.compile(rb"H4sI[A-Za-z0-9+/=]{40,}"), HIDDEN),
    # Who may use a URL: before its host, with `/`, `:` or `@` in a password too; also of a proxy without a scheme.
    (re.compile(rb"(://)[^\s/?\#\"'<>]*@"), rb"\1" + HIDDEN + b"@"),
    (re.compile(rb"(://)[^\s/:@\"'<>]+:(?!\d{1,5}(?:[/?\#]|$))[^\s\"'<>]*@"), rb"\1" + HIDDEN + b"@"),
    (re.compile(rb"(?<![\w/.@-])[\w.%+-]+:[^\s@/:\"']+@(?=[\w.-]+:\d)"), HIDDEN + b"@"),
    # A URL's signature or ticket; the parts beside it stay.
    (
        _verbose(rb"([?&][\w.-]*(?:" + _CORES + rb"|signature|sig|key|code|auth|ticket)=)[^\s&\"'<>]+"),
        rb"\1" + HIDDEN,
    ),
    (re.compile(rb"(/nfc/)[0-9A-Za-z-]{8,}"), rb"\1" + HIDDEN),
    # Headers.
    (_verbose(rb"(\bcookie2?\\*[\"']?\s*[:=]\s*\[*\\*[\"'])[^\"']+"), rb"\1" + HIDDEN),
    (_verbose(rb"(\bcookie2?\s*:\s*)(?!\[*\\*[\"']|\[redacted)\S.*"), rb"\1" + HIDDEN),
    (_verbose(rb"(authorization\\*[\"']?\s*[:=]\s*[\[\\\"']*digest\s).*"), rb"\1" + HIDDEN),
    (
        _verbose(
            rb"(authorization\\*[\"']?\s*[:=]\s*[\[\\\"']*(?:(?:bearer|basic|token|negotiate|ntlm)\s+)?+)(?!"
            + _BENIGN
            + rb")[^\s\"'\],\\]+"
        ),
        rb"\1" + HIDDEN,
    ),
    (
        re.compile(
            rb"((?i:\b(?:bearer|basic|negotiate|ntlm))\s+)(?=[^\s\"']*(?:\d|[a-z][A-Z]|=))[A-Za-z0-9+/=._~:-]{8,}"
        ),
        rb"\1" + HIDDEN,
    ),
    # Command lines.
    (
        _verbose(
            rb"(--[\w-]*(?:password|passphrase|token|secret|certificate-key|api-key|pairing-code)(?:=|\s+)[\"']?)(?!"
            + _BENIGN
            + rb"|-)[^\s\"']+"
        ),
        rb"\1" + HIDDEN,
    ),
    (_verbose(rb"((?:\s-u|--(?:proxy-)?user)(?:=|\s*)[\"']?)[^\s\"':]+:[^\s\"']+"), rb"\1" + HIDDEN),
    # A name and its value: JSON (also within JSON), YAML, `name=value`, Go's dumps.
    (
        _verbose(rb"^(\s*(?:-\s+)?[\"']?[\w.-]*pass(?:word|wd|phrase)[\"']?:\s+)(?!" + _BENIGN + rb"|[\"'|>]).*"),
        rb"\1" + HIDDEN,
    ),
    (_verbose(rb"(" + _CORES + rb"\\*[\"']?\s*[:=]\s*\\+[\"'])(?!\[redacted)(?:[^\\\"']|\\\\\\.)+"), rb"\1" + HIDDEN),
    (
        _verbose(rb"(" + _CORES + rb"[\"']?\s{0,3}(?:=>|[:=])\s{0,3}\")(?!\[redacted)(?:[^\"\\]|\\.)+"),
        rb"\1" + HIDDEN,
    ),
    (_verbose(rb"(" + _CORES + rb"[\"']?\s{0,3}(?:=>|[:=])\s{0,3}')(?!\[redacted)[^']+"), rb"\1" + HIDDEN),
    (
        _verbose(
            rb"(" + _CORES + rb"\\*[\"']?\s{0,3}(?:=>|[:=])\s{0,3})(?!" + _BENIGN + rb"|\\*[\"'])"
            rb"(?:[^\s\"']|[\"'](?![\s,}\])]|$))+"
        ),
        rb"\1" + HIDDEN,
    ),
    # What is known by its form alone.
    (re.compile(rb"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)*"), HIDDEN),
    (re.compile(rb"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"), HIDDEN),
    (re.compile(rb"\b(?:pcg|jet)_[A-Za-z0-9_-]{32,}"), HIDDEN),
    (re.compile(rb"\b(?:gh[opsu]_|github_pat_|glpat-|xox[abp]-)[A-Za-z0-9_-]{16,}"), HIDDEN),
    (re.compile(rb"\$(?:1|2[aby]|5|6|y|argon2\w*)\$[^\s\"':,]+"), HIDDEN),
)

LITERALS = frozenset(
    [
        "passw",
        "passphrase",
        "pwd",
        "secret",
        "token",
        "apikey",
        "api_key",
        "api-key",
        "accesskey",
        "access_key",
        "access-key",
        "privatekey",
        "private_key",
        "private-key",
        "keydata",
        "key_data",
        "key-data",
        "credential",
        "pairing",
        "certificatekey",
        "certificate_key",
        "certificate-key",
        "encryptionkey",
        "encryption_key",
        "encryption-key",
        "cookie",
        "sessionid",
        "session_id",
        "session-id",
        "sessionkey",
        "session_key",
        "session-key",
        "soap_session",
        "soap-session",
        "userdata",
        "user_data",
        "user-data",
        "authorization",
        "bearer",
        "basic",
        "negotiate",
        "ntlm",
        "eyj",
        "ls0tls1crudjtib",
        "b3blbnnzac1rzxk",
        "h4si",
        "x-amz-",
        "x-goog-",
        "signature",
        "sig=",
        "key=",
        "code=",
        "auth=",
        "ticket=",
        "akia",
        "asia",
        "/nfc/",
        "$1$",
        "$2a$",
        "$2b$",
        "$2y$",
        "$5$",
        "$6$",
        "$y$",
        "$argon2",
        "pcg_",
        "jet_",
        "gho_",
        "ghp_",
        "ghs_",
        "ghu_",
        "github_pat_",
        "glpat-",
        "xoxa-",
        "xoxb-",
        "xoxp-",
        "@",
        "--user",
    ]
) | {"private key", " -u "}
"""in lower case; of each line that a pattern can change it holds one"""

_BOOTSTRAP = re.compile(rb"\.[a-z0-9]{16}(?![a-z0-9])")
_PAIRING = re.compile(rb"-[0-9A-Za-z]{5}-[0-9A-Za-z]{5}-[0-9A-Za-z]{5}(?![0-9A-Za-z-])")
_SPACED = re.compile(rb"(?<![0-9A-Za-z])[0-9A-Za-z](?:[ -]?[0-9A-Za-z]){19}(?![0-9A-Za-z])")


def hide_secrets(line: bytes) -> bytes:
    """The line with each secret in it replaced. Doing it again changes nothing."""
    for pattern, put in _PATTERNS:
        line = pattern.sub(put, line)
    if b"pairing" in line.lower():
        line = _SPACED.sub(lambda found: HIDDEN if _is_code(found[0]) else found[0], line)
    return line


def hide_codes(block: bytes) -> bytes:
    """Kubernetes bootstrap tokens and pairing codes, wherever they stand: they have no word to be found by."""
    block = _replaced(block, _BOOTSTRAP, 6, lambda code: code[:6].isalnum() and code[:6] == code[:6].lower())
    return _replaced(block, _PAIRING, 5, _looks_like_pairing_code)


def _replaced(block: bytes, ending: re.Pattern[bytes], before: int, secret: Callable[[bytes], bool]) -> bytes:
    """`ending` begins with a fixed byte, which makes the search fast; `before` letters or digits stand ahead of it."""
    parts = list(_cut(block, ending, before, secret))
    return HIDDEN.join(parts) if len(parts) > 1 else block


def _cut(block: bytes, ending: re.Pattern[bytes], before: int, secret: Callable[[bytes], bool]) -> Iterator[bytes]:
    at = 0
    for found in ending.finditer(block):
        start = found.start() - before
        if start < at or block[start - 1 : start].isalnum() or not secret(block[start : found.end()]):
            continue
        yield block[at:start]
        at = found.end()
    yield block[at:]


def _looks_like_pairing_code(code: bytes) -> bool:
    """Also a mistyped one, which lacks a symbol or two; four words of five small letters are none."""
    if not code.replace(b"-", b"").isalnum():
        return False
    return code == code.upper() or any(48 <= symbol < 58 for symbol in code) or _is_code(code)


def _is_code(code: bytes) -> bool:
    try:
        pairing_code.parse(code.decode("ascii"))
    except (InvalidInput, UnicodeDecodeError):
        return False
    return True
