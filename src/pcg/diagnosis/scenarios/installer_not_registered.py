"""The installer runs but does not become a gateway of the console (seed): endpoint, code, network, proxy, trust,
artifacts.

Judged on the installer's own log, cloud-init-output.log. Only what was before the registration counts; a console that
is lost afterwards is `gateway-disconnected`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pcg.diagnosis.facts import Facts
from pcg.diagnosis.hops import peer_findings
from pcg.diagnosis.log_context import MILESTONES, towards_artifact, towards_console
from pcg.diagnosis.log_files import Kind
from pcg.diagnosis.log_network import ANY_FAILURE, network_causes
from pcg.diagnosis.log_rules import GUEST, Cause, LogRules, Signature
from pcg.diagnosis.probes.answer import About
from pcg.diagnosis.way_causes import way_cause, way_finding
from pcg.model.records import Finding
from pcg.model.states import Severity

SCENARIO = "installer-not-registered"
SILENCED_BY: tuple[str, ...] = ("address-not-assigned",)

_CURES = (*MILESTONES["registered"], *MILESTONES["session-up"])
_CURED = "The log says that the gateway is registered, and the console shows it as Pending."
_NEW_CODE = ("Issue a new pairing code in the console and give it to the installer.",)
_CODE = r"(?:pairing|registration|join) ?-?(?:code|token)\b"

_INPUT = (
    Cause(
        name="endpoint-trailing-slash",
        summary="The console's endpoint was given with a trailing slash.",
        tells="the endpoint as it was given ends with a slash, or a path with two slashes was asked for",
        signs=(
            Signature(
                r"\bendpoint\b.{0,80}trailing slash|trailing slash.{0,80}\bendpoint|https?://[\w.:-]+//(?:api"
                r"|v1|register|ping|gateways|auth)\b"
                r"|\bendpoint\b\W{1,4}https?://[\w.:-]+/[\"']?(?:\s.{0,40}(?:invalid|not allowed|must not"
                r"|refused|rejected|error|fail))",
                kinds=GUEST,
                unless=r"normali[sz]ed|removed|taken off|ignored|stripped",
            ),
        ),
        remedy=("Give the endpoint without the slash at its end, and launch the installer again.",),
        cured_by=_CURES,
        cured=_CURED,
        excludes=("registered",),
    ),
    Cause(
        name="endpoint-invalid",
        summary="The console's endpoint is no usable address.",
        tells="the installer refuses the endpoint as given, or the address has no host, an unknown scheme "
        "or the scheme twice",
        signs=(
            Signature(
                r"(?:invalid|malformed|unsupported|wrong|bad|not a valid|unusable) (?:console "
                r"|palette )?endpoint|\bendpoint\b[^:]{0,60}(?:is wrong|is not|is invalid|is malformed"
                r"|has no host|invalid|malformed|cannot be parsed|must (?:be|start|begin))"
                r"|\bendpoint\b.{0,120}(?:unsupported protocol scheme|first path segment in URL"
                r"|missing protocol scheme|no host in request|invalid (?:port|character|URL|host))"
                r"|bad endpoint|curl: \((?:1|3)\)|(?:bad/illegal format|malformed).{0,20}\bURL|URL using bad"
                r"|No host part in the URL|protocol \"?\S+\"? (?:is )?not supported"
                r"|(?:palette|console|register).{0,60}(?:unsupported protocol scheme|missing protocol scheme"
                r"|no host in request URL)",
                kinds=GUEST,
                unless=r"proxy|v-?center|normali[sz]ed|/sdk|\.ova|controlPlaneEndpoint|kubeadm|containerd|runtime",
            ),
        ),
        remedy=("Correct the endpoint property (https://console.example.com), and launch the installer again.",),
        cured_by=_CURES,
        cured=_CURED,
        excludes=("registered",),
    ),
    *(
        Cause(
            name=f"pairing-code-{name}",
            summary=summary,
            tells=tells,
            signs=(Signature(pattern, kinds=GUEST, unless=unless),),
            remedy=remedy,
            cured_by=_CURES,
            cured=_CURED,
            excludes=("registered",),
        )
        for name, summary, tells, pattern, unless, remedy in (
            (
                "mistyped",
                "The pairing code was mistyped: its check symbols do not fit.",
                "the code's own check symbols fail, known without a network call",
                rf"{_CODE}.{{0,60}}(?:mistyped|check ?(?:symbol|digit|sum)|checksum|malformed|wrong length"
                rf"|not well.formed|illegal character|has \d+ (?:symbols|characters)|typo|bad format"
                rf"|invalid (?:format|character|length))"
                rf"|(?:malformed|mistyped|ill-formed) {_CODE}|check symbols? .{{0,40}}(?:not|fail|wrong)",
                r"expired|already",
                ("Type the pairing code again, as the console shows it.",),
            ),
            (
                "expired",
                "The pairing code has expired.",
                "the console's answer, with when it expired",
                (
                    rf"{_CODE}.{{0,80}}(?:expired|too old|no longer valid|validity (?:is )?over|lapsed)"
                    rf"|expired {_CODE}|pairing-code-expired"
                ),
                r"expires (?:in|at)|will expire|not expired",
                _NEW_CODE,
            ),
            (
                "used",
                "The pairing code was used before, by another installer.",
                "the console's answer, with when and by which installer it was used",
                (
                    rf"{_CODE}.{{0,80}}(?:already (?:been )?(?:used|redeemed|consumed|claimed)|was used"
                    rf"|has been used|been redeemed|used (?:up|by)|consumed)|pairing-code-used|already paired"
                ),
                r"can be used|not (?:been |yet )?used|may be used",
                _NEW_CODE,
            ),
            (
                "unknown",
                "The console does not know the pairing code, or withdrew it.",
                "the console's answer",
                rf"{_CODE}.{{0,80}}(?:unknown|not (?:be )?(?:known|found|recogni[sz]ed|valid|accepted|exist)"
                rf"|no such|does(?: not|n't) (?:exist|know|match)|invalid|revoked|withdrawn|rejected|denied"
                rf"|incorrect)"
                rf"|(?:unknown|invalid|incorrect|no such|wrong|unrecogni[sz]ed|does not know (?:this"
                rf"|the)) {_CODE}|pairing-code-(?:unknown|revoked)|failed to pair\b|pairing (?:failed|rejected"
                rf"|refused|denied)",
                r"expired|used|check|malformed|could not be read|timed out|refused the connection|connection",
                ("Check that the code was made for this console.", *_NEW_CODE),
            ),
        )
    ),
)

_LATER = (
    Cause(
        name="artifact-download-failed",
        summary="An installation artifact could not be fetched.",
        tells="which artifact, and the status or checksum that was answered",
        signs=(
            Signature(
                r"bootstrap: (?:artifacts|release-manifest): try|(?:artifact|manifest|release|package|bundle"
                r"|installer image)\b.{0,120}(?:could not be|cannot be|failed|HTTP [45]\d\d|\b40[34]\b"
                r"|not found|mismatch|does not (?:match|verify|fit))"
                r"|(?:failed|unable|could not|cannot) (?:to )?(?:be )?(?:download|fetch|pull|retrieve)(?:ed"
                r"|ing)?\b|download(?:ing)? .{0,120}(?:failed|error|HTTP [45]\d\d|\b40[34]\b)|download failed"
                r"|ERROR (?:40[0-9]|5\d\d): |checksum (?:mismatch|did not match|does not match)"
                r"|sha256sum: WARNING|ErrImagePull|The requested URL returned error: \d+",
                kinds=frozenset({Kind.OUTPUT, Kind.OTHER, Kind.SYSLOG}),
                unless=r"\.ova\b|\.vmdk\b|template|v-?center|ubuntu\.com|debian\.org|\bapt\b|/nfc/|kubelet|guestinfo"
                r"|will (?:re)?try|metadata|cluster-info|kubeadm-config|pairing|lease|kubeconfig",
            ),
            Signature(ANY_FAILURE, kinds=frozenset({Kind.OUTPUT, Kind.OTHER}), where=towards_artifact),
        ),
        remedy=(
            "Allow outbound HTTPS to the host that the artifact comes from.",
            "Check the address of the artifact; 404 means that this release has none there.",
        ),
        cured_by=(
            Signature(
                r"bootstrap: (?:artifacts|manager): done|artifacts? (?:was |were )?(?:all )?(?:fetched"
                r"|verified|downloaded)|successfully (?:downloaded|pulled|fetched|verified)"
                r"|download (?:complete|succeeded|finished)|downloaded successfully|saved \[\d+",
                kinds=GUEST,
            ),
        ),
        cured="The log says that all artifacts were fetched and verified.",
    ),
    Cause(
        name="registration-overdue",
        summary="The installer has not registered within the usual five to ten minutes; it goes on trying.",
        tells="ten minutes have passed, and which bootstrap step took most of them",
        severity=Severity.WARNING,
        weak=True,
        signs=(
            Signature(
                (
                    r"registration-overdue|not registered after \d+ minutes|registration (?:is )?(?:taking longer"
                    r"|overdue|still pending|has not completed)|still (?:not registered|waiting for registration"
                    r"|trying to register)"
                ),
                kinds=GUEST,
            ),
        ),
        remedy=("See what the step that took longest waits for: name, route, proxy, clock.",),
        cured_by=_CURES,
        cured=_CURED,
    ),
)

LOGS = LogRules(
    causes=(
        *_INPUT,
        *network_causes(towards_console, "the console", _CURES, cured=_CURED, excludes=("registered",)),
        *_LATER,
    ),
    needs=frozenset({Kind.OUTPUT, Kind.OTHER}),
    missing="the installer's /var/log/cloud-init-output.log",
    silenced_by=SILENCED_BY,
)

KNOWN_BEFORE: Mapping[str, str] = {
    **{
        cause.name: "With `pcg doctor` on the installer's machine, before it is started or after: it asks each hop."
        for cause in LOGS.causes
    },
    "endpoint-trailing-slash": "While typing: it is taken off, with a notice.",
    "endpoint-invalid": "While typing: refused before any network call (exit code 2).",
    "pairing-code-mistyped": "While typing: refused by its check symbols before any network call (exit code 2).",
    "pairing-code-expired": "Not: the console decides it. Until when a code is good stands beside it.",
    "pairing-code-used": "Not: the console decides it.",
    "pairing-code-unknown": "Not: the console decides it.",
    "proxy-invalid": (
        "While typing: refused before any network call (exit code 2); the nodes' proxies by the console too."
    ),
    "artifact-download-failed": "Not: `pcg ports` names the host that must be let through.",
    "registration-overdue": "Not: it is told by what the installer waits for.",
}
"""by cause: how it is told before it happens"""

_FETCHED = ("release-manifest", "artifacts")
"""steps of the bootstrap after the registration"""


def examine(facts: Facts) -> Iterator[Finding]:
    way = facts.way
    if way is None:
        return
    notices = [way_finding(SCENARIO, LOGS, notice.reason, way, notice) for notice in way.notices]
    # A notice is expected: worth telling while it is new, never a warning.
    yield from (found.model_copy(update={"severity": Severity.INFO}) for found in notices if found)
    found = None
    trouble = way.trouble or way.by_polling
    if trouble is not None:
        if not way.registered:
            found = way_finding(SCENARIO, LOGS, way_cause(trouble) or trouble.reason, way, trouble)
        elif way.step in _FETCHED:
            found = way_finding(SCENARIO, LOGS, "artifact-download-failed", way, trouble)
        elif not way.upgraded and way_cause(trouble) == "websocket-blocked":
            found = way_finding(SCENARIO, LOGS, "websocket-blocked", way, trouble)
    if found is None and way.overdue is not None and not way.registered:
        found = way_finding(SCENARIO, LOGS, "registration-overdue", way, way.overdue)
    if found is not None:
        yield found


PROBED = (About.CONSOLE,)
CLEAR_WHEN_PASSED = (About.CONSOLE,)


def probed(facts: Facts) -> Iterator[Finding]:
    if facts.installer is not None and not facts.installer.registered:
        yield from peer_findings(SCENARIO, LOGS, facts, About.CONSOLE, cured=_CURED)
