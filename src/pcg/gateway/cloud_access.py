"""The gateway's open connection to its private cloud: opened with exactly the sealed credentials, kept across passes.

A rejected password is remembered on disk and not tried again until it changes. Used by the reconciler.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable

from pcg.clouds.base import Cloud, Connection, Login
from pcg.errors import CredentialsRejected, PcgError
from pcg.gateway.memory import Memory
from pcg.model.configuration import CloudKind
from pcg.model.desired import DesiredState
from pcg.sealing.boxes import Credentials

_log = logging.getLogger(__name__)


class CloudAccess:
    def __init__(self, cloud_of: Callable[[CloudKind], Cloud], memory: Memory) -> None:
        self.connection: Connection | None = None
        self._cloud_of = cloud_of
        self._memory = memory
        self._login: Login | None = None
        self._version = ""
        self._open = contextlib.AsyncExitStack()

    async def open(self, kind: CloudKind, credentials: Credentials, desired: DesiredState) -> Connection:
        """The connection, kept or new. Raises CredentialsRejected without asking the cloud for a known rejection."""
        self._version = version = desired.credentials.version if desired.credentials else ""
        if version == self._memory.rejected_credentials:
            raise CredentialsRejected(
                f"The cloud did not accept the password of {credentials.username}; it is not tried again.",
                reason="credentials-rejected",
                remedy=["Enter the right password, or unlock the account: each entry is tried once."],
                fields={"account": credentials.username},
            )
        login = Login(
            credentials.address, credentials.username, credentials.password, credentials.thumbprint, credentials.ca
        )
        if self.connection is None or login != self._login:
            await self.close()
            try:
                self.connection = await self._open.enter_async_context(self._cloud_of(kind).connect(login))
            except CredentialsRejected:
                await self.reject()
                raise
            self._login = login
            self._memory.remember_connected()
        return self.connection

    async def reject(self) -> None:
        """The cloud rejected what `open` was last given, maybe only when a lost session was renewed."""
        self._memory.reject_credentials(self._version)
        await self.close()

    async def close(self) -> None:
        self.connection = self._login = None
        try:
            await self._open.aclose()
        except PcgError as error:
            _log.info("the cloud's session did not end cleanly: %s", error.what)
