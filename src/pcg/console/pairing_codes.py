"""Makes pairing codes: the console keeps only the public half of the key that is derived from a code.

Called when a gateway is made or paired anew (`gateways.py`); `pairing.py` decides what a code is good for.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from pcg.console.store.models import PairingCode
from pcg.sealing import encoding, pairing_code

LIFETIME = timedelta(hours=24)


@dataclass(frozen=True, repr=False)
class IssuedCode:
    code: str
    expires_at: datetime


async def issue(session: AsyncSession, gateway_id: str, now: datetime, lifetime: timedelta = LIFETIME) -> IssuedCode:
    """A new code; an unused older one of the same gateway is good for nothing from now on."""
    await session.execute(
        update(PairingCode)
        .where(PairingCode.gateway_id == gateway_id, PairingCode.used_at.is_(None), PairingCode.replaced_at.is_(None))
        .values(replaced_at=now)
    )
    code = pairing_code.generate()
    issued = IssuedCode(code, now + lifetime)
    session.add(
        PairingCode(
            pairing_key=encoding.encode(bytes(pairing_code.signing_key(code).verify_key)),
            gateway_id=gateway_id,
            created_at=now,
            expires_at=issued.expires_at,
        )
    )
    return issued
