"""An HTTP client of a server of the gateway's own cluster, over TLS both ways. For `kubernetes_api` and `etcd_api`."""

from __future__ import annotations

import os
import ssl
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from pcg.network.plain_httpx import httpx
from pcg.nodes.pki import ClientCertificate

TIMEOUT_SECONDS = 5.0


@asynccontextmanager
async def cluster_client(address: str, ca: str, certificate: ClientCertificate) -> AsyncIterator[httpx.AsyncClient]:
    """To HOST:PORT of a server of the cluster. Trusts one CA of it (PEM) and shows a client certificate of that CA."""
    context = ssl.create_default_context(cadata=ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _show(context, certificate)
    async with httpx.AsyncClient(
        base_url=f"https://{address}", verify=context, timeout=TIMEOUT_SECONDS, trust_env=False
    ) as client:
        yield client


def _show(context: ssl.SSLContext, certificate: ClientCertificate) -> None:
    """Python's ssl takes a key from a file alone. On Linux that is one in memory: a process that is killed just then
    leaves no key on the disk. Elsewhere it is on the disk for a moment, for this user only."""
    text = (certificate.certificate + certificate.key).encode()
    if hasattr(os, "memfd_create"):
        with os.fdopen(os.memfd_create("client", os.MFD_CLOEXEC), "wb") as memory:
            memory.write(text)
            memory.flush()
            context.load_cert_chain(f"/proc/self/fd/{memory.fileno()}")
        return
    with tempfile.TemporaryDirectory(prefix="pcg-") as folder:
        file = Path(folder) / "client.pem"
        file.touch(mode=0o600)
        file.write_bytes(text)
        context.load_cert_chain(file)
