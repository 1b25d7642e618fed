"""Provisioning does not go on (seed): resources, addresses, time, a vendor fault, a lost session, a missing object.

What has a scenario of its own (permissions, images, the way to vCenter before the template step) is told there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pcg.diagnosis.facts import Facts, finding_of
from pcg.diagnosis.hops import failed_hop, peer_findings, probe_finding
from pcg.diagnosis.log_context import of_the_gateway, towards_vcenter
from pcg.diagnosis.log_files import Kind
from pcg.diagnosis.log_network import ANY_FAILURE
from pcg.diagnosis.log_rules import GUEST, Cause, LogRules, Signature
from pcg.diagnosis.probes.answer import About, Outcome
from pcg.model.records import Finding, Problem, StepReport
from pcg.model.states import StepName

SCENARIO = "provisioning-stalled"
SILENCED_BY: tuple[str, ...] = (
    *("clone-permission-denied", "stuck-after-container-manager", "address-not-assigned", "image-deploy-failed"),
)

_CLOCKS = ("host-clock-wrong", "host-time-not-kept", "clock-wrong")
_VENDOR = ("vcenter-refused", "vcenter-failed", "data-center-failed")
_OTHERS = ("dhcp-leases", "addresses", "control-plane-address")
"""resources that another scenario is about"""


def examine(facts: Facts) -> Iterator[Finding]:
    steps = (StepName.CONNECT, StepName.PREFLIGHT, StepName.TEMPLATE, StepName.ADDRESSES, StepName.MACHINES)
    for step, problem in facts.problems(*steps):
        cause, summary, cured = _judged(facts, step, problem)
        if cause:
            remedy = [*problem.remedy, *_MORE_REMEDY.get(cause, ())]
            yield finding_of(SCENARIO, cause, step, problem, summary=summary, cured=cured, remedy=remedy)
            return


_MORE_REMEDY = {
    "address-pool-exhausted": (
        "Or remove the machines that hold addresses, and wait five minutes; reset when the pool is too small.",
    ),
    "time-not-synchronised": ("Correct the NTP servers, and open UDP 123 to them.",),
    "session-lost": ("Nothing is lost: provisioning goes on by itself as soon as the cloud answers again.",),
}


def _judged(facts: Facts, step: StepReport, problem: Problem) -> tuple[str, str, str]:
    """Cause, summary, and what it looks like when cured; no cause where another scenario tells it, or none does."""
    reason, fields = problem.reason, problem.fields
    resource, where = fields.get("resource", ""), fields.get("where", "")
    needed, free = fields.get("needed", "?"), fields.get("free", "?")
    if reason == "address-pool-exhausted" or (reason == "address-in-use" and resource == "addresses"):
        summary = f"The address pool {where or 'of the nodes'} has {free} free addresses; {needed} are needed"
        cured = "An address is claimed for every node, and the machines are made."
        return "address-pool-exhausted", f"{summary} (nodes and three more).", cured
    if reason in _CLOCKS:
        return "time-not-synchronised", problem.what, "The clocks agree, and preflight passes."
    if (resource and resource not in _OTHERS) or reason == "licence-expired":
        return "insufficient-resources", problem.what, "There is enough, and the step goes on by itself."
    lost = fields.get("target") and reason.partition("-unreachable")[1] and facts.done(StepName.TEMPLATE)
    if lost or reason == "session-lost":
        return "session-lost", problem.what, "The session stands again, and the step goes on by itself."
    if reason.endswith("-not-found") or reason in ("name-ambiguous", "object-gone"):
        return "object-not-found", problem.what, "Preflight finds every object, and provisioning goes on by itself."
    if reason in _VENDOR:
        return "vendor-fault", problem.what, f"The step {step.name} goes on."
    return "", "", ""


_WENT_ON = (
    Signature(
        r"step (?:machines|control-plane|nodes|addresses|template)\W+(?:is )?done|(?:machines"
        r"|control-plane|nodes): done|successfully cloned|clone(?:d)? (?:vm |task "
        r"|of \S+ )?(?:succeeded|completed|done)|task .{0,60}(?:succeeded|completed successfully)"
        r"|machine \S+ is (?:ready|running)|VMProvisioned|powered on machine|(?:resources|addresses"
        r"|capacity) (?:are |is )?(?:now )?(?:available|enough|sufficient)|IPAllocated",
        unless=r"not |\bfail|Reason|False",
    ),
)
_CURED = "The step that stood still is done."
_SPECIAL = ("clone-permission-denied", "stuck-after-container-manager", "image-deploy-failed")

LOGS = LogRules(
    causes=(
        Cause(
            name="address-pool-exhausted",
            summary="The address pool has too few free addresses: as many as nodes, and three more, are needed.",
            tells="the pool's own words: exhausted, out of bounds, too few",
            signs=(
                Signature(
                    r"exhausted ip pools?|ip pools? .{0,40}exhausted|pre-allocated ip out of bounds"
                    r"|address ?pool\b.{0,80}(?:exhausted|too small|too few|no (?:more )?free|empty|used up|full)"
                    r"|(?:no|not enough|too few|insufficient) (?:free |available "
                    r"|more )*(?:ip )?addresses(?! available to node)|no (?:available|free) ips?\b"
                    r"|(?:pool|range)\b.{0,60}(?:no (?:more )?(?:available|free) (?:ip|address)"
                    r"|all addresses (?:are )?(?:in use|taken|allocated))|unable to (?:allocate"
                    r"|claim) .{0,30}(?:ip|address)|failed to allocate (?:an )?(?:ip|address)",
                    unless=r"dhcp|\blease|pod ?cidr|cni|podsandbox|calico|host-local|service ?cidr",
                ),
            ),
            remedy=(
                "Enlarge the address pool, or free addresses that nobody uses; then provisioning goes on.",
                "Reset the gateway to configure it anew.",
            ),
            cured_by=(
                *_WENT_ON,
                Signature(r"allocated (?:ip|address) \S+|address \S+ (?:was )?allocated|claimed address"),
            ),
            cured=_CURED,
        ),
        Cause(
            name="insufficient-resources",
            silenced_by=_SPECIAL,
            summary="The private cloud has not enough CPU, memory, space or licences for the machines.",
            tells="which of CPU, memory, datastore or licence is missing, and where",
            signs=(
                Signature(
                    r"InsufficientResourcesFault|Insufficient(?:Memory|Cpu|Storage|Host|Standby)\w*"
                    r"|not enough (?:space|capacity|memory|cpu|resources|physical memory|disk space)\b"
                    r"|(?:insufficient|not sufficient) (?:resources|capacity|memory|cpu|disk|space|storage"
                    r"|host resources)|no storage drs recommendations"
                    r"|(?:datastore|vmfs)\b.{0,100}(?:is full|no space|out of space|insufficient|not enough"
                    r"|has only \S+ free)|NoDiskSpace|No space left on device.{0,80}(?:datastore|vmfs)"
                    r"|NotEnoughLicenses|NotEnoughCpus|LicenseExpired|licen[cs]e\b.{0,60}(?:expired|exceeded"
                    r"|not (?:available|sufficient)|no longer|too few|does not)"
                    r"|not enough licen[cs]es|resources? .{0,40}(?:exhausted|exceeds? the available"
                    r"|quota exceeded)|no (?:compatible )?host (?:is |was )?(?:compatible|found|available"
                    r"|with enough)|admission control|failover level|RESOURCE_EXHAUSTED.{0,40}cluster"
                    r"|exceeds? .{0,30}(?:memory|cpu) (?:limit|reservation) of .{0,30}pool",
                    unless=r"address|\bips?\b|image filesystem|ephemeral-storage|admission controller"
                    r"|insufficient privilege|nodes are available|kube-scheduler|preemption|inotify|image gc"
                    r"|freespace",
                ),
            ),
            remedy=(
                "Free what is missing, or choose another placement (datastore, host cluster, pool) or a smaller size.",
                "Reset the gateway if the placement is to be chosen anew.",
            ),
            cured_by=_WENT_ON,
            cured=_CURED,
        ),
        Cause(
            name="time-not-synchronised",
            summary="The clocks do not agree: time is not synchronised.",
            tells="chrony or NTP has no source, the offset, or certificates that are not valid yet",
            signs=(
                Signature(
                    r"system clock wrong by|NTP service status is (?:stopped|unknown)|can'?t synchroni[sz]e"
                    r"|no (?:selectable|usable|suitable|reachable) (?:ntp )?(?:sources?|servers?)"
                    r"|no server suitable for synchroni[sz]ation|timed out waiting for reply from"
                    r"|clock\b.{0,60}(?:skew|unsynchroni[sz]ed|not synchroni[sz]ed|is wrong|is off|is ahead"
                    r"|is behind|differs|drift)"
                    r"|(?:time|clock) (?:is |are )?not (?:in )?sync|time synchroni[sz]ation.{0,40}(?:failed|lost"
                    r"|not)|ntp.{0,40}(?:unsynchroni[sz]ed|not synchroni[sz]ed|unreachable|no (?:answer|response"
                    r"|reply))|ntpd?\S* .{0,60}(?:no reply|unreachable|timed out|could not|cannot)"
                    r"|leap status\W+not synchroni[sz]ed|chronyd?.{0,60}(?:could not|unreachable|no (?:response"
                    r"|reply|answer))|time offset .{0,40}(?:too|exceeds|larger)"
                    r"|ClockSkew|source \S+ offline|NTPSynchronized=no|system clock synchronized: no"
                    r"|time-?sync\S*\.service: failed|failed to start .{0,30}(?:chrony|time synchroni[sz]ation)",
                    unless=r"was successful|initial|mildly|forward time jump|clock source|tsc|bytes behind"
                    r"|not synchronized yet, waiting|log clock|\bRCU\b|clocksource",
                ),
                Signature(
                    (
                        r"current time \S+ is before|certificate (?:is )?not yet valid(?!: current time \S+ is after)"
                        r"|certificate is not valid yet|verify error:num=9\b"
                    ),
                    kinds=GUEST,
                    weak=True,
                ),
            ),
            remedy=(
                "Correct the NTP servers of the gateway's configuration.",
                "Open UDP 123 from hosts and nodes to the NTP servers.",
                "Start the time service of the named host.",
            ),
            cured_by=(
                Signature(
                    r"selected source \S+|system clock (?:was stepped|synchroni[sz]ed: yes)"
                    r"|initial synchroni[sz]ation|contacted time server|synchroni[sz]ed to (?:time )?(?:server"
                    r"|source|ntp)|NTPSynchronized=yes|clock is (?:now )?synchroni[sz]ed"
                ),
            ),
            cured="chrony has selected a source and the offset is small.",
            silenced_by=("installer-not-registered/certificate-not-valid-yet",),
        ),
        Cause(
            name="session-lost",
            silenced_by=_SPECIAL,
            summary="The session with vCenter was lost.",
            tells="vCenter answers that the session is not authenticated",
            signs=(
                Signature(
                    (
                        r"NotAuthenticated|session is not authenticated|session (?:with (?:the )?v\w+ )?(?:was "
                        r"|has been |is )?(?:lost|expired|terminated|invalid|timed out|not valid)|(?:vcenter|vsphere"
                        r"|govmomi|vim25)\b.{0,80}session.{0,40}(?:lost|expired|gone|no longer|invalid|terminated)"
                        r"|NoActiveSession|keep-?alive.{0,40}(?:failed|error)"
                    ),
                    unless=r"\bconsole\b|palette|websocket|tunnel|rancher|ssh|systemd|logind|containerd"
                    r"|session \d+ of user",
                ),
            ),
            remedy=(
                "Nothing: the gateway logs in again by itself.",
                "If it comes back: raise the session limit, or see who ends this account's sessions.",
            ),
            cured_by=(
                *_WENT_ON,
                Signature(
                    r"(?:re-?)?log(?:ged)? ?in (?:again|to vcenter|succeeded)|new session|session (?:was "
                    r"|is )?(?:re-?established|renewed|created|restored)|re-?authenticated"
                ),
            ),
            cured="The gateway has a new session and the step goes on.",
        ),
        Cause(
            name="object-not-found",
            silenced_by=_SPECIAL,
            summary="An object that the configuration names is not in the inventory.",
            detail="It is {target}.",
            tells="which inventory object, with near matches",
            signs=(
                Signature(
                    r"(?:datacenter|datastore(?: cluster)?|folder|resource ?pool|network|port ?group|cluster"
                    r"|storage policy|compute resource) ['\"\\]*(?P<target>[\w./ -]{1,120}?)['\"\\]*:? ?(?:was "
                    r"|is |could )?(?:not (?:be )?found|does not exist|not exist)"
                    r"|(?:Folder|ResourcePool|Datastore|Network|Datacenter|Cluster)NotFound"
                    r"|does not own resource pool|(?:unable to find|could not find|cannot find|no such"
                    r"|failed to find|unknown) (?:the )?(?:datacenter|datastore|folder|resource ?pool|network"
                    r"|port ?group|cluster|storage policy|compute cluster)\b"
                    r"|default .{0,40}resolves to multiple instances|path .{0,80}resolves to multiple",
                    unless=r"NetworkManager|cni|kubelet|container ?d|network-config|\bVM not found"
                    r"|ManagedObjectNotFound.*VirtualMachine|network plugin|cluster-info|docker",
                ),
            ),
            remedy=("Correct the name in the gateway's placement (the finding names near matches when live).",),
            cured_by=_WENT_ON,
            cured=_CURED,
        ),
        Cause(
            name="vendor-fault",
            summary="The private cloud answered with a fault of its own.",
            tells="the vendor's fault, with its object",
            weak=True,
            signs=(
                Signature(
                    (
                        r"(?:reason\W{1,4})?\b(?:TaskFailure|CloningFailed|PoweringOnFailed|VCenterUnreachable)\b"
                        r"|ServerFaultCode: |vim\.fault\.\w+|vmodl\.fault\.\w+|(?:clone|power ?on|reconfigure"
                        r"|create)\w* ?task\b.{0,120}(?:failed|error|fault)|(?:error|failed) (?:cloning|powering on"
                        r"|creating|reconfiguring) (?:vm|virtual machine|machine)"
                    ),
                    unless=r"Permission to perform|NoPermission|InvalidLogin|ManagedObjectNotFound.*deleted",
                ),
                Signature(ANY_FAILURE, where=towards_vcenter, unless=r"https?://https?|lookup https?\b"),
            ),
            remedy=(
                "Read the fault's own words; it names the object.",
                "Ask the vCenter administrator; the step tries again by itself.",
            ),
            cured_by=_WENT_ON,
            cured=_CURED,
            silenced_by=(*_SPECIAL, "machine-drifted", "address-not-assigned", "no-route-to-api-server"),
        ),
    ),
    needs=frozenset({Kind.CONTAINER, Kind.OUTPUT, Kind.OTHER}),
    speakers=of_the_gateway,
    missing="the gateway's own log, or the container logs of the cluster's controllers",
)

KNOWN_BEFORE: Mapping[str, str] = {
    "address-pool-exhausted": (
        "While typing: as many as nodes, and three more, are needed. Who holds the rest is known before "
        "machines are made."
    ),
    "insufficient-resources": "In preflight: CPU, memory, datastore, limits of the pool, licence.",
    "time-not-synchronised": (
        "In preflight: clocks of the hosts, and the time servers as far as they answer this machine."
    ),
    "session-lost": "Not: it is lost later.",
    "object-not-found": "In preflight, with near matches; the form offers what there is.",
    "vendor-fault": "Not: the cloud decides it.",
}
"""by cause: how it is told before it happens"""


PROBED = (About.TIME, About.VCENTER)
CLEAR_WHEN_DONE = StepName.JET_REGISTERED


def probed(facts: Facts) -> Iterator[Finding]:
    times = [answer for answer in facts.probes if answer.about is About.TIME]
    wrong = [answer for answer in times if answer.kind == "clock-wrong"]
    silent = [answer for answer in times if answer.probe in ("name", "sntp") and answer.failed]
    # A clock that is wrong makes certificates seem so: then that is told, with the clock in its remedy.
    told = any(answer.kind.startswith("certificate-") for answer in failed_hop(facts, About.CONSOLE))
    kept = any(answer.probe == "sntp" and answer.answer is Outcome.PASSED for answer in times)
    if (wrong and not told) or (silent and not kept and not failed_hop(facts, About.CONSOLE)):
        cured = "An NTP server answers, and this machine's clock agrees with it."
        yield probe_finding(SCENARIO, LOGS, "time-not-synchronised", wrong or silent, facts.now, cured=cured)
    elif facts.done(StepName.TEMPLATE):
        yield from peer_findings(SCENARIO, LOGS, facts, About.VCENTER, cause="session-lost")
