"""The gateway's way into its own cluster: the cluster's secrets, derived and never stored, and client certificates.

Used by the reconciler for its steps, and by the answers for a person's kubeconfig.
"""

from __future__ import annotations

from pcg.clock import Clock
from pcg.nodes.pki import (
    OWN_LIFETIME,
    RENEW_OWN_SECONDS,
    ClientCertificate,
    ClusterSecrets,
    client_certificate,
    cluster_secrets,
    etcd_client_certificate,
)


class ClusterKeys:
    """Of one gateway. Each incarnation is another cluster, with other secrets."""

    def __init__(self, gateway_id: str, seed: bytes, clock: Clock) -> None:
        self._gateway_id = gateway_id
        self._seed = seed
        self._clock = clock
        self._secrets: tuple[int, ClusterSecrets] | None = None
        self._own: tuple[int, float, ClientCertificate] | None = None
        """of which incarnation, and when it was made, in monotonic time"""

    def secrets(self, incarnation: int) -> ClusterSecrets:
        if self._secrets is None or self._secrets[0] != incarnation:
            self._secrets = (incarnation, cluster_secrets(self._seed, self._gateway_id, incarnation))
        return self._secrets[1]

    def own(self, incarnation: int) -> ClientCertificate:
        """The gateway's own for the cluster's API server; renewed in time."""
        now = self._clock.monotonic()
        if self._own is None or self._own[0] != incarnation or now - self._own[1] >= RENEW_OWN_SECONDS:
            made = client_certificate(self.secrets(incarnation), self._clock.now(), lifetime=OWN_LIFETIME)
            self._own = (incarnation, now, made)
        return self._own[2]

    def for_etcd(self, incarnation: int) -> ClientCertificate:
        """A new one each time: it is used when a machine was lost, and hardly ever else."""
        return etcd_client_certificate(self.secrets(incarnation), self._clock.now())

    def for_person(self, incarnation: int) -> ClientCertificate:
        """A new one each time."""
        return client_certificate(self.secrets(incarnation), self._clock.now())
