"""The one who gives out this gateway's static addresses: never one twice at a time.

What is claimed is what memory says, and the marks and addresses of every machine that the cloud reports, and what is
being made. Made by the reconciler, which shows it every bulk read; asked by the steps `addresses` and `machines`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pcg.clock import Clock
from pcg.clouds.base import ObservedMachine
from pcg.gateway.address_pool import MOST_STRANGERS, AddressBook, Stranger
from pcg.gateway.memory import Memory
from pcg.model.address_plan import Pool
from pcg.model.naming import MARK_ADDRESS, MARK_MACHINE
from pcg.network.address_in_use import AddressAnswer, Presence

AskWhoHas = Callable[[str], Awaitable[AddressAnswer]]
"""`pcg.network.address_in_use.address_in_use`"""

MORE_AT_ONCE = 2
"""addresses asked for beside those that are wanted: to ask costs as long as the slowest answer takes"""

ROUNDS = 3
"""of asking, in one pass"""


@dataclass
class Search:
    """What came of looking for free addresses."""

    found: list[str] = field(default_factory=list)
    strangers: dict[str, Stranger] = field(default_factory=dict)
    """who was met on the way"""
    untold: str = ""
    """evidence of an address that was taken although it cannot be told whether somebody has it"""
    exhausted: bool = False
    """no other address is left to ask for"""


class AddressClaims:
    """`name_of` gives the machine's name of an owner (its mark)."""

    def __init__(self, memory: Memory, clock: Clock, ask: AskWhoHas, name_of: Callable[[str], str]) -> None:
        self._memory = memory
        self._clock = clock
        self.ask = ask
        self._name_of = name_of
        self._began: datetime | None = None

    @property
    def book(self) -> AddressBook:
        return self._memory.addresses

    def now(self) -> datetime:
        """Wall time when this process first asked, and what has passed since: no jump of the clock ends a wait."""
        if self._began is None:
            self._began = self._clock.now() - timedelta(seconds=self._clock.monotonic())
        return self._began + timedelta(seconds=self._clock.monotonic())

    def look(self, observed: Iterable[ObservedMachine], making: Collection[str], pool: Pool | None) -> None:
        """Every machine with our mark is `observed`, copies included; machines of the names in `making` are made."""
        cluster, held = self._memory.cluster, dict[str, str]()
        for address, claim in self.book.claims.items():
            if self._name_of(claim.owner) in making:
                held[address] = claim.owner
        for slot in cluster.slots:
            if slot.address is not None:
                held[slot.address] = cluster.mark_of(slot)
        for machine in observed:
            owner = machine.marks.get(MARK_MACHINE, "")
            if MARK_ADDRESS in machine.marks:
                held[machine.marks[MARK_ADDRESS]] = owner
            if machine.address and pool is not None and machine.address in pool:
                # Made before there was such a mark, or given another address by somebody else.
                held[machine.address] = owner
        if self.book.look(held, self.now()):
            self._memory.save_cluster()

    def let_go(self, address: str | None) -> None:
        """Nobody of ours shall have it any more. Should somebody have it, the next look says so."""
        claim = self.book.claims.get(address or "")
        if claim is not None and claim.gone_since is None:
            claim.gone_since = self.now()

    async def search(self, pool: Pool, count: int) -> Search:
        """`count` addresses that nobody has, as far as can be told; fewer when that takes long or there are none."""
        search = Search()
        for _ in range(ROUNDS):
            wanted = count - len(search.found)
            if wanted == 0:
                break
            free = self.book.candidates(pool, count + MORE_AT_ONCE)
            candidates = [address for address in free if address not in search.found]
            search.exhausted = len(candidates) < wanted or len(self.book.strangers) >= MOST_STRANGERS
            if not candidates or len(self.book.strangers) >= MOST_STRANGERS:
                break
            answers = await asyncio.gather(*(self.ask(address) for address in candidates))
            self._sort(dict(zip(candidates, answers, strict=True)), wanted, search)
        return search

    def _sort(self, answers: dict[str, AddressAnswer], wanted: int, search: Search) -> None:
        for address, answer in answers.items():
            if answer.presence is Presence.IN_USE:
                stranger = Stranger(seen=self.now(), evidence=answer.evidence, mac=answer.mac)
                search.strangers[address] = self.book.strangers[address] = stranger
            elif wanted > 0:
                wanted -= 1
                search.found.append(address)
                if answer.presence is Presence.CANNOT_TELL:
                    search.untold = search.untold or answer.evidence
