"""The subresource `pods/eviction`: a pod ends if every PodDisruptionBudget that it falls under allows it.

https://kubernetes.io/docs/concepts/scheduling-eviction/api-eviction/ Called by the app. Budgets in numbers alone are
served, no percentages; what a budget expects is counted over the pods that it selects.
"""

from __future__ import annotations

from typing import Any

from pcg.clouds.guest.kubernetes_api.resources import Object, matches
from pcg.clouds.guest.kubernetes_api.status import StatusError, bad_request
from pcg.clouds.guest.kubernetes_api.store import ObjectStore

_REFUSED = "Cannot evict pod as it would violate the pod's disruption budget."
_TWO_BUDGETS = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."


def evict(store: ObjectStore, name: str, namespace: str, given: dict[str, Any]) -> None:
    """Raises StatusError: 404, 429 for a budget, 500 for two of them."""
    if (given.get("apiVersion"), given.get("kind")) != ("policy/v1", "Eviction"):
        raise bad_request(f"no kind {given.get('kind')!r} is registered for version {given.get('apiVersion')!r}")
    pod = store.get("pods", name, namespace)
    if pod["status"].get("phase") == "Running":
        budgets = [
            budget for budget in store.select("poddisruptionbudgets", namespace) if _selects(budget["spec"], pod)
        ]
        if len(budgets) > 1:
            raise StatusError(500, "InternalError", _TWO_BUDGETS)
        for budget in budgets:
            _demand_room(store, budget, namespace)
    store.delete("pods", name, namespace)


def _demand_room(store: ObjectStore, budget: Object, namespace: str) -> None:
    spec, name = budget["spec"], budget["metadata"]["name"]
    pods = [pod for pod in store.select("pods", namespace) if _selects(spec, pod)]
    healthy = sum(1 for pod in pods if _is_ready(pod))
    needed = spec["minAvailable"] if "minAvailable" in spec else len(pods) - spec.get("maxUnavailable", 0)
    if healthy - needed < 1:
        why = f"The disruption budget {name} needs {needed} healthy pods and has {healthy} currently"
        details = {"causes": [{"reason": "DisruptionBudget", "message": why}]}
        raise StatusError(429, "TooManyRequests", _REFUSED, details)


def _selects(spec: Object, pod: Object) -> bool:
    return matches(pod["metadata"].get("labels") or {}, spec["selector"]["matchLabels"])


def _is_ready(pod: Object) -> bool:
    conditions = pod["status"].get("conditions", ())
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)
