"""One authenticated session with a vCenter: name, connect, TLS and login, told apart; calls in threads; waits apart.

Used by `cloud.py` alone. pyVmomi blocks, so ordinary calls run in a small pool of threads and the one long wait for
updates in a thread and an HTTP connection of its own, sharing the login. pyVmomi's own `thumbprint` argument is never
used: with it a certificate of a known CA connects although the pin is wrong.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from pcg.clouds.base import Login
from pcg.clouds.server_trust import CONNECT_TIMEOUT, MakeUnreachable, server_context
from pcg.clouds.vsphere import faults
from pcg.clouds.vsphere.vmomi import SoapStubAdapter, vim
from pcg.errors import CredentialsRejected, PcgError, Unreachable
from pcg.model.configuration import split_host_port, strip_scheme

API_VERSION = "vim.version.version12"
"""vSphere API 6.7; newer vCenters speak it too"""
CALL_TIMEOUT = 90.0
"""seconds for one ordinary call; vCenters under load do take tens of seconds"""
WAIT_SECONDS = 50
"""one WaitForUpdatesEx; below the idle limits of common firewalls and balancers"""
IDLE_CONNECTION_SECONDS = 15
"""an idle connection is dropped by us before the server drops it in the middle of our next request"""

Answer = TypeVar("Answer")


class VsphereSession:
    """Every method that talks to vCenter and is not `async` blocks, and is called inside `run` only."""

    def __init__(self, login: Login) -> None:
        address, _ = strip_scheme(login.address)
        self.address = address
        self.account = login.username
        self.user_name = login.username
        """how vCenter spells the account; set by the login"""
        self._login_values = login
        self._host, self._port = split_host_port(address, 443)
        self._calls = ThreadPoolExecutor(max_workers=4, thread_name_prefix="vsphere-call")
        self._waits = ThreadPoolExecutor(max_workers=1, thread_name_prefix="vsphere-wait")
        self._again = threading.Lock()
        self._rejected: CredentialsRejected | None = None
        self.path_of: faults.PathOf = lambda managed_object: str(getattr(managed_object, "_moId", ""))
        """replaced by the inventory, which can read paths"""

    async def open(self) -> None:
        """Raises Unreachable (with its hop) or CredentialsRejected."""
        try:
            await asyncio.get_running_loop().run_in_executor(self._calls, self._open)
        except BaseException:
            self._shut_down()
            raise

    async def close(self) -> None:
        """Log out as far as possible, and let go of threads and sockets."""
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await self.run(self._log_out)
        except (PcgError, TimeoutError):
            pass  # the session ends by itself when idle
        self._shut_down()

    async def run(self, function: Callable[..., Answer], *arguments: Any) -> Answer:
        """Call `function` in a thread; its faults become the contract's errors. A lost session is renewed once."""
        return await self._in(self._calls, function, *arguments)

    async def run_wait(self, function: Callable[..., Answer], *arguments: Any) -> Answer:
        """The same, in the one thread for long waits."""
        return await self._in(self._waits, function, *arguments)

    async def _in(self, pool: ThreadPoolExecutor, function: Callable[..., Answer], *arguments: Any) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(pool, self._guarded, function, arguments)

    def _guarded(self, function: Callable[..., Answer], arguments: tuple[Any, ...]) -> Answer:
        epoch = self.epoch
        try:
            return self._translated(function, arguments)
        except faults.SessionLost:
            # vCenter refuses an unauthenticated call before it does anything, so calling again is safe.
            self._log_in_again(epoch)
            return self._translated(function, arguments)

    def _translated(self, function: Callable[..., Answer], arguments: tuple[Any, ...]) -> Answer:
        try:
            return function(*arguments)
        except PcgError:
            raise
        except Exception as error:
            raise self.translate(error) from error

    @property
    def server(self) -> tuple[str, int]:
        """Host and port of the vCenter."""
        return self._host, self._port

    def context_for(self, host: str, port: int, unreachable: MakeUnreachable) -> ssl.SSLContext:
        """For TLS to a server that is trusted as the vCenter is. Blocks; raises what `unreachable` makes."""
        return server_context(host, port, self._login_values, unreachable)

    def translate(self, error: Exception) -> PcgError:
        return faults.translate(error, account=self.account, address=self.address, path_of=self.path_of)

    def _open(self) -> None:
        self.epoch = 0
        """rises with every login; what belonged to an older one (collectors, filters) is gone"""
        context = server_context(self._host, self._port, self._login_values, self._unreachable)
        common = {"host": self._host, "port": self._port, "version": API_VERSION, "sslContext": context}
        common["connectionPoolTimeout"] = IDLE_CONNECTION_SECONDS
        self.stub = SoapStubAdapter(**common, httpConnectionTimeout=CALL_TIMEOUT)
        self.wait_stub = SoapStubAdapter(**common, httpConnectionTimeout=WAIT_SECONDS + 30.0)
        self._translated(self._log_in, ())

    def _unreachable(self, hop: str, error: Exception, *, reason: str = "") -> Unreachable:
        return faults.unreachable(self.address, hop, error, reason=reason)

    def _log_in(self) -> None:
        self.content = vim.ServiceInstance("ServiceInstance", self.stub).RetrieveContent()
        session = self.content.sessionManager.Login(self._login_values.username, self._login_values.password, None)
        self.user_name = session.userName or self.account
        self.wait_stub.cookie = self.stub.cookie
        self.epoch += 1

    def _log_in_again(self, epoch: int) -> None:
        """A rejected password is tried once, however many calls want in: more tries would lock the account."""
        with self._again:
            if self._rejected is not None:
                raise self._rejected
            if self.epoch == epoch:  # else another thread was faster
                self.stub.cookie = ""
                try:
                    self._translated(self._log_in, ())
                except CredentialsRejected as error:
                    self._rejected = error
                    raise

    def _log_out(self) -> None:
        self.content.sessionManager.Logout()

    def _shut_down(self) -> None:
        for name in ("stub", "wait_stub"):
            stub = getattr(self, name, None)
            if stub is not None:
                stub.DropConnections()
        self._calls.shutdown(wait=False, cancel_futures=True)
        self._waits.shutdown(wait=False, cancel_futures=True)
