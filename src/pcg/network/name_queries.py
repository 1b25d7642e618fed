"""One name asked of given name servers: their order, patience, memory, and words for what they answered.

For `name_servers`, which makes it an event loop's. dnspython is imported with the first query.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import dns.message

NameServer = tuple[str, int]
"""address and port"""

_OTHER_FAMILY_SECONDS = 0.5
"""what one kind of address waits for the other, which some firewalls drop the queries for (RFC 8305, 3)"""
_SHORTEST_TRY = 0.02
_LONGEST_CACHED = 3600.0
_WORDS = {"A": "IPv4", "AAAA": "IPv6"}


@dataclass(frozen=True)
class _Known:
    addresses: list[str]
    until: float
    server: str
    """who said so"""


class Resolver:
    """Asks and remembers, as long as the answers allow; what failed is not remembered, so that it heals at once.

    `try_seconds` for one query to one server, or less, so that within `all_seconds` every server is asked.
    """

    def __init__(
        self, servers: Sequence[NameServer], try_seconds: float, all_seconds: float, now: Callable[[], float]
    ) -> None:
        self._servers = list(servers)
        self._try_seconds = min(try_seconds, all_seconds / len(servers))
        self._all_seconds = all_seconds
        self._now = now
        self._known: dict[tuple[str, str], _Known] = {}

    async def addresses(self, name: str, kinds: Iterable[str]) -> list[str]:
        """At least one. Raises socket.gaierror."""
        tasks = {kind: asyncio.ensure_future(self._lookup(name, kind)) for kind in kinds}
        try:
            done, others = await asyncio.wait(tasks.values(), return_when=asyncio.FIRST_COMPLETED)
            if any(task.exception() is None and task.result().addresses for task in done):
                await _settled(others, _OTHER_FAMILY_SECONDS)
            elif not any(_says_that_there_is_none(task) for task in done):
                await _settled(others, None)
            answered = {kind: task for kind, task in tasks.items() if task.done()}
            failed = [error for task in answered.values() if (error := task.exception()) is not None]
            found = [
                address for task in answered.values() if not task.exception() for address in task.result().addresses
            ]
        finally:
            for task in tasks.values():
                task.cancel()
            await asyncio.gather(*tasks.values(), return_exceptions=True)
        if found:
            return found
        if failed:
            raise next((error for error in failed if _is_final(error)), failed[0])
        servers = ", ".join(dict.fromkeys(task.result().server for task in answered.values()))
        words = " and ".join(_WORDS[kind] for kind in answered)
        raise _failed(socket.EAI_NONAME, f"name server {servers} knows {name}, but no {words} address of it")

    async def _lookup(self, name: str, kind: str) -> _Known:
        """May hold no address. Raises socket.gaierror."""
        key = (name.rstrip(".").lower(), kind)
        known = self._known.get(key)
        if known is None or known.until <= self._now():
            known = await self._ask(name, kind)
            self._known = {key: kept for key, kept in self._known.items() if kept.until > self._now()}
            if known.addresses:
                self._known[key] = known
        return known

    async def _ask(self, name: str, kind: str) -> _Known:
        """Each server in turn, as resolv.conf's are, and the silent ones again."""
        import dns.exception
        import dns.message
        import dns.rcode

        try:
            query = dns.message.make_query(name, kind)
        except (dns.exception.DNSException, ValueError) as error:
            raise _failed(
                socket.EAI_NONAME, f"{name[:255]!r} is no name that a name server could know: {error}"
            ) from error
        end = self._now() + self._all_seconds
        told: dict[str, str] = {}
        waited = dict.fromkeys(self._servers, 0.0)
        left = list(self._servers)
        while left:
            for server in list(left):
                seconds = min(self._try_seconds, end - self._now())
                if seconds < _SHORTEST_TRY:
                    left.clear()
                    break
                shown = _shown(server)
                try:
                    async with asyncio.timeout(seconds):
                        response = await _exchange(query, server)
                except TimeoutError:
                    waited[server] += seconds
                    told[shown] = f"did not answer within {waited[server]:.2g} s"
                    continue
                except (OSError, EOFError, dns.exception.DNSException) as error:
                    told[shown] = f"could not be asked: {error}"
                else:
                    code = response.rcode()
                    if code == dns.rcode.NXDOMAIN:
                        raise _failed(socket.EAI_NONAME, f"name server {shown} answered NXDOMAIN for {name}")
                    if code == dns.rcode.NOERROR:
                        return self._read(response, shown)
                    told[shown] = f"answered {dns.rcode.to_text(code)} for {name}"
                left.remove(server)
        raise _failed(socket.EAI_AGAIN, "; ".join(f"name server {shown} {what}" for shown, what in told.items()))

    def _read(self, response: dns.message.Message, server: str) -> _Known:
        import dns.exception
        import dns.message

        assert isinstance(response, dns.message.QueryMessage)
        try:
            chain = response.resolve_chaining()  # through CNAMEs
        except dns.exception.DNSException as error:
            raise _failed(socket.EAI_AGAIN, f"the answer of name server {server} cannot be read: {error}") from error
        addresses = [item.to_text() for item in chain.answer] if chain.answer is not None else []
        return _Known(addresses, self._now() + min(chain.minimum_ttl, _LONGEST_CACHED), server)


async def _exchange(query: dns.message.Message, server: NameServer) -> dns.message.Message:
    """By UDP, and by TCP when the answer was too long. Raises OSError, EOFError, DNSException."""
    import dns.asyncbackend
    import dns.asyncquery

    host, port = server
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # A connected socket, so that a port where nobody listens is told at once.
    backend: Any = dns.asyncbackend.get_default_backend()
    async with await backend.make_socket(family, socket.SOCK_DGRAM, 0, None, server) as connected:
        response, _ = await dns.asyncquery.udp_with_fallback(
            query, host, port=port, udp_sock=connected, ignore_errors=True
        )
    return response


async def _settled(tasks: Iterable[asyncio.Future[_Known]], timeout: float | None) -> None:
    tasks = list(tasks)
    if tasks:
        await asyncio.wait(tasks, timeout=timeout)


def _is_final(error: BaseException | None) -> bool:
    return isinstance(error, socket.gaierror) and error.errno == socket.EAI_NONAME


def _says_that_there_is_none(task: asyncio.Future[_Known]) -> bool:
    """No name, so no address of the other kind either."""
    return _is_final(task.exception())


def _failed(number: int, text: str) -> socket.gaierror:
    return socket.gaierror(number, text)


def _shown(server: NameServer) -> str:
    host, port = server
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
