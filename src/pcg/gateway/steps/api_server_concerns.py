"""Why the cluster's API server does not answer for longer than usual: asked at the doors of its machines.

A refusal says that the host is there and nothing listens, silence that packets are dropped on the way; the kubelet's
port of the same machine tells a packet filter from a network, and a dead API server from a node that was never set up.
Called by the step control-plane.
"""

from __future__ import annotations

import asyncio

from pcg.errors import PcgError, TryAgain
from pcg.gateway.steps.outcome import Situation
from pcg.network.knocking import Knock

API_PORT = 6443
KUBELET_PORT = 10250
USUAL_SECONDS = 300.0
"""`kubeadm init` itself gives the control plane 240 s"""


async def api_server_concern(situation: Situation, address: str, silence: PcgError) -> PcgError:
    """`address` is HOST:PORT of the API server that does not answer, `silence` how it does not."""
    reason, words, remedy, evidence = await _judged(situation, address, silence)
    return TryAgain(
        f"The API server {address} does not answer: {words}.",
        reason=reason,
        evidence=[*silence.evidence[:8], *evidence][:16],
        remedy=[remedy, "It goes on by itself as soon as the API server answers."],
        fields={"server": address},
    )


async def _judged(situation: Situation, address: str, silence: PcgError) -> tuple[str, str, str, list[str]]:
    """Reason, words, remedy and evidence."""
    if silence.fields.get("hop") == "tls":
        return (
            "api-server-certificate-wrong",
            "whoever answers there has no certificate of this cluster's CA",
            "Find who answers at that address: a node of an earlier cluster, or something that opens TLS between.",
            [],
        )
    if silence.reason == "api-server-not-ready":
        return "api-server-not-ready", "its own checks fail", _READ_LOGS, []
    own = [machine.address for machine in situation.machines if machine.address]
    doors = [(node, port) for node in own for port in (API_PORT, KUBELET_PORT)]
    answers = dict(zip(doors, await asyncio.gather(*(situation.knock(*door) for door in doors)), strict=True))
    evidence = [f"{node} port {port}: {answer}" for (node, port), answer in answers.items()]
    api = {answers[node, API_PORT] for node in own}
    kubelets = {answers[node, KUBELET_PORT] for node in own}
    host = address.rpartition(":")[0]
    if Knock.OPEN in api:
        if host not in own:
            return (
                "shared-address-silent",
                f"a node's own API server answers, but not at the shared address {host}",
                "Let the switch pass packets of an address that is not the machine's own (forged transmits), "
                "and give a controlPlaneAddress that nobody else has.",
                evidence,
            )
        return "api-server-silent", "it takes connections and says nothing", _READ_LOGS, evidence
    if Knock.REFUSED in api and (Knock.OPEN in kubelets or situation.cluster.formed):
        return "api-server-refused", "its machine runs, and nothing listens on the port", _READ_LOGS, evidence
    if Knock.REFUSED in api:
        return (
            "node-not-set-up",
            "its machine has an address, and neither an API server nor a kubelet: cloud-init has not set it up",
            "Read cloud-init.log and cloud-init-output.log on the machine's console: which module failed?",
            evidence,
        )
    if kubelets & {Knock.OPEN, Knock.REFUSED}:
        return (
            "api-port-silent",
            f"packets to port {API_PORT} are dropped, while the same machine answers on port {KUBELET_PORT}",
            f"Open TCP {API_PORT} from this gateway to the nodes, and between them.",
            evidence,
        )
    return (
        "nodes-silent",
        "no packet comes back from any of its machines, though the cloud shows their addresses",
        "Check the nodes' subnet, prefix and gateway, and the route from this gateway to their network and back.",
        evidence,
    )


_READ_LOGS = "Read the logs of kube-apiserver and etcd on the control-plane node (crictl logs): which ends, and why?"
