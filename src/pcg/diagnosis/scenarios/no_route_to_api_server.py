"""The nodes cannot reach the Kubernetes API server (seed: `no route to host`). The same words about any other
server are not this scenario; a node without an address cannot reach anything, and that is told instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pcg.diagnosis.facts import Facts, waited_for
from pcg.diagnosis.hops import failed_hop, peer_findings
from pcg.diagnosis.log_context import towards_api_server
from pcg.diagnosis.log_files import Kind
from pcg.diagnosis.log_rules import ANY, Cause, LogRules, Signature
from pcg.diagnosis.probes.answer import About
from pcg.model.records import Finding
from pcg.model.states import StepName

SCENARIO = "no-route-to-api-server"
SILENCED_BY: tuple[str, ...] = ("address-not-assigned", "disk-full")

_CAUSES = {
    "nodes-silent": "network-misconfigured",
    "node-not-set-up": "cloud-init-failed",
    "api-port-silent": "firewall-blocked",
    "shared-address-silent": "virtual-ip-not-held",
    **dict.fromkeys(("api-server-refused", "api-server-not-ready", "api-server-silent"), "api-server-down"),
}
"""cause by the reason for which the API server, or a node, is waited for"""


def examine(facts: Facts) -> Iterator[Finding]:
    yield from waited_for(facts, SCENARIO, _CAUSES, (StepName.CONTROL_PLANE, StepName.NODES), _CURED)


_TARGET = r"(?:(?:dial tcp |https://)(?P<target>\[?[\w.:-]+?\]?:(?:6443|8080)).{0,300})?"
_CURES = (
    Signature(
        r"successfully registered node|has joined the cluster"
        r"|control-plane has initialized successfully|all control plane components are healthy"
        r"|status is now: NodeReady|\bNodeReady\b"
        r"|successfully (?:acquired|renewed|updated|created) lease|caches populated"
        r"|api-?server (?:is )?(?:reachable|healthy|back|ready)|/readyz.{0,40}(?:: ok|200 OK"
        r"|returned ok)|control plane is ready",
        unless=r"not ?ready|KubeletNotReady|failed|\bnot\b",
    ),
)
_CURED = "The kubelet renews its lease and the node is Ready."
_CLOUD_INIT = frozenset({Kind.CLOUD_INIT, Kind.OUTPUT, Kind.SYSLOG, Kind.OTHER})
_BY_NODE = (
    "node-not-joined/kubelet-not-running",
    "no-route-to-api-server/cloud-init-failed",
    "no-route-to-api-server/virtual-ip-not-held",
)

LOGS = LogRules(
    causes=(
        Cause(
            name="virtual-ip-not-held",
            summary="No node holds the control-plane address, or two do.",
            tells="the node that should announce the address failed to, gave it up, or found it in use",
            signs=(
                Signature(
                    r"dadfailed|(?:virtual ip|\bvip\b|kube-vip|control-?plane address"
                    r"|controlPlaneEndpoint).{0,160}(?:not held|held by|no node|nobody|two nodes|duplicate"
                    r"|conflict|already in use|in use by|lost|not announced|unable to|failed|could not|cannot)"
                    r"|(?:duplicate|conflicting|two).{0,60}(?:virtual ip|\bvip\b|control-?plane address)"
                    r"|kube-vip.{0,160}(?:lost leadership|leader ?election lost|fatal|panic)|(?:failed|unable"
                    r"|could not) to (?:add|set|bind|announce|broadcast).{0,60}(?:\bvip\b|virtual ip|gratuitous)",
                    unless=r"\blevel=info\b|starting kube-vip|plndr-svcs-lock",
                ),
            ),
            remedy=(
                "Give a control-plane address that nobody else uses (check by ARP from a neighbour).",
                "See why the control-plane node that should hold it does not run.",
            ),
            cured_by=_CURES,
            cured=_CURED,
        ),
        Cause(
            name="cloud-init-failed",
            summary="A node has an address, but its cloud-init did not finish.",
            tells="which module failed, in which line",
            signs=(
                Signature(
                    r"failed to shellify|failed at merging in cloud config|failed loading yaml"
                    r"|failed (?:to )?(?:parse|load).{0,40}(?:user.?data|cloud.config)|invalid cloud-config"
                    r"|cloud config schema errors|unhandled non-multipart|running module (?:write|ntp|users|ssh"
                    r"|set|disk|growpart|bootcmd|apt|package|ca|resolv)\S* .{0,60}failed"
                    r"|cloud-(?:init|config|final)(?:-local)?\.service: (?:failed with result|main process exited)"
                    r"|failed to start (?:cloud-init|.{0,30}cloud-(?:config|init|final))|config-(?!scripts"
                    r"|runcmd)\S+: FAIL|cc_(?!scripts|runcmd|final|package|apt|ssh|locale|timezone|growpart"
                    r"|resizefs)\w+\.py\[(?:ERROR|CRITICAL)\]"
                    r"|did not find any data source|no instance datasource found",
                    kinds=_CLOUD_INIT,
                    unless=r"sub-?process|will retry|deprecat",
                ),
                Signature(
                    (
                        r"running module (?:scripts|runcmd)\S* .{0,80}failed|failed to run module scripts"
                        r"|cc_(?:scripts_user|runcmd)\.py\[(?:WARNING|ERROR)\]|failed to (?:run|execute) (?:runcmd"
                        r"|bootcmd|scripts)|runparts: \d+ failures|\d+ failed with exit code|/scripts/runcmd: \d+: "
                    ),
                    kinds=_CLOUD_INIT,
                    weak=True,
                ),
            ),
            remedy=(
                "Read the named module's lines in the node's cloud-init.log; correct the template or the user data.",
            ),
            cured_by=_CURES,
            cured="cloud-init finishes without an error, and the node joins.",
            silenced_by=("node-not-joined", "installer-not-registered", "vm-not-in-console"),
        ),
        Cause(
            name="network-misconfigured",
            summary="A node has no route to the API server.",
            detail="It was looked for at {target}.",
            tells="no route to the API server's address on port 6443, or the network is unreachable",
            signs=(
                Signature(
                    (
                        rf"{_TARGET}(?:no route to host|network is unreachable|host is unreachable|host unreachable"
                        rf"|network unreachable|EHOSTUNREACH|ENETUNREACH|Errno 113|Errno 101)"
                    ),
                    where=towards_api_server,
                ),
            ),
            remedy=(
                (
                    "Check subnet, prefix and gateway of the nodes, and that the control-plane address lies in "
                    "their network."
                ),
                "Check that the control-plane address is held by a running node.",
            ),
            cured_by=_CURES,
            cured=_CURED,
            silenced_by=_BY_NODE,
        ),
        Cause(
            name="firewall-blocked",
            summary="The API server does not answer: connections time out rather than being refused.",
            detail="It was tried at {target}.",
            tells="connections to port 6443 time out, while a refusal would come at once",
            signs=(
                Signature(
                    (
                        rf"{_TARGET}(?:i/o timeout|timed out|deadline exceeded|Client\.Timeout exceeded"
                        rf"|handshake timeout|ETIMEDOUT|Errno 110|connection timeout)"
                    ),
                    where=towards_api_server,
                    unless=r"etcd|request did not complete within|timeout waiting for .{0,20}condition|webhook|readyz"
                    r"|leaderelection lost|shutting down",
                ),
            ),
            remedy=(
                "Open TCP 6443 between the nodes, and from the gateway to them.",
                "See whether the control-plane node runs.",
            ),
            cured_by=_CURES,
            cured=_CURED,
            silenced_by=_BY_NODE,
        ),
        Cause(
            name="api-server-down",
            summary="The API server does not run: connections are refused, or its own checks fail.",
            detail="It was tried at {target}.",
            tells="a refusal at once on port 6443, or which check of /readyz fails",
            signs=(
                Signature(
                    (
                        rf"{_TARGET}(?:connection refused|connection was refused|was refused - did you specify"
                        rf"|ECONNREFUSED|Errno 111|refused the connection)"
                    ),
                    where=towards_api_server,
                ),
                Signature(
                    r"\[-\]\S+ failed|(?:readyz|livez|healthz) check failed|kube-apiserver.{0,120}(?:exited"
                    r"|CrashLoopBackOff|back-off|panic|fatal|not ready)|the API server (?:is not"
                    r"|did not become) (?:healthy|ready)|/readyz.{0,60}(?:\b50\d\b|failed)"
                    r"|control plane component .{0,20}kube-apiserver.{0,40}not healthy"
                    r"|kube-apiserver: listen tcp .{0,80}bind",
                    kinds=ANY,
                    unless=r"webhook|aggregat|metrics",
                ),
            ),
            remedy=(
                "Read the log of kube-apiserver and etcd on the control-plane node: which of them ends, and why.",
                "Check the control-plane node's disk, memory and clock.",
            ),
            cured_by=_CURES,
            cured=_CURED,
            silenced_by=_BY_NODE,
        ),
    ),
    needs=frozenset({Kind.KUBELET, Kind.CONTAINER, Kind.OTHER}),
    missing="the node's kubelet journal (kubelet.log) or container logs",
    silenced_by=SILENCED_BY,
)

KNOWN_BEFORE: Mapping[str, str] = {
    "virtual-ip-not-held": (
        "While typing: the address lies in the nodes' subnet and is nobody's who is named. In preflight: "
        "somebody has it (address-not-assigned/static-address-wrong)."
    ),
    "cloud-init-failed": (
        "Not: the node image decides it. What nodes are given is checked by cloud-init's own schema in the tests."
    ),
    "network-misconfigured": (
        "While typing: subnet, gateway, control-plane address, and the pods' and services' networks must fit."
    ),
    "firewall-blocked": "Not: there is no node to ask from yet. `pcg ports` names what must be let through.",
    "api-server-down": "Not: there is none before.",
}
"""by cause: how it is told before it happens"""


PROBED = (About.API_SERVER,)
CLEAR_WHEN_DONE = StepName.CONTROL_PLANE
_BY_KIND = {"no-route": "network-misconfigured", "connection-timed-out": "firewall-blocked"}


def probed(facts: Facts) -> Iterator[Finding]:
    kind = next((answer.kind for answer in failed_hop(facts, About.API_SERVER) if answer.failed), "")
    cause = _BY_KIND.get(kind, "api-server-down")
    yield from peer_findings(SCENARIO, LOGS, facts, About.API_SERVER, cause=cause, cured=_CURED)
