"""A node gets no address (seed): DHCP, a wrong static address, an incomplete cloud-init, the adapter, the guest
agent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pcg.diagnosis.facts import Facts, finding_of
from pcg.diagnosis.hops import probe_finding
from pcg.diagnosis.log_context import MILESTONES
from pcg.diagnosis.log_files import Kind
from pcg.diagnosis.log_rules import GUEST, Cause, LogRules, Signature
from pcg.diagnosis.probes.answer import About, Outcome
from pcg.model.records import Finding, Problem, StepReport
from pcg.model.states import StepName

SCENARIO = "address-not-assigned"
SILENCED_BY: tuple[str, ...] = ("clone-permission-denied", "stuck-after-container-manager")

_STATIC_FIELDS = ("network.addresses.static", "network.controlPlaneAddress")


def examine(facts: Facts) -> Iterator[Finding]:
    steps = (StepName.VALIDATE_CONFIGURATION, StepName.PREFLIGHT, StepName.ADDRESSES, StepName.MACHINES)
    for step, problem in facts.problems(*steps):
        found = _scope_exhausted(step, problem) or _in_use(step, problem) or _misfit(step, problem)
        found = found or _waited(step, problem)
        if found is not None:
            yield found
            return


def _scope_exhausted(step: StepReport, problem: Problem) -> Finding | None:
    if problem.fields.get("resource") != "dhcp-leases":
        return None
    where = problem.fields.get("where", "the network")
    needed, free = problem.fields.get("needed", "?"), problem.fields.get("free", "?")
    return finding_of(
        SCENARIO,
        "dhcp-scope-exhausted",
        step,
        problem,
        summary=f"The DHCP scope of {where} has {free} free leases; {needed} are needed.",
        remedy=[f"Enlarge the DHCP scope of {where}, or free leases that nobody uses any more.", *problem.remedy],
        cured="The server offers leases again and the nodes get their addresses by themselves.",
    )


def _in_use(step: StepReport, problem: Problem) -> Finding | None:
    address = problem.fields.get("address")
    # A pool of which none is left is used up, whoever has its addresses.
    if problem.reason != "address-in-use" or not address or problem.fields.get("resource") == "addresses":
        return None
    mac = problem.fields.get("mac", "")
    return _wrong(
        step,
        problem,
        f"{address} is in use by another machine" + (f" with the MAC address {mac}." if mac else "."),
        "Nobody else answers at the address any more; the step goes on by itself.",
    )


def _misfit(step: StepReport, problem: Problem) -> Finding | None:
    field = problem.fields.get("field", "")
    if step.name is not StepName.VALIDATE_CONFIGURATION or not field.startswith(_STATIC_FIELDS):
        return None
    return _wrong(
        step, problem, f"The static addresses are wrong: {field}.", "The corrected configuration passes its first step."
    )


_WAITED_FOR = {
    "card-disconnected": "network-adapter-disconnected",
    "guest-agent-silent": "guest-agent-missing",
    "meta-data-not-read": "cloud-init-incomplete",
    "network-not-configured": "cloud-init-incomplete",
    "lease-not-asked": "dhcp-not-enabled",
    "lease-not-given": "dhcp-no-answer",
}
"""cause by the reason for which a machine that runs is still waited for"""


def _waited(step: StepReport, problem: Problem) -> Finding | None:
    cause = _WAITED_FOR.get(problem.reason)
    if cause is None:
        return None
    return finding_of(SCENARIO, cause, step, problem, summary=problem.what, cured=_CURED)


def _wrong(step: StepReport, problem: Problem, summary: str, cured: str) -> Finding:
    return finding_of(SCENARIO, "static-address-wrong", step, problem, summary=summary, cured=cured)


_FOREIGN = r"\b(?:veth|cali|cni|docker|flannel|lxc|br-|virbr|tunl|vxlan|kube-ipvs|nodelocaldns|cilium|lo\b)"
_CURES = (
    *MILESTONES["has-address"],
    Signature(
        r"DHCPACK|DHCPOFFER|lease of \S+ obtained|IPAllocated|address (?:was |is )?(?:assigned"
        r"|acquired|configured)|leased \S+ for|finished wait for network"
        r"|state change.{0,40}(?:routable|activated)"
    ),
)
_CURED = "The machine has an address."
_WAITED = Signature(
    (
        r"failed to start .{0,10}wait for network|wait-online\S*: .{0,20}timeout occurred"
        r"|networkd-wait-online\.service: (?:failed|main process exited)|WaitingForIPAllocation"
        r"|still waiting for (?:an )?(?:ip|address)|no ip addresses? (?:found|assigned|reported)"
    ),
    weak=True,
    never=("has-address",),
)

LOGS = LogRules(
    causes=(
        Cause(
            name="dhcp-scope-exhausted",
            summary="The DHCP server has no free lease.",
            tells="the server itself says that it has none left",
            signs=(
                Signature(
                    (
                        r"no (?:more |available )?(?:free|available) (?:leases?|dynamic|addresses in (?:the )?(?:scope"
                        r"|range))|no address(?:es)? available|(?:dhcp|lease|scope|range)\b.{0,80}(?:exhausted|is full"
                        r"|no more|ran out|100% used)|ALLOC_FAIL|out of (?:dhcp )?leases"
                    ),
                    unless=r"static|ip ?pool|IPAM",
                ),
                Signature(r"DHCPNAK|NAK received|dhcp.{0,40}\bNAK\b", at_least=2, weak=True, kinds=GUEST),
            ),
            remedy=("Enlarge the DHCP scope, or free leases that nobody uses any more.",),
            cured_by=_CURES,
            cured=_CURED,
        ),
        Cause(
            name="network-adapter-disconnected",
            summary="The machine's network adapter is not connected.",
            tells="the kernel or networkd sees no carrier on the adapter",
            signs=(
                Signature(
                    r"(?P<target>[a-z][a-z0-9]+): (?:nic )?link is (?:down|not ready)"
                    r"|(?P<target2>[a-z]\w+): (?:lost carrier|no carrier|link down|carrier lost)|NO-CARRIER"
                    r"|(?:network )?adapter.{0,60}(?:is not connected|not connected|disconnected)"
                    r"|link (?:is )?not connected"
                    r"|startConnected\W{1,4}false|no (?:usable )?(?:network|ethernet) (?:device|interface"
                    r"|adapter)s? (?:was |were )?(?:found|present)|no link detected"
                    r"|could not find (?:a )?network (?:device|interface)|port group .{0,60}(?:not found"
                    r"|not connected)",
                    kinds=GUEST,
                    unless=_FOREIGN,
                ),
            ),
            remedy=("Connect the adapter (also at power on) and check its port group.",),
            cured_by=(
                *_CURES,
                Signature(
                    (
                        r"(?P<target>[a-z][a-z0-9]+): (?:nic )?link (?:is up|becomes ready)|(?:gained carrier"
                        r"|carrier acquired|link up)"
                    ),
                    kinds=GUEST,
                    unless=_FOREIGN,
                ),
            ),
            cured="The kernel says that the link is up.",
        ),
        Cause(
            name="static-address-wrong",
            summary="The machine's static address does not fit its network, or is used by someone else.",
            tells="an address conflict with the other's MAC, a gateway outside the subnet, a missing prefix",
            signs=(
                Signature(
                    r"is a duplicate of another address|duplicate (?:ip )?address|address conflict|(?:address|ip"
                    r"|\d+\.\d+\.\d+\.\d+)\b.{0,60}(?:already in use|in use by|is used by|claimed by)"
                    r"|IPAddressInvalid|gateway\b.{0,60}(?:outside|not (?:in|within|part of|reachable from|on)"
                    r"|is invalid|unreachable)|nexthop has invalid gateway"
                    r"|(?:could not|failed to) set route.{0,80}|prefix (?:length )?(?:is )?(?:missing|required"
                    r"|invalid)|(?:missing|without|no|invalid) (?:a )?(?:prefix|netmask)"
                    r"|invalid (?:static )?(?:ip address|CIDR|IPv4 address|address)"
                    r"|conflict detected.{0,40}(?:address|\d+\.\d+)|network address.{0,20}(?:is not|must be)",
                    unless=r"\bvip\b|kube-vip|6443"
                    r"|bind|listen|dadfailed|cluster ?ip|service\b.{0,10}cidr|proxy|pod ?cidr"
                    r"|endpoint|socket|\bDUID\b",
                ),
                Signature(
                    r"WaitingForStaticIPAllocation|IPAddressClaim\S* .{0,60}not (?:ready|bound|fulfilled)", weak=True
                ),
            ),
            remedy=(
                "Correct the address pool: range within the subnet, prefix, gateway in the same subnet.",
                "Find who uses the address (by its MAC) or leave it out of the pool.",
            ),
            cured_by=(
                Signature(
                    r"IPAllocated|address (?:is )?(?:valid|free|assigned)"
                    r"|ci-info: \| *(?!lo\b)[a-z]\w+ *\| *True *\| *\d+\.\d+\.\d+\.\d+"
                ),
            ),
            cured=_CURED,
        ),
        Cause(
            name="dhcp-not-enabled",
            summary="The machine's network configuration asks for no address: neither DHCP nor a static one.",
            tells="the network configuration that cloud-init rendered",
            signs=(
                Signature(
                    (
                        r"\bdhcp4?\W{1,4}(?:false|no)\b|dhcp (?:is )?(?:not enabled|disabled)|inet manual|DHCP=no\b"
                        r"|network config(?:uration)? is disabled"
                    ),
                    kinds=GUEST,
                    unless=r"addresses\W{1,4}\[?\W{0,3}\d|dhcp6|dhcp4\W{1,4}true|use-?(?:dns|domains|ntp|hostname|routes)",
                    never=("has-address",),
                ),
            ),
            remedy=("Set the machine's network to DHCP in the template, or give it a static address pool.",),
            cured_by=_CURES,
            cured=_CURED,
        ),
        Cause(
            name="cloud-init-incomplete",
            summary="cloud-init did not get as far as the network: no data source, or no network configuration.",
            tells="which stage of cloud-init failed, in which line",
            signs=(
                Signature(
                    r"did not find any data source|no instance datasource found|failed to query guestinfo"
                    r"|used fallback datasource|datasource DataSourceNone|(?:failed|unable|could not"
                    r"|cannot) (?:to )?(?:render|apply|write|rename|generate|parse) .{0,30}network"
                    r"|network (?:config|configuration|renderer)\S*.{0,60}(?:invalid|failed|could not|unknown"
                    r"|error|unsupported)"
                    r"|netplan.{0,80}(?:error|invalid|failed)|unknown network config"
                    r"|no (?:network )?renderers? (?:found|available)|guestinfo\S* .{0,60}(?:empty"
                    r"|not (?:delivered|available|set))|guest info .{0,40}(?:empty|not delivered)"
                    r"|no (?:working )?guestinfo transport|rpctool.{0,40}(?:fail|not found)"
                    r"|getting data from .{0,60}failed|failed to start .{0,10}initial cloud-init job",
                    kinds=frozenset({Kind.CLOUD_INIT, Kind.OUTPUT, Kind.SYSLOG, Kind.OTHER}),
                    unless=r"ovf ?env|PropertySection|\bdhcp lease\b",
                    never=("has-address",),
                ),
            ),
            remedy=(
                "Read the named stage in cloud-init.log on the machine's console.",
                "Check that guest info (metadata, user data) is set, and that the image has the VMware data source.",
            ),
            cured_by=_CURES,
            cured=_CURED,
        ),
        Cause(
            name="guest-agent-missing",
            summary="The machine reports nothing to the hypervisor: its guest agent (VMware Tools) does not run.",
            tells="powered on, but no report from VMware Tools",
            signs=(
                Signature(
                    r"vmware ?tools\b.{0,60}(?:not (?:running|installed|reporting|available|found)|missing|failed)"
                    r"|guestToolsNotRunning|toolsNotInstalled|toolsNotRunning|(?:open-vm-tools"
                    r"|vmtoolsd)\b.{0,60}(?:not found|failed|not installed|inactive|main process exited|could not)"
                    r"|failed to start .{0,10}service for virtual machines hosted on vmware"
                    r"|guest agent\b.{0,60}(?:missing|not (?:running|installed|connected|responding)|no (?:answer"
                    r"|report))|no (?:guest agent|vmware tools)|waiting for (?:vmware|guest) tools"
                    r"|guest operations agent could not be contacted",
                    unless=r"not (?:needed|required)",
                ),
            ),
            remedy=("Use a node image with open-vm-tools, and let its service start at boot.",),
            cured_by=(
                Signature(
                    r"started .{0,10}service for virtual machines hosted on vmware|guestToolsRunning|toolsOk"
                    r"|guest agent (?:is )?(?:running|connected)|started open-vm-tools"
                ),
                *MILESTONES["has-address"],
            ),
            cured="The hypervisor shows the machine's address.",
        ),
        Cause(
            name="dhcp-no-answer",
            summary="No DHCP server answers the machine.",
            tells="the client asks again and again, and no offer comes",
            signs=(
                Signature(
                    r"no DHCPOFFERS|no working leases in persistent|dhcp\S*.{0,60}(?:timed out|timeout"
                    r"|no (?:answer|offers?|lease|response)|not answer|gave up|giving up)|no dhcp lease|no lease\b"
                    r"|(?:failed to|unable to|could not) (?:get|acquire|obtain)(?: an?)? (?:dhcp|lease)"
                    r"|udhcpc: no lease|^(?:eth|en)\w+: timed out$"
                    r"|DHCPv4 client: .{0,40}(?:timeout|no )",
                    kinds=GUEST,
                    unless=_FOREIGN + r"|dhcpv6|dhcp6|renew",
                ),
                Signature(
                    r"DHCPDISCOVER on (?P<target>\S+)", kinds=GUEST, at_least=4, unless=r"no free|from|" + _FOREIGN
                ),
                _WAITED,
            ),
            remedy=(
                "Start the DHCP server, or give the network one (a relay for another subnet).",
                "Check the port group and VLAN of the machine.",
                "Or use a static address pool.",
            ),
            cured_by=_CURES,
            cured=_CURED,
            silenced_by=(
                "provisioning-stalled/address-pool-exhausted",
                "address-not-assigned/dhcp-scope-exhausted",
                "address-not-assigned/network-adapter-disconnected",
                "address-not-assigned/cloud-init-incomplete",
            ),
        ),
    ),
    needs=frozenset({Kind.SYSLOG, Kind.CLOUD_INIT, Kind.OTHER}),
    missing="the machine's syslog or cloud-init.log",
)

KNOWN_BEFORE: Mapping[str, str] = {
    "dhcp-scope-exhausted": (
        "In preflight, where the cloud knows its DHCP scope. vSphere knows none: `pcg doctor` asks for an offer."
    ),
    "network-adapter-disconnected": (
        "Not: the adapter is a new machine's. That its network exists is looked up in preflight."
    ),
    "static-address-wrong": (
        "While typing: gateway, name servers and control-plane address must fit the subnet. In preflight: "
        "somebody has the control-plane address. Addresses of the pool that somebody has are left out of it."
    ),
    "dhcp-not-enabled": "Not: the node image decides it (docs/node-image.md).",
    "cloud-init-incomplete": "Not: the node image decides it (docs/node-image.md).",
    "guest-agent-missing": "Not: the node image decides it (docs/node-image.md).",
    "dhcp-no-answer": "With `pcg doctor` on a machine in the nodes' network: it asks for an offer and takes none.",
}
"""by cause: how it is told before it happens"""


PROBED = (About.ADDRESSES,)
CLEAR_WHEN_DONE = StepName.MACHINES


def probed(facts: Facts) -> Iterator[Finding]:
    """An address that is taken, or an adapter that has none: only while no adapter has one is DHCP to blame."""
    asked = [answer for answer in facts.probes if answer.about is About.ADDRESSES]
    taken = [answer for answer in asked if answer.kind == "address-in-use"]
    own = [answer for answer in asked if answer.probe == "adapter"]
    if taken:
        yield probe_finding(SCENARIO, LOGS, "static-address-wrong", taken, facts.now)
    if not own or any(answer.answer is Outcome.PASSED for answer in own):
        return
    unheard = [answer for answer in asked if answer.kind in ("dhcp-no-answer", "dhcp-refused")]
    unplugged = [answer for answer in own if answer.kind == "no-carrier"]
    if unheard:
        yield probe_finding(SCENARIO, LOGS, "dhcp-no-answer", unheard, facts.now)
    elif len(unplugged) == len(own):
        yield probe_finding(SCENARIO, LOGS, "network-adapter-disconnected", unplugged, facts.now)
