"""Pairing: what a code is good for, and how an installer's keys become a gateway's (docs/protocol.md, Registration).

Called by `api/gateway_side.py`; `pairing_codes.py` makes the codes. One transaction decides, so of two installers with
one code exactly one is registered. Who registers proves knowledge of the code and possession of its own key; the
console says how a code was used only to somebody who has proven to know it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from nacl.exceptions import CryptoError
from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from pcg.console.audit import record
from pcg.console.configurations import renew_jet_token
from pcg.console.gateway_state import ahead, status_of, withheld
from pcg.console.gateways import not_deleting
from pcg.console.nonces import Nonces
from pcg.console.registration_attempts import Attempts
from pcg.console.service import Service
from pcg.console.store.models import Gateway, PairingCode, RevokedKey
from pcg.console.streams import Topic
from pcg.errors import Conflict, GiveUp, InvalidInput, ProtocolError, Refused
from pcg.sealing import boxes, encoding, signatures
from pcg.wire import versions
from pcg.wire.registration import ConsoleIdentity, RegistrationAnswer, RegistrationRequest

_NEW_CODE = (
    "Make a new pairing code in the console (the gateway's page, Pairing code), and start the installer with it."
)


@dataclass
class _Attempt:
    address: str
    gateway_id: str = ""
    """once the code is known"""


class Pairing:
    """One of it in a console: it remembers which nonces were used, and who was refused lately."""

    def __init__(self, service: Service) -> None:
        self._database = service.database
        self._streams = service.streams
        self._certificates = service.certificates
        self._clock = service.clock
        self._collapsed = service.collapsed
        self._nonces = Nonces(service.clock)
        self._attempts = Attempts(service.clock)

    def identity(self) -> ConsoleIdentity:
        return ConsoleIdentity(
            console_id=self._certificates.console_id,
            identity_key=self._certificates.identity_key,
            nonce=self._nonces.new(),
        )

    async def register(self, request: RegistrationRequest, address: str = "") -> RegistrationAnswer:
        """The same keys get the same answer again, so a lost answer costs nothing. A refusal is told late to an address
        that was refused often; a right code never waits.

        Raises Refused (`nonce-expired`, `bad-signature`, `pairing-code-unknown`, `-expired`, `-used`,
        `version`), Conflict (`keys-in-use`, `deleting`), InvalidInput for keys that are none, Busy.
        """
        attempt = _Attempt(address)
        try:
            return await self._register(request, attempt)
        except GiveUp as refusal:
            self._collapsed.note(
                "registration-refused",
                reason=refusal.reason,
                address=address,
                gateway_id=attempt.gateway_id,
                installer=request.installer_name,
            )
            # Who is told to ask for a new nonce has done nothing wrong.
            if refusal.reason != "nonce-expired":
                await self._attempts.slow_down(address)
            raise

    async def _register(self, request: RegistrationRequest, attempt: _Attempt) -> RegistrationAnswer:
        self._nonces.check(request.nonce)
        _check_versions(request)
        _check_keys(request)
        self._check_signatures(request)
        # Looked at first, so that a flood of wrong codes neither waits for the one writer nor fills the nonces' memory.
        if not await self._would_change(request, attempt):
            await self._attempts.slow_down(attempt.address)
        # Used up before anything more is awaited: the same registration twice at a time cannot both pass.
        self._nonces.use(request.nonce)
        try:
            async with self._database.write() as session:
                row, changed = await self._decide(session, request, self._clock.now())
        except IntegrityError:
            raise _keys_in_use("another one, registered at this very moment") from None
        if changed:
            self._streams.notify(row.id, Topic.DESIRED, Topic.STATUS)
        return RegistrationAnswer(gateway_id=row.id, gateway_name=row.name, console_id=self._certificates.console_id)

    def _check_signatures(self, request: RegistrationRequest) -> None:
        parts = signatures.registration_parts(
            request.pairing_key,
            request.signing_key,
            request.sealing_key,
            self._certificates.console_id,
            self._certificates.identity_key,
            request.nonce,
        )
        for key, signature, whose in (
            (request.pairing_key, request.pairing_signature, "the pairing code's key"),
            (request.signing_key, request.possession_signature, "the gateway's own key"),
        ):
            if not signatures.verify(key, signature, signatures.REGISTER, *parts):
                raise Refused(
                    "A signature of this registration is wrong.",
                    reason="bad-signature",
                    evidence=[f"made with: {whose}", f"for console: {self._certificates.console_id}"],
                    cause="The registration was changed on its way, or was made for another console.",
                    remedy=["Check what stands between the installer and the console, and start the installer again."],
                )

    async def _would_change(self, request: RegistrationRequest, attempt: _Attempt) -> bool:
        """What `_decide` would answer now, at the cost of a read. Raises what it raises."""
        async with self._attempts.looking_up(attempt.address), self._database.read() as session:
            code, row = await _found(session, request.pairing_key)
            attempt.gateway_id = row.id
            return await _check(session, request, code, row, self._clock.now())

    async def _decide(self, session: AsyncSession, request: RegistrationRequest, now: datetime) -> tuple[Gateway, bool]:
        """The gateway of the code, and whether anything changed."""
        code, row = await _found(session, request.pairing_key, to_change=True)
        if not await _check(session, request, code, row, now):
            return row, False

        same_keys = _same_keys(request, row)
        installer = _printable(request.installer_name)
        code.used_at, code.used_by = now, installer
        code.used_signing_key, code.used_sealing_key = request.signing_key, request.sealing_key
        if not same_keys:
            await self._take_keys(session, row, request, now)
            row.registered_at, row.registered_by = now, installer
        row.software = _printable(request.software)
        return row, not same_keys

    async def _take_keys(
        self, session: AsyncSession, row: Gateway, request: RegistrationRequest, now: datetime
    ) -> None:
        old, first = row.signing_key, row.registered_at is None
        # Keys that were revoked once and come with a new code are good again: a person gave them that code.
        await session.execute(delete(RevokedKey).where(RevokedKey.signing_key == request.signing_key))
        if old is not None and old != request.signing_key:
            await session.merge(RevokedKey(signing_key=old, gateway_id=row.id, revoked_at=now))
        row.signing_key, row.sealing_key = request.signing_key, request.sealing_key
        if not first:
            # Sealed to a key that is gone: nobody can open them any more.
            row.credentials_ciphertext = row.credentials_version = None
            if not withheld(row) and ahead(row, status_of(row)) is None:
                # Else a person decides first what counts (`restored.py`).
                row.generation += 1
            if row.jet_token_hash is not None:
                renew_jet_token(row, request.sealing_key)
        record(
            session,
            now,
            f"installer {_printable(request.installer_name)}".rstrip(),
            "gateway-registered" if first else "gateway-paired-anew",
            row,
            signing_key=request.signing_key,
            software=_printable(request.software),
            **({} if first else {"replaced_key": old}),
        )


async def _check(
    session: AsyncSession, request: RegistrationRequest, code: PairingCode, row: Gateway, now: datetime
) -> bool:
    """Whether this registration changes anything: False for the same installer once more. Raises for all others."""
    if code.used_at is not None:
        if _same_keys(request, row) and code.used_signing_key == request.signing_key:
            return False
        raise _used(code, row)
    _check_not_expired(code, now)
    not_deleting(row)
    await _check_keys_free(session, request, row)
    return True


def _same_keys(request: RegistrationRequest, row: Gateway) -> bool:
    return (row.signing_key, row.sealing_key) == (request.signing_key, request.sealing_key)


async def _found(session: AsyncSession, pairing_key: str, *, to_change: bool = False) -> tuple[PairingCode, Gateway]:
    """Code and gateway; `to_change` locks the gateway first, as everywhere (codes change under that lock only)."""
    code = await session.get(PairingCode, pairing_key)
    row = None
    if code is not None:
        row = await session.get(Gateway, code.gateway_id, with_for_update=to_change)
        if to_change:
            code = await session.get(PairingCode, pairing_key, populate_existing=True)
    if code is None or row is None:
        raise Refused(
            "This console does not know this pairing code.",
            reason="pairing-code-unknown",
            cause="The code belongs to another console, or its gateway was deleted.",
            evidence=[f"public key of the code: {pairing_key}"],
            remedy=["Compare code and address with the console's page.", _NEW_CODE],
        )
    return code, row


def _check_not_expired(code: PairingCode, now: datetime) -> None:
    if code.replaced_at is None and now < code.expires_at:
        return
    evidence = [f"made: {code.created_at:%Y-%m-%d %H:%M:%S} UTC", f"expires: {code.expires_at:%Y-%m-%d %H:%M:%S} UTC"]
    if code.replaced_at is not None:
        evidence.append(f"replaced by a newer code: {code.replaced_at:%Y-%m-%d %H:%M:%S} UTC")
    raise Refused(
        "This pairing code is no longer good.",
        reason="pairing-code-expired",
        evidence=[*evidence, f"console's time: {now:%Y-%m-%d %H:%M:%S} UTC"],
        remedy=[_NEW_CODE],
    )


def _used(code: PairingCode, row: Gateway) -> Refused:
    evidence = [f"gateway: {row.name}", f"used: {code.used_at:%Y-%m-%d %H:%M:%S} UTC"]
    if code.used_by:
        evidence.append(f"by installer: {code.used_by}")
    if code.used_signing_key != row.signing_key:
        evidence.append("since then another installer was paired with this gateway")
    return Refused(
        "This pairing code was used already.",
        reason="pairing-code-used",
        evidence=evidence,
        cause="A code lets exactly one installer register.",
        remedy=[
            "If that installer is the right one, start it again: it keeps its registration.",
            "If it is lost, or was not yours, make a new pairing code: the new installer takes the gateway over.",
        ],
    )


async def _check_keys_free(session: AsyncSession, request: RegistrationRequest, row: Gateway) -> None:
    other = await session.scalar(
        select(Gateway.name).where(Gateway.signing_key == request.signing_key, Gateway.id != row.id)
    )
    if other is not None:
        raise _keys_in_use(other)


def _keys_in_use(name: str) -> Conflict:
    return Conflict(
        "This installer is a gateway already.",
        reason="keys-in-use",
        evidence=[f"its keys belong to the gateway: {name}"],
        remedy=[
            "Give the installer of another gateway a --state directory of its own, or delete the other gateway first.",
            "The pairing code was not used up.",
        ],
    )


def _check_versions(request: RegistrationRequest) -> None:
    if versions.negotiate(*request.versions) is None:
        raise Refused(
            "Installer and console speak no common version of the protocol.",
            reason="version",
            evidence=[
                f"installer: {request.versions[0]} to {request.versions[1]}",
                f"console: {versions.LOWEST} to {versions.CURRENT}",
            ],
            remedy=["Upgrade the older of the two."],
        )


def _check_keys(request: RegistrationRequest) -> None:
    """Of full length, in their one spelling (a key spelled otherwise would pass for another), and good to seal to."""
    for name in ("pairing_key", "signing_key", "sealing_key"):
        text = getattr(request, name)
        try:
            good = encoding.encode(encoding.decode(text, 32)) == text
            if good and name == "sealing_key":
                boxes.seal(text, b"")
        except (ProtocolError, CryptoError):
            good = False
        if not good:
            raise InvalidInput(
                f"{name} is not a public key.",
                reason="key-invalid",
                field_name=name,
                remedy=["Keys are 32 bytes in base64url without padding, Ed25519 to sign and X25519 to seal to."],
            )


def _printable(text: str) -> str:
    return "".join(character for character in text if character.isprintable())
