"""A node boots and reaches the API server but does not become a member: kubeadm's and the kubelet's own words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pcg.diagnosis.facts import Facts, waited_for
from pcg.diagnosis.log_files import Kind
from pcg.diagnosis.log_rules import GUEST, Cause, LogRules, Signature
from pcg.model.records import Finding
from pcg.model.states import StepName

SCENARIO = "node-not-joined"
CLEAR_WHEN_DONE = StepName.NODES
SILENCED_BY: tuple[str, ...] = ("address-not-assigned", "disk-full")

_CAUSES = {
    "bootstrap-token-expired": "token-expired",
    "api-server-certificate-wrong": "certificate-mismatch",
    "kubelet-not-running": "kubelet-not-running",
}
"""cause by the reason for which a node, or the API server, is waited for"""


def examine(facts: Facts) -> Iterator[Finding]:
    yield from waited_for(facts, SCENARIO, _CAUSES, (StepName.CONTROL_PLANE, StepName.NODES), _CURED)


JOINED = (
    Signature(
        (
            r"has joined the cluster|control-plane has initialized successfully"
            r"|successfully registered node|status is now: NodeReady|\bNodeReady\b"
        ),
        kinds=GUEST,
        unless=r"not ?ready|KubeletNotReady",
    ),
)
"""what every failed join ends with, once it succeeded"""

_CURED = "kubeadm says that the node has joined, and the node is Ready."

LOGS = LogRules(
    causes=(
        Cause(
            name="token-expired",
            summary="The token with which the node should join has expired or is unknown to the cluster.",
            tells="kubeadm finds no signature for the token, or the API server does not accept it",
            signs=(
                Signature(
                    r"could not find a JWS signature|token id \S+ is invalid for this cluster|(?:bootstrap|join"
                    r"|discovery)[ -]token\b.{0,80}(?:expired|invalid|not found|unknown|has been removed)"
                    r"|token \S+ (?:has )?expired"
                    r"|(?:expired|invalid) (?:bootstrap|join|discovery)[ -]token|invalid bearer token"
                    r"|secrets \"bootstrap-token-\w+\" not found|(?:cluster-info|kubeadm-config|TLS bootstrap"
                    r"|bootstrap client certificate|CertificateSigningRequest"
                    r"|cannot create certificate signing request).{0,160}(?:unauthorized|forbidden)"
                    r"|(?:error execution phase (?:preflight|kubelet-start)"
                    r"|couldn't validate the identity).{0,200}(?:unauthorized|token)",
                    kinds=GUEST,
                    unless=r"pairing|jet|service ?account|vcenter",
                ),
            ),
            remedy=(
                "Nothing: a new token is made at the next try.",
                "Check the clocks of node and control plane; a token is valid for a time.",
            ),
            cured_by=JOINED,
            cured=_CURED,
        ),
        Cause(
            name="certificate-mismatch",
            summary="The node and the cluster do not hold certificates of the same CA.",
            tells="the cluster's CA is not the pinned one, or the API server's certificate is of another CA or "
            "for other names",
            signs=(
                Signature(
                    r"none of the public keys .{0,200}(?:are )?pinned"
                    r"|cluster CA found in cluster-info .{0,40}(?:invalid|not)"
                    r"|CA certificate .{0,80}is not the cluster's|public key .{0,80}not pinned"
                    r"|discovery-token-ca-cert-hash.{0,60}(?:mismatch|not|invalid|wrong)"
                    r"|verify candidate authority certificate \\?\"?kubernetes|(?::6443|apiserver|api server"
                    r"|kube-apiserver|API Server).{0,300}(?:signed by unknown authority"
                    r"|certificate is valid for .{0,200}not |crypto/rsa: verification error"
                    r"|ECDSA verification failure|certificate verify failed)"
                    r"|secret \\?\"kubeadm-certs\\?\" was not found|error (?:downloading|decrypting"
                    r"|decoding) (?:the )?(?:certs|certificate)|failed to load (?:client"
                    r"|bootstrap) .{0,40}(?:certificate|key).{0,80}|tls: private key does not match public key"
                    r"|part of the existing bootstrap client certificate .{0,80}(?:is )?(?:expired|invalid)"
                    r"|x509: .{0,160}etcd-ca",
                    kinds=GUEST | {Kind.CONTAINER},
                    unless=r"webhook|metrics-server|/sdk|vcenter|palette|console|registry",
                ),
            ),
            remedy=(
                "Let the gateway build the node anew: its certificates come from the cluster's own CA.",
                "Check that no node of an earlier incarnation answers at the control-plane address.",
            ),
            cured_by=JOINED,
            cured=_CURED,
        ),
        Cause(
            name="kubelet-not-running",
            summary="The kubelet does not run on the node, so kubeadm waits in vain.",
            tells="kubeadm's kubelet check fails, or systemd says how the kubelet ended",
            signs=(
                Signature(
                    r"kubelet isn't running or healthy|kubelet is not (?:running|healthy)|kubelet is unhealthy"
                    r"|localhost:10248.{0,120}(?:refused|failed|deadline|timeout)"
                    r"|127\.0\.0\.1:10248.{0,120}(?:refused|failed|deadline|timeout)"
                    r"|kubelet\.service: (?:failed with result|start request repeated|main process exited"
                    r"|unit entered failed)|failed to start (?:kubelet|Kubernetes node agent)"
                    r"|failed to run kubelet|running with swap on is not supported"
                    r"|failed to (?:construct|create) kubelet|kubelet cgroup driver.{0,60}different"
                    r"|kubelet (?:exited|crashed|died)|validate service connection: .{0,120}(?:runtime|containerd)"
                    r"|container runtime is not running|unknown (?:flag|service runtime)",
                    kinds=GUEST,
                    unless=r"/var/lib/kubelet/config\.yaml|will (?:be )?retr",
                ),
            ),
            remedy=(
                "Read the kubelet's own last lines (journalctl -u kubelet): swap, container runtime, configuration.",
                "Let the gateway build the node anew.",
            ),
            cured_by=JOINED,
            cured=_CURED,
        ),
    ),
    needs=frozenset({Kind.KUBELET, Kind.OUTPUT, Kind.SYSLOG, Kind.OTHER}),
    missing="the node's cloud-init-output.log or the kubelet's journal",
    silenced_by=SILENCED_BY,
)

KNOWN_BEFORE: Mapping[str, str] = {
    "token-expired": "Not: tokens are made anew for each machine.",
    "certificate-mismatch": "Not: certificates are derived, so they fit; hosts' clocks are looked at in preflight.",
    "kubelet-not-running": "Not: the node image decides it (docs/node-image.md).",
}
"""by cause: how it is told before it happens"""
