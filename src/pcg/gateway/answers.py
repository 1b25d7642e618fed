"""What the gateway answers to the console's requests: preflight, inventory, kubeconfig, bundle.
Read-only, by closed list.

The agent hands `requests_of` to the session.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from pcg.clouds.base import Check
from pcg.errors import NotFound, PcgError
from pcg.gateway.inventory_answer import inventory_answer
from pcg.gateway.reconciler import Reconciler
from pcg.gateway.requests import Handler, problem_of
from pcg.model.configuration import Configuration, Template, parse_configuration
from pcg.model.yaml_document import write_yaml


def requests_of(reconciler: Reconciler, bundle: Handler | None = None) -> Mapping[str, Handler]:
    """`bundle`: `BundleAnswer.answer`; without it the verb is not answered."""

    async def preflight(arguments: dict[str, Any]) -> dict[str, Any]:
        """`configuration`: another one than the stored, for the same cloud."""
        configuration = _configuration(reconciler, arguments)
        return {"checks": [_check(reconciler, check) for check in await reconciler.preflight(configuration)]}

    async def inventory(arguments: dict[str, Any]) -> dict[str, Any]:
        """What the cloud has to choose from; `datacenter`: of that one alone."""
        async with reconciler.connected() as connection:
            found = await connection.inventory(_template_folder(reconciler))
        return inventory_answer(found, str(arguments.get("datacenter") or ""))

    async def kubeconfig(arguments: dict[str, Any]) -> dict[str, Any]:
        """An administrator's, for at most eight hours."""
        address = reconciler.api_address()
        if address is None:
            raise NotFound(
                "The gateway cluster has no API server yet.",
                reason="cluster-not-ready",
                remedy=["Wait until the step control-plane is done."],
            )
        keys, incarnation = reconciler.cluster_keys, reconciler.incarnation
        certificate, secrets = keys.for_person(incarnation), keys.secrets(incarnation)
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": "pcg",
                    "cluster": {
                        "server": f"https://{address}",
                        "certificate-authority-data": _base64(secrets.ca_certificate),
                    },
                }
            ],
            "users": [
                {
                    "name": "administrator",
                    "user": {
                        "client-certificate-data": _base64(certificate.certificate),
                        "client-key-data": _base64(certificate.key),
                    },
                }
            ],
            "contexts": [{"name": "pcg", "context": {"cluster": "pcg", "user": "administrator"}}],
            "current-context": "pcg",
        }
        text = write_yaml(document)
        return {"kubeconfig": text, "expires_at": certificate.not_after.isoformat()}

    answers: dict[str, Handler] = {"preflight": preflight, "inventory": inventory, "kubeconfig": kubeconfig}
    return answers if bundle is None else {**answers, "bundle": bundle}


def _configuration(reconciler: Reconciler, arguments: dict[str, Any]) -> Configuration:
    given = arguments.get("configuration")
    if given is not None:
        return parse_configuration(given)[0]
    desired = reconciler.desired
    if desired is None or desired.configuration is None:
        raise NotFound("The gateway is not configured yet.", reason="not-configured", remedy=["Configure it first."])
    return desired.configuration


def _template_folder(reconciler: Reconciler) -> str:
    desired = reconciler.desired
    if desired is None or desired.configuration is None:
        return str(Template.model_fields["folder"].default)
    return desired.configuration.template.folder


def _check(reconciler: Reconciler, check: Check) -> dict[str, Any]:
    problem = problem_of(check.problem, reconciler.clock) if isinstance(check.problem, PcgError) else None
    return {
        "name": check.name,
        "ok": check.ok,
        "what": check.what,
        "problem": problem.model_dump(mode="json") if problem else None,
    }


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
