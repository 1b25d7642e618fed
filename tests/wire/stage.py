"""The world in which transcripts were recorded and are replayed: fixed keys, ids, nonces and time, so that recorded
signatures are good again. The console's side is the real one on a real store."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from nacl.public import PrivateKey
from nacl.signing import SigningKey

from doubles.gateway import ADMIN, NOON, ManualClock, open_service
from pcg.console import nonces, requests, session
from pcg.console.auth import token_hash
from pcg.console.service import Service
from pcg.console.store.models import Gateway, PairingCode, RevokedKey
from pcg.console.tombstones import bury
from pcg.sealing import encoding, pairing_code
from pcg.sealing.keys import GatewayKeys

CONSOLE_ID = "3f0c1a52-7a44-4c34-9d5e-0a7e6a0f1c01"
GATEWAY_ID = "8d0a7f0e-52b5-4f6d-8a52-5b6a4f0d2b02"
CODE = "VCCRT-JV84R-T5T8S-TC2AE"
REPLACED_CODE = "9AAR6-QWWQX-BWA18-1ZZMB"
EXPIRED_CODE = "RAEVD-VFCA7-QZAD5-C3EAY"
UNKNOWN_CODE = "5FWY6-XA058-AY0CR-RDH3K"
JET_TOKEN = "jet_of-the-transcripts"
NONCE = "bm9uY2Utb2YtdGhlLWNvbnNvbGUtb2YtdHJhbnNjcmlwdHM"
CONFIGURATION: dict[str, Any] = {
    "cloud": "simulated",
    "vcenter": {"address": "127.0.0.1:9443", "username": "svc-pcg"},
    "placement": [{"datacenter": "dc-1", "cluster": "c-1", "datastore": "ds-1", "network": "VM Network"}],
    "template": {"image": "https://127.0.0.1/node-1.30.ova"},
    "nodes": {"count": 1, "size": "small"},
}


def keys(number: int) -> GatewayKeys:
    """Of installer 1, 2, … of the transcripts."""
    return GatewayKeys(SigningKey(bytes([number]) * 32), PrivateKey(bytes([100 + number]) * 32), bytes(32))


def fix_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the console draws at random was the same when the transcripts were recorded."""
    monkeypatch.setattr(session.signatures, "new_nonce", lambda: NONCE)
    monkeypatch.setattr(nonces.secrets, "token_bytes", lambda count: bytes(count))
    monkeypatch.setattr(requests.secrets, "token_hex", lambda count: "request-1")


@contextlib.asynccontextmanager
async def stage(folder: Path, given: str) -> AsyncIterator[Service]:
    """`given` is how things stand at the beginning: `unknown`, `paired`, `configured`, `taken-over`, `replaced`,
    `deleting`, `deleted` (forced, not clean yet), `gone`, or `codes`."""
    async with open_service(folder, ManualClock()) as service:
        service.certificates = dataclasses.replace(
            service.certificates, console_id=CONSOLE_ID, identity=SigningKey(bytes([7]) * 32)
        )
        if given != "unknown":
            await _prepare(service, given)
        yield service


async def _prepare(service: Service, given: str) -> None:
    async with service.database.write() as transaction:
        row = Gateway(id=GATEWAY_ID, name="dc-one", cloud="simulated", created_at=NOON, generation=0, incarnation=1)
        row.mode, row.term = "idle", 0
        transaction.add(row)
        await transaction.flush()
        if given == "codes":
            for code in (CODE, REPLACED_CODE, EXPIRED_CODE):
                transaction.add(_code(code))
            return
        holder = keys(2 if given == "replaced" else 1)
        row.signing_key, row.sealing_key = holder.public_signing, holder.public_sealing
        row.registered_at, row.registered_by = NOON, "appliance"
        if given == "paired":
            return
        row.mode, row.generation, row.configuration_generation = "run", 3, 2
        row.configuration = CONFIGURATION
        row.credentials_ciphertext, row.credentials_version = "c2VhbGVkIGNyZWRlbnRpYWxz", "0123456789abcdef"
        row.jet_token_hash, row.jet_token_sealed = token_hash(JET_TOKEN), "c2VhbGVkIHRva2Vu"
        if given == "taken-over":
            row.term = 5
        if given == "replaced":
            transaction.add(RevokedKey(signing_key=keys(1).public_signing, gateway_id=GATEWAY_ID, revoked_at=NOON))
        if given in ("deleting", "deleted", "gone"):
            row.mode, row.generation = "delete", 4
            row.jet_token_hash = row.jet_token_sealed = None
        if given in ("deleted", "gone"):
            await bury(transaction, row, NOON, forced=given == "deleted")


def _code(code: str) -> PairingCode:
    made = NOON - timedelta(hours=25 if code == EXPIRED_CODE else 1)
    return PairingCode(
        pairing_key=encoding.encode(bytes(pairing_code.signing_key(code).verify_key)),
        gateway_id=GATEWAY_ID,
        created_at=made,
        expires_at=made + timedelta(hours=24),
        replaced_at=NOON - timedelta(minutes=30) if code == REPLACED_CODE else None,
    )


async def act(service: Service, what: str) -> None:
    """What a person does in the middle of a transcript."""
    if what == "reset":
        await service.gateways.reset(ADMIN, GATEWAY_ID)
    elif what == "delete":
        await service.gateways.delete(ADMIN, GATEWAY_ID)
    else:
        raise ValueError(what)
