"""API servers on real sockets of 127.64.0.0/10: TLS checks both sides, and pulling the plug drops everything."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from pcg.clock import SystemClock
from pcg.nodes.pki import ClientCertificate, client_certificate, cluster_secrets

from .lab import SECRETS, BareHypervisor, Lab, node_machine, running_lab

FIRST, SECOND = "127.64.77.10", "127.64.77.11"
URL = f"https://{FIRST}:6443"
OTHER = cluster_secrets(b"s" * 32, "gateway-2", 1)


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    hypervisor = BareHypervisor(free=[FIRST, SECOND])
    async with running_lab(tmp_path, SystemClock(), hypervisor=hypervisor, speed=400.0, listen=True) as made:
        hypervisor.put(node_machine(1))
        await made.until(lambda: (tmp_path / "machines/node-1/rootfs/etc/kubernetes/kubelet.conf").exists(), within=10)
        yield made


def client(folder: Path, ca: str, certificate: ClientCertificate | None = None) -> httpx.AsyncClient:
    context = ssl.create_default_context(cadata=ca)
    if certificate is not None:
        pair = folder / "client.pem"
        pair.write_text(certificate.certificate + certificate.key)
        context.load_cert_chain(pair)
    return httpx.AsyncClient(verify=context, trust_env=False, timeout=5.0)


async def test_the_gateways_certificate_opens_the_cluster_over_tls(lab: Lab, tmp_path: Path) -> None:
    own = client_certificate(SECRETS, lab.clock.now())
    async with client(tmp_path, SECRETS.ca_certificate, own) as trusted:
        assert (await trusted.get(f"{URL}/readyz")).text == "ok"
        assert (await trusted.get(f"{URL}/api/v1/nodes")).status_code == 200
    async with client(tmp_path, SECRETS.ca_certificate) as anonymous:
        assert (await anonymous.get(f"{URL}/readyz")).text == "ok"
        assert (await anonymous.get(f"{URL}/api/v1/nodes")).status_code == 403


async def test_tls_refuses_another_ca_on_either_side(lab: Lab, tmp_path: Path) -> None:
    async with client(tmp_path, OTHER.ca_certificate) as distrusting:
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            await distrusting.get(f"{URL}/readyz")
    foreign = client_certificate(OTHER, lab.clock.now())
    async with client(tmp_path, SECRETS.ca_certificate, foreign) as stranger:
        with pytest.raises(httpx.TransportError):
            await stranger.get(f"{URL}/api/v1/nodes")


async def test_power_off_drops_open_connections_and_closes_the_port(lab: Lab, tmp_path: Path) -> None:
    async with client(tmp_path, SECRETS.ca_certificate) as connected:
        await connected.get(f"{URL}/readyz")
        lab.hypervisor.power("vm-1", on=False)

        async def refused() -> bool:
            try:
                await connected.get(f"{URL}/readyz")
            except httpx.ConnectError:
                return True
            except httpx.TransportError:
                return False
            return False

        await lab.until(refused, within=5)


async def test_an_address_that_cannot_be_listened_on_fails_init(tmp_path: Path) -> None:
    hypervisor = BareHypervisor(free=["192.0.2.1"])
    async with running_lab(tmp_path, SystemClock(), hypervisor=hypervisor, speed=400.0, listen=True) as lab:
        hypervisor.put(node_machine(1))
        await lab.until(lambda: "Failed to run module scripts-user" in lab.output(), within=10)
        assert "[kubelet-check] kube-apiserver: listen tcp 192.0.2.1:6443: bind: " in lab.output()
        assert "couldn't initialize a Kubernetes cluster" in lab.output()
