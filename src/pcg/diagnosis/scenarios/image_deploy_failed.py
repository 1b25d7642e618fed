"""`failed to deploy image: Failed to create govomiClient` (seed): vCenter's address, the way there, or the login,
before there is a template. Later the same trouble is `provisioning-stalled`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pcg.diagnosis.facts import Facts, finding_of
from pcg.diagnosis.hops import peer_findings
from pcg.diagnosis.log_context import of_the_gateway, towards_vcenter
from pcg.diagnosis.log_files import Kind
from pcg.diagnosis.log_network import ANY_FAILURE
from pcg.diagnosis.log_rules import Cause, LogRules, Signature
from pcg.diagnosis.probes.answer import About
from pcg.model.configuration import strip_scheme
from pcg.model.records import Evidence, Finding
from pcg.model.states import Severity, StepName

SCENARIO = "image-deploy-failed"
SILENCED_BY: tuple[str, ...] = ("address-not-assigned",)

_TRUST = ("certificate-untrusted", "thumbprint-mismatch")
_LOGIN = ("credentials-rejected", "password-expired")


def examine(facts: Facts) -> Iterator[Finding]:
    if facts.vcenter_typed is not None:
        yield _taken_off(facts, facts.vcenter_typed)
    if facts.done(StepName.TEMPLATE):
        return
    for step, problem in facts.problems(StepName.CONNECT, StepName.PREFLIGHT, StepName.TEMPLATE):
        # An image's source has an address of its own, and a scenario of its own.
        unreachable = problem.reason.startswith(("vcenter-unreachable", "data-center-unreachable"))
        if problem.reason in _LOGIN:
            cause, cured = "vcenter-login-failed", "The gateway logs in with the password that was given anew."
        elif unreachable or problem.reason in _TRUST:
            cause, cured = "vcenter-unreachable", "The step connect is done."
        else:
            continue
        yield finding_of(SCENARIO, cause, step, problem, summary=problem.what, cured=cured)
        return


def _taken_off(facts: Facts, typed: str) -> Finding:
    """Where it is typed here nothing fails: a notice, until somebody gives the address alone."""
    cause = next(cause for cause in LOGS.causes if cause.name == "vcenter-address-has-scheme")
    return Finding(
        scenario=SCENARIO,
        cause=cause.name,
        severity=Severity.INFO,
        since=facts.now,
        summary=f"{cause.summary} It was taken off, and nothing else is wrong with it.",
        evidence=[Evidence(source="configuration", text=str(strip_scheme(typed)[1]))],
        remedy=list(cause.remedy),
        link=f"docs/scenarios.md#{SCENARIO}",
        cured="A configuration with the address alone is given.",
        step=StepName.VALIDATE_CONFIGURATION,
    )


_CURES = (
    Signature(
        (
            r"(?:created|established|opened) (?:the |a )?(?:vcenter|vsphere|govm?omi) (?:session|client)"
            r"|step (?:connect|preflight|template)\W+(?:is )?done|(?:connect|template): done"
            r"|logged in(?: to)? (?:the )?(?:vcenter|vsphere)?|successfully (?:deployed|imported|connected"
            r"|logged in|created (?:the )?(?:vcenter|vsphere|govm?omi))|image (?:was )?deployed"
        ),
        unless=r"not logged|fail",
    ),
)
_CURED = "The steps connect and template are done."

LOGS = LogRules(
    causes=(
        Cause(
            name="vcenter-address-has-scheme",
            summary="vCenter's address was given with https:// or http:// before it.",
            tells="the scheme stands twice in the address, or a host named `https` is looked up. Typed here, it is "
            "taken off: a notice (info) says so until the address is given alone",
            signs=(
                Signature(
                    r"https?://https?:?/{0,2}(?!\S*proxy).{0,200}(?:/sdk|no such host|lookup|govm?omi|vcenter"
                    r"|vsphere|unreachable|invalid|failed|error)|lookup https?\b(?: on|:).{0,80}"
                    r"|dial tcp: lookup https?\b|v-?center\b.{0,80}(?:must not|should not|without|may not|contains"
                    r"|has|starts with|begins with|remove).{0,40}(?:scheme|https?://)|https//|https?%3A%2F%2F"
                    r"|(?:vcenter|govm?omi|vsphere|/sdk).{0,200}(?:first path segment in URL"
                    r"|too many colons in address|invalid port \S{0,4}//)",
                    unless=r"proxy|\bconsole\b|palette|normali[sz]ed|taken off",
                ),
            ),
            remedy=("Remove https:// or http:// from the vCenter address: host, or host:port.",),
            cured_by=_CURES,
            cured=_CURED,
        ),
        Cause(
            name="vcenter-login-failed",
            summary="vCenter does not accept the account or its password.",
            tells="vCenter answers, and refuses the login",
            signs=(
                Signature(
                    r"cannot complete login|InvalidLogin|incorrect user ?name or password|(?:vcenter|vsphere"
                    r"|govm?omi|sdk)\b.{0,200}(?:account .{0,30}(?:locked|disabled|expired)"
                    r"|password.{0,30}(?:expired|incorrect|wrong)|invalid credentials|authentication fail"
                    r"|login fail|failed to log ?in|unauthorized|\b401\b|403 Forbidden)|failed to login\b"
                    r"|login to vcenter (?:failed|was refused)|user account is locked"
                    r"|NoPermission.{0,40}System\.View.{0,20}login|CredentialsRejected|vcenter .{0,60}does not accept",
                    unless=r"proxy|no such host|refused the connection|connection refused|i/o timeout|timed out|x509"
                    r"|console|registry|docker|sshd|pam_unix|certificate|deadline|unreachable|lookup |no route",
                ),
            ),
            remedy=("Correct user (with its domain, user@domain) and password.", "Unlock the account in vCenter."),
            cured_by=_CURES,
            cured=_CURED,
        ),
        Cause(
            name="vcenter-unreachable",
            summary="vCenter cannot be reached.",
            tells="which hop fails on the way to vCenter: name, connect, TLS, proxy",
            signs=(
                Signature(
                    ANY_FAILURE, where=towards_vcenter, unless=r"insufficient|datastore|\bNTP\b|\.vmdk|\.ova|NotFound"
                ),
                Signature(
                    (
                        r"failed to deploy image|failed to create govm?omi ?client|failed to create vCenter session"
                        r"|error getting the vsphere sdk client|failed to create client: |(?:vcenter"
                        r"|vsphere) .{0,60}(?:is )?(?:unreachable|not reachable|cannot be reached)|VCenterUnreachable"
                    ),
                    weak=True,
                ),
            ),
            remedy=(
                "Open TCP 443 from this network to vCenter, and check name servers and proxy exceptions.",
                "For a certificate: add vCenter's CA or thumbprint to the configuration.",
            ),
            cured_by=_CURES,
            cured=_CURED,
            excludes=("template-done",),
        ),
    ),
    needs=frozenset({Kind.CONTAINER, Kind.OUTPUT, Kind.OTHER}),
    speakers=of_the_gateway,
    missing="the gateway's own log, or the container logs of the cluster's controllers",
    silenced_by=SILENCED_BY,
)

KNOWN_BEFORE: Mapping[str, str] = {
    "vcenter-address-has-scheme": "While typing: it is taken off, with a notice.",
    "vcenter-login-failed": "In preflight, and by the step connect before it: nothing has been made by then.",
    "vcenter-unreachable": "In preflight, and by the step connect before it: nothing has been made by then.",
}
"""by cause: how it is told before it happens"""


PROBED = (About.VCENTER,)
CLEAR_WHEN_DONE = StepName.TEMPLATE


def probed(facts: Facts) -> Iterator[Finding]:
    if not facts.done(StepName.TEMPLATE):
        yield from peer_findings(SCENARIO, LOGS, facts, About.VCENTER, cause="vcenter-unreachable", cured=_CURED)
