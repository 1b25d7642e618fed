"""Whom a TLS connection trusts: the system's CAs, one CA alone, or one server certificate alone. Never nobody.

Used for every connection of the gateway and of jet to the console; imports little, for jet's quick start.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from pcg.errors import InvalidInput


@dataclass(frozen=True)
class Trust:
    """At most one of `ca` and `leaf`; neither means the system's CAs."""

    ca: str | None = None
    """PEM of the only CA that is trusted"""
    leaf: str | None = None
    """PEM of the only server certificate that is trusted, whatever name it bears"""
    also: str | None = None
    """PEM of what is trusted beside the system's CAs: CAs, issuing CAs alone, or a server's own certificate"""

    @classmethod
    def system(cls) -> Trust:
        return cls()

    @classmethod
    def only_ca(cls, pem: str) -> Trust:
        return cls(ca=pem)

    @classmethod
    def system_and(cls, pem: str | None) -> Trust:
        return cls(also=pem)

    @classmethod
    def only_leaf(cls, pem: str) -> Trust:
        return cls(leaf=pem)

    def context(self) -> ssl.SSLContext:
        """A client's context, TLS 1.2 or newer. Raises InvalidInput when the PEM cannot be read."""
        pem = self.ca or self.leaf
        if not all(text.isascii() for text in (pem, self.also) if text):
            raise ca_unreadable("PEM is ASCII alone (RFC 7468)")
        try:
            context = ssl.create_default_context(cadata=pem)
            if self.also:
                context.load_verify_locations(cadata=self.also)
                # The certificate that a person was given may be no root: an issuing CA, or the proxy's own.
                context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        except (ssl.SSLError, ValueError) as error:
            raise ca_unreadable(str(error)) from error
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.leaf:
            # The certificate itself is the anchor, so it proves the peer by its key; a name adds nothing.
            context.check_hostname = False
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        return context


def ca_unreadable(why: str) -> InvalidInput:
    return InvalidInput(
        "The CA certificate cannot be read.",
        reason="ca-unreadable",
        field_name="ca",
        evidence=[why],
        remedy=["Give one or more certificates in PEM form."],
    )
