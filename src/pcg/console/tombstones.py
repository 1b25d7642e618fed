"""What stays of a deleted gateway: enough to recognise it, and if its deletion was forced, to have it clean up."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from pcg.console.store.models import Gateway, Tombstone
from pcg.model.configuration import Configuration
from pcg.model.desired import DesiredState, SealedCredentials


async def bury(session: AsyncSession, row: Gateway, now: datetime, *, forced: bool) -> None:
    """Replaces the gateway and all its data by a tombstone. One that never registered leaves none."""
    if row.signing_key is not None:
        keep = {
            "configuration": row.configuration,
            "credentials_ciphertext": row.credentials_ciphertext,
            "credentials_version": row.credentials_version,
        }
        session.add(
            Tombstone(
                id=row.id,
                name=row.name,
                signing_key=row.signing_key,
                sealing_key=row.sealing_key,
                deleted_at=now,
                forced=forced,
                term=row.term,
                generation=row.generation,
                incarnation=row.incarnation,
                **(keep if forced else {}),
            )
        )
    await session.delete(row)


def desired_of_tombstone(grave: Tombstone) -> DesiredState:
    return DesiredState.model_validate({"mode": "delete", **wanted(grave)})


def wanted(row: Gateway | Tombstone) -> dict[str, Any]:
    """The parts of a desired state that a gateway and its tombstone have in common."""
    credentials = None
    if row.credentials_version and row.credentials_ciphertext:
        credentials = SealedCredentials(version=row.credentials_version, ciphertext=row.credentials_ciphertext)
    return {
        "generation": row.generation,
        "incarnation": row.incarnation,
        "configuration": Configuration.model_validate(row.configuration) if row.configuration else None,
        "credentials": credentials,
    }
