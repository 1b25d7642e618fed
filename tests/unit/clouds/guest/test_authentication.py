"""Who asks the Kubernetes API and what they may: administrators all, a joining node its two reads, others one."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from pcg.clock import LoopClock
from pcg.clouds.guest.api_servers import InProcessTransport
from pcg.clouds.guest.certificates import Authority, Peer
from pcg.clouds.guest.kubernetes_api.authentication import authenticate, token_secret
from pcg.clouds.guest.kubernetes_api.status import StatusError
from pcg.clouds.guest.kubernetes_api.store import ObjectStore
from pcg.nodes.pki import client_certificate, cluster_secrets

from .lab import SECRETS, Lab, node_machine, running_lab

CLUSTER_INFO = "/api/v1/namespaces/kube-public/configmaps/cluster-info"
KUBEADM_CONFIG = "/api/v1/namespaces/kube-system/configmaps/kubeadm-config"
TOKEN_SECRET = f"/api/v1/namespaces/kube-system/secrets/bootstrap-token-{SECRETS.bootstrap_token(1)[:6]}"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
OTHER = cluster_secrets(b"s" * 32, "gateway-2", 1)


async def ask(lab: Lab, path: str, method: str = "GET", *, certificate: str = "", authorization: str = "") -> Any:
    transport = InProcessTransport(lab.runner.api_servers, ca=SECRETS.ca_certificate, certificate=certificate)
    headers = {"Authorization": authorization} if authorization else {}
    async with httpx.AsyncClient(transport=transport, headers=headers) as client:
        return await client.request(method, f"https://127.64.0.10:6443{path}")


@pytest.mark.looptime
async def test_a_joining_node_may_read_what_joining_needs_and_nothing_else(tmp_path: Path) -> None:
    async with running_lab(tmp_path, LoopClock()) as lab:
        lab.hypervisor.put(node_machine(1))
        await lab.nodes_are_ready()
        bearer = f"Bearer {SECRETS.bootstrap_token(1)}"
        for path in (CLUSTER_INFO, KUBEADM_CONFIG):
            assert (await ask(lab, path, authorization=bearer)).status_code == 200
        for path in ("/api/v1/nodes", "/api/v1/secrets", TOKEN_SECRET, "/api/v1/namespaces/kube-system/configmaps"):
            answer = await ask(lab, path, authorization=bearer)
            assert (answer.status_code, answer.json()["reason"]) == (403, "Forbidden")
        answer = await ask(lab, KUBEADM_CONFIG, "DELETE", authorization=bearer)
        user = f"system:bootstrap:{SECRETS.bootstrap_token(1)[:6]}"
        assert answer.json()["message"] == (
            f'configmaps "kubeadm-config" is forbidden: User "{user}" cannot delete resource "configmaps" '
            'in the namespace "kube-system"'
        )


@pytest.mark.looptime
async def test_nobody_in_particular_may_read_the_cluster_info_and_health(tmp_path: Path) -> None:
    async with running_lab(tmp_path, LoopClock()) as lab:
        lab.hypervisor.put(node_machine(1))
        await lab.nodes_are_ready()
        for path in (CLUSTER_INFO, "/readyz", "/livez", "/version"):
            assert (await ask(lab, path)).status_code == 200
        answer = await ask(lab, "/api/v1/nodes")
        assert answer.status_code == 403
        words = 'nodes is forbidden: User "system:anonymous" cannot list resource "nodes" at the cluster scope'
        assert answer.json()["message"] == words
        assert (await ask(lab, KUBEADM_CONFIG)).status_code == 403


@pytest.mark.looptime
@pytest.mark.parametrize(
    "authorization",
    [
        "Bearer abcdef.0123456789abcdef",
        f"Bearer {SECRETS.bootstrap_token(1)}x",
        f"Bearer {SECRETS.bootstrap_token(1)[:7]}",
        f"Bearer {SECRETS.bootstrap_token(1)[:6]}",
        f"Basic {SECRETS.bootstrap_token(1)}",
        "Bearer",
        "Bearer .",
    ],
    ids=["unknown", "longer", "without its secret", "id alone", "another scheme", "empty", "a dot"],
)
async def test_a_token_that_is_not_the_clusters_is_unauthorized(tmp_path: Path, authorization: str) -> None:
    async with running_lab(tmp_path, LoopClock()) as lab:
        lab.hypervisor.put(node_machine(1))
        await lab.nodes_are_ready()
        answer = await ask(lab, CLUSTER_INFO, authorization=authorization)
        assert (answer.status_code, answer.json()["reason"], answer.json()["kind"]) == (401, "Unauthorized", "Status")


@pytest.mark.looptime
async def test_a_client_certificate_opens_what_its_organizations_may(tmp_path: Path) -> None:
    async with running_lab(tmp_path, LoopClock()) as lab:
        lab.hypervisor.put(node_machine(1))
        await lab.nodes_are_ready()
        admin = client_certificate(SECRETS, lab.clock.now()).certificate
        assert (await ask(lab, "/api/v1/nodes", certificate=admin)).status_code == 200
        authority = Authority.load(SECRETS.ca_certificate, SECRETS.ca_key)
        nobody, _ = authority.client(Peer("somebody", ("readers",)), lab.clock.now())
        answer = await ask(lab, "/api/v1/nodes", certificate=nobody)
        assert answer.status_code == 403
        assert 'User "somebody"' in answer.json()["message"]


@pytest.mark.looptime
async def test_another_clusters_certificate_is_refused_before_any_request(tmp_path: Path) -> None:
    async with running_lab(tmp_path, LoopClock()) as lab:
        lab.hypervisor.put(node_machine(1))
        await lab.nodes_are_ready()
        with pytest.raises(httpx.ReadError, match="unknown ca"):
            await ask(lab, "/readyz", certificate=client_certificate(OTHER, lab.clock.now()).certificate)
        transport = InProcessTransport(lab.runner.api_servers, ca=OTHER.ca_certificate)
        async with httpx.AsyncClient(transport=transport) as client:
            with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
                await client.get("https://127.64.0.10:6443/readyz")


def store_with(**changes: str) -> ObjectStore:
    store = ObjectStore(lambda: NOW, lambda: None, lambda: None)
    store.create("namespaces", {"metadata": {"name": "kube-system"}})
    secret = token_secret(SECRETS.bootstrap_token(1), NOW + timedelta(hours=1))
    secret["stringData"] |= changes
    store.create("secrets", secret, "kube-system")
    return store


@pytest.mark.parametrize(
    ("changes", "after", "good"),
    [
        ({}, timedelta(minutes=59), True),
        ({}, timedelta(hours=1), False),
        ({"expiration": ""}, timedelta(days=365), True),
        ({"expiration": "soon"}, timedelta(), False),
        ({"expiration": "2026-06-01T00:00:00"}, timedelta(), False),
        ({"token-secret": ""}, timedelta(), False),
        ({"token-secret": "x" * 16}, timedelta(), False),
        ({"usage-bootstrap-authentication": "false"}, timedelta(), False),
    ],
)
def test_a_bootstrap_token_is_what_its_secret_says(changes: dict[str, str], after: timedelta, good: bool) -> None:
    store, header = store_with(**changes), f"Bearer {SECRETS.bootstrap_token(1)}"
    if good:
        assert authenticate(None, header, store, NOW + after).groups == ("system:bootstrappers",)
        return
    with pytest.raises(StatusError) as refused:
        authenticate(None, header, store, NOW + after)
    assert refused.value.code == 401


def test_a_secret_of_another_type_is_no_token() -> None:
    store = store_with()
    name = f"bootstrap-token-{SECRETS.bootstrap_token(1)[:6]}"
    store.patch("secrets", name, {"type": "Opaque"}, "kube-system")
    with pytest.raises(StatusError):
        authenticate(None, f"Bearer {SECRETS.bootstrap_token(1)}", store, NOW)


def test_the_tokens_secret_is_written_as_kubeadm_writes_it() -> None:
    secret = store_with().get("secrets", f"bootstrap-token-{SECRETS.bootstrap_token(1)[:6]}", "kube-system")
    data = {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}
    assert secret["type"] == "bootstrap.kubernetes.io/token"
    assert f"{data['token-id']}.{data['token-secret']}" == SECRETS.bootstrap_token(1)
    assert data["expiration"] == "2026-01-01T01:00:00Z"
