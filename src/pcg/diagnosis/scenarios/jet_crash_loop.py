"""Jet restarts again and again. Before the gateway is configured and registered that is expected: a notice (seed).

In logs, only what jet's own containers say, or the kubelet says of jet's pod: another pod's crash loop is not jet's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pcg.diagnosis.facts import Facts, JetFact, finding_of
from pcg.diagnosis.log_context import MILESTONES, about_jet, is_jet_pod
from pcg.diagnosis.log_files import Kind
from pcg.diagnosis.log_lines import LogLine
from pcg.diagnosis.log_network import ANY_FAILURE
from pcg.diagnosis.log_rules import Cause, LogRules, Signature
from pcg.model.records import Evidence, Finding
from pcg.model.states import Severity, StepName

SCENARIO = "jet-crash-loop"
CLEAR_WHEN_DONE = StepName.JET_REGISTERED
SILENCED_BY: tuple[str, ...] = ()


def _of_jet(line: LogLine) -> bool:
    return is_jet_pod(line) if line.file.pod else about_jet(line)


_UP = (
    Signature(
        (
            r"registered .{0,20}with the console|\bregistered\b|connected to (?:the )?console"
            r"|authenticated|is healthy|observed pod startup duration|started container|state is now ready"
        ),
        where=_of_jet,
        mentions="jet",
        unless=r"not |un(?:registered|authenticated)",
    ),
    *MILESTONES["jet-registered"],
)
_CURED = "Jet is Running and ready, and the step jet-registered is done."

LOGS = LogRules(
    causes=(
        Cause(
            name="token-rejected",
            summary="The console refuses jet's authorization token: it was deleted, reset, or belongs to another "
            "gateway.",
            tells="jet runs, and the console's answer to its token is no",
            signs=(
                Signature(
                    (
                        r"does not accept the authorization token|token\b.{0,60}(?:rejected|revoked|not accepted"
                        r"|not valid|invalid|expired|unknown|deleted|refused|denied|superseded)|(?:invalid|revoked"
                        r"|expired|unknown|rejected) (?:authori[sz]ation |auth |bearer |access |jet )?token|\b401\b"
                        r"|unauthori[sz]ed|\b403\b.{0,20}forbidden|authentication (?:failed|rejected)"
                        r"|failed authentication|another gateway's token|belongs to (?:an)?other gateway"
                    ),
                    where=is_jet_pod,
                    mentions="jet",
                    unless=r"proxy|kubernetes|serviceaccount|6443|10\.96\.0\.1:443|bootstrap secret",
                ),
            ),
            remedy=("Reset the gateway, or issue its token again.",),
            cured_by=_UP[:1],
            cured=_CURED,
        ),
        Cause(
            name="container-cannot-start",
            summary="The container runtime cannot start jet: its image, its executable or its mounts are at fault.",
            tells="the kubelet's or the runtime's words about jet's own pod",
            signs=(
                Signature(
                    r"ErrImagePull|ImagePullBackOff|InvalidImageName|ErrImageNeverPull|failed to pull"
                    r"|back-off pulling image|pull image.{0,60}fail|exec format error|executable file not found"
                    r"|exec \S+: no such file|CreateContainer(?:Config)?Error|RunContainerError"
                    r"|failed to create (?:containerd )?(?:task|shim|container)|OCI runtime create failed"
                    r"|runc create failed|StartError"
                    r"|unable to (?:attach or )?mount volumes|MountVolume\.\S+ failed|FailedMount|failed to mount"
                    r"|(?:secret|configmap) \\?\"?[\w.-]+\\?\"? not found|OOMKilled|ContainerCannotRun"
                    r"|failed to start container",
                    where=about_jet,
                    mentions="jet",
                    unless=r"failed to sync (?:configmap|secret) cache|CrashLoopBackOff",
                ),
                Signature(
                    (
                        r"exec format error|no such file or directory.{0,40}exec|permission denied.{0,40}exec"
                        r"|error while loading shared libraries"
                    ),
                    where=is_jet_pod,
                    mentions="jet",
                ),
            ),
            remedy=(
                "Check that jet's image can be pulled from the node, for the node's processor.",
                "Check the secrets and config maps that its pod mounts.",
            ),
            cured_by=_UP,
            cured=_CURED,
        ),
        Cause(
            name="console-unreachable",
            summary="Jet cannot reach the console.",
            tells="which hop fails, in jet's own log: name, connect, proxy, TLS",
            signs=(
                Signature(
                    ANY_FAILURE,
                    where=is_jet_pod,
                    mentions="jet",
                    unless=r"10\.96\.0\.1:443|\.svc\b|:6443|readiness|liveness|shutting down|SIGTERM|token",
                ),
            ),
            remedy=(
                (
                    "Open outbound 443 from the nodes to the console, or correct their proxy settings (see "
                    "installer-not-registered)."
                ),
            ),
            cured_by=_UP[:1],
            cured=_CURED,
            silenced_by=("installer-not-registered", "gateway-disconnected", "no-route-to-api-server"),
        ),
        Cause(
            name="awaiting-configuration",
            summary="Jet restarts with back-off because it has no authorization token yet: the gateway is not "
            "configured, or its cluster is still being built. This is expected.",
            tells="jet restarts before the step jet-registered is done",
            severity=Severity.INFO,
            weak=True,
            signs=(
                Signature(
                    r"CrashLoopBackOff|back-?off (?:\d\w+ )?restarting failed",
                    where=_of_jet,
                    mentions="jet",
                    kinds=frozenset(set(Kind) - {Kind.CONTAINER}),
                ),
                Signature(
                    (
                        r"no authorization token|not allowed with bootstrap secret|token file .{0,60}(?:empty|missing"
                        r"|not found|is not set)|waiting for (?:the |an )?(?:authorization )?token"
                        r"|not (?:yet )?configured"
                    ),
                    where=is_jet_pod,
                    mentions="jet",
                ),
                Signature(
                    r"CrashLoopBackOff|back-?off (?:\d\w+ )?restarting failed",
                    where=lambda line: about_jet(line) and not line.file.pod,
                    mentions="jet",
                    kinds=frozenset({Kind.CONTAINER}),
                ),
            ),
            remedy=("Finish the gateway's configuration; jet heals by itself once its cluster is registered.",),
            cured_by=_UP,
            cured=_CURED,
            excludes=("jet-registered",),
        ),
    ),
    needs=frozenset({Kind.KUBELET, Kind.CONTAINER, Kind.SYSLOG, Kind.OTHER}),
    missing="the kubelet's journal (kubelet.log) or jet's container log",
)

KNOWN_BEFORE: Mapping[str, str] = {
    "token-rejected": "Not: the console decides it.",
    "container-cannot-start": "Not: the node image carries jet's (docs/node-image.md).",
    "console-unreachable": (
        "While typing: the nodes' proxies are well-formed. In preflight: the nodes' proxy does not let them in."
    ),
    "awaiting-configuration": "It is expected.",
}
"""by cause: how it is told before it happens"""

_SAYS = {
    "does not accept the authorization token": "token-rejected",
    " hop=": "console-unreachable",
    "no authorization token": "awaiting-configuration",
}
"""what our jet says, the weightiest first: name of the cause"""

_OWN_WORDS = "jet: "


def examine(facts: Facts) -> Iterator[Finding]:
    for step, problem in facts.problems(StepName.PREFLIGHT):
        if problem.reason == "nodes-proxy-refuses":
            cured = "The proxy opens the way, and preflight passes."
            summary = f"Jet will not reach the console. {problem.what}"
            yield finding_of(SCENARIO, "console-unreachable", step, problem, summary=summary, cured=cured)
    causes = {cause.name: cause for cause in LOGS.causes}
    found: dict[str, list[JetFact]] = {}
    for jet in facts.jets:
        if not jet.ready and (jet.back_off or jet.last_exit is not None):
            found.setdefault(_cause(jet), []).append(jet)
    if facts.done(StepName.JET_REGISTERED):
        found.pop("awaiting-configuration", None)
    if facts.way is not None and facts.way.trouble is not None:
        found.pop("console-unreachable", None)  # the gateway itself tells of its own way there
    for name, jets in found.items():
        cause = causes[name]
        yield Finding(
            scenario=SCENARIO,
            cause=name,
            severity=cause.severity,
            since=min(jet.since or facts.now for jet in jets),
            summary=cause.summary,
            evidence=[Evidence(source=f"jet ({jet.place})", text=_evidence(jet), time=facts.now) for jet in jets],
            remedy=list(cause.remedy),
            link=f"docs/scenarios.md#{SCENARIO}",
            cured=cause.cured,
        )


def _cause(jet: JetFact) -> str:
    for words, name in _SAYS.items():
        if any(words in line for line in jet.words):
            return name
    # Jet says why it ends. One that ends without a word of its own never came to run.
    spoke = any(line.startswith(_OWN_WORDS) for line in jet.words)
    return "awaiting-configuration" if spoke or jet.last_exit is None else "container-cannot-start"


def _evidence(jet: JetFact) -> str:
    state = "CrashLoopBackOff" if jet.back_off else "starting again"
    ended = "" if jet.last_exit is None else f" (exit code {jet.last_exit})"
    return f"{state} after {jet.restarts} restarts{ended}: {' / '.join(jet.words) or 'it said nothing'}"[:4096]
