"""Step 9: jet's Deployment is there and has its token, as a Secret: never in guest info.

Beside the token lies the console's CA once it is another than the manifest gave: jet reads both anew by itself, so no
machine and no pod is made again for it.
"""

from __future__ import annotations

from typing import Any

from pcg.errors import AskPerson, InvalidInput
from pcg.gateway.steps.control_plane import SOON
from pcg.gateway.steps.outcome import Done, Outcome, Situation, Wait
from pcg.nodes.manifests import JET_CA, JET_NAME, JET_NAMESPACE, JET_SECRET
from pcg.sealing.boxes import open_sealed


async def jet_installed(situation: Situation) -> Outcome:
    token = _token(situation)
    async with situation.kubernetes(situation.api_address or "", situation.secrets, situation.certificate()) as api:
        deployment = await api.deployment(JET_NAMESPACE, JET_NAME)
        if deployment is None:
            return Wait("waiting for the first node to apply jet's manifest", SOON)
        present = await api.secret(JET_NAMESPACE, JET_SECRET)
        wanted = {"token": token} | _newer_ca(deployment, situation.jet.ca_pem)
        if present != wanted:
            await api.put_secret(JET_NAMESPACE, JET_SECRET, wanted)
            situation.tell_once("jet token", "JetTokenInstalled", "Jet has its authorization token.")
        for pod in await api.pods(JET_NAMESPACE):
            if in_back_off(pod):
                # What made it crash is mended; waiting out a back-off of up to five minutes would serve nobody.
                await api.delete_pod(JET_NAMESPACE, pod["metadata"]["name"])
    return Done()


def in_back_off(pod: dict[str, Any]) -> bool:
    statuses = pod.get("status", {}).get("containerStatuses", [])
    return any(status.get("state", {}).get("waiting", {}).get("reason") == "CrashLoopBackOff" for status in statuses)


def is_ready(pod: dict[str, Any]) -> bool:
    statuses = pod.get("status", {}).get("containerStatuses", [])
    return bool(statuses) and all(status.get("ready") for status in statuses)


def _newer_ca(deployment: dict[str, Any], ca: str) -> dict[str, bytes]:
    """What jet must trust beyond its manifest; nothing when that is the same, or cannot be told."""
    template = deployment.get("spec", {}).get("template", {}).get("spec", {})
    environments = [item.get("env", []) for item in template.get("containers", []) if item.get("name") == JET_NAME]
    given = next((entry.get("value") for env in environments for entry in env if entry["name"] == "PCG_CA_PEM"), None)
    return {} if given is None or given.strip() == ca.strip() else {JET_CA: ca.encode()}


def _token(situation: Situation) -> bytes:
    sealed = situation.desired.jet_token
    try:
        if sealed is not None:
            return open_sealed(situation.keys.opening, sealed)
    except InvalidInput:
        pass  # the same remedy as without any token, told below
    raise AskPerson(
        "The console has given no authorization token for jet that this gateway can open.",
        reason="jet-token-missing",
        remedy=["Reset the gateway and configure it again: that makes a new token."],
    )
