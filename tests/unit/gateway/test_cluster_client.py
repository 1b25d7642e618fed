"""The client's key on its way to TLS, which takes it from a file alone."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pcg.gateway.cluster_client import cluster_client
from pcg.nodes.pki import client_certificate, cluster_secrets


async def test_the_key_is_never_on_the_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A process that is killed while a client is made would leave it there."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "not there"))
    secrets = cluster_secrets(b"s" * 32, "g7k2mq9d4x", 1)
    certificate = client_certificate(secrets, datetime.now(UTC))
    async with cluster_client("127.0.0.1:6443", secrets.ca_certificate, certificate) as client:
        assert str(client.base_url) == "https://127.0.0.1:6443"
