"""Which static addresses this gateway has given to whom, and from when on each may be given again. Pure rules.

The claims outlive resets and restarts: they are kept in the gateway's memory, and completed by the marks and addresses
of the machines that the cloud reports. Kept and asked by `address_claims.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from itertools import islice

from pydantic import BaseModel, Field

from pcg.model.address_plan import Pool

QUARANTINE = timedelta(minutes=5)
"""after its machine is gone: neighbours, switches and the dead machine's peers forget an address only slowly"""

MOST_STRANGERS = 256
"""when so many addresses answer that are not ours, something answers for them all"""


class Claim(BaseModel):
    owner: str
    """the machine's mark: incarnation/ordinal"""
    gone_since: datetime | None = None
    """when nobody was seen any more who has it or shall get it"""


class Stranger(BaseModel):
    """Somebody who is not ours has the address."""

    seen: datetime
    evidence: str
    mac: str = ""


class AddressBook(BaseModel):
    """By address. `now` is the same clock's in every call; one that went back only lengthens a wait."""

    claims: dict[str, Claim] = Field(default_factory=dict)
    strangers: dict[str, Stranger] = Field(default_factory=dict)

    def look(self, held: Mapping[str, str], now: datetime) -> bool:
        """`held` is every address that a machine has or shall get, with its owner. Whether a claim changed."""
        before = self.model_copy(deep=True)
        for address, owner in held.items():
            self.claim(address, owner)
        for address in self.claims.keys() - held.keys():
            gone_since = self.claims[address].gone_since
            # A time to come can only be a clock's mistake: it counts from now on.
            self.claims[address].gone_since = now if gone_since is None else min(gone_since, now)
        self.claims = {key: claim for key, claim in self.claims.items() if not _over(claim.gone_since, now)}
        self.strangers = {
            key: stranger.model_copy(update={"seen": min(stranger.seen, now)})
            for key, stranger in self.strangers.items()
            if not _over(stranger.seen, now)
        }
        return self != before

    def claim(self, address: str, owner: str) -> None:
        self.claims[address] = Claim(owner=owner)

    def candidates(self, pool: Pool, count: int) -> list[str]:
        """The lowest addresses that nobody is known to have, at most `count`."""
        return list(islice(self._free(pool), count))

    def next_release(self, pool: Pool) -> datetime | None:
        """When the first of the pool's addresses that wait only for time may be given again; None: none waits."""
        waiting = [claim.gone_since for address, claim in self.claims.items() if claim.gone_since and address in pool]
        return min(waiting) + QUARANTINE if waiting else None

    def _free(self, pool: Pool) -> Iterator[str]:
        return (address for address in pool.addresses() if address not in self.claims and address not in self.strangers)


def _over(since: datetime | None, now: datetime) -> bool:
    return since is not None and now - since >= QUARANTINE
