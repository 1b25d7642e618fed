"""The rules of configuration and credentials; API and pages call it through `service.py`.

The console holds credentials as ciphertext only. Jet's token is made here, sealed to the gateway, kept as a hash.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from pcg.clock import Clock
from pcg.clouds.foreseen import foreseen
from pcg.console.address_overlaps import demand_apart
from pcg.console.audit import record
from pcg.console.auth import Action, Actor, require, token_hash
from pcg.console.configuration_checks import (
    check_ciphertext,
    check_no_nul,
    check_standing,
    demand_no_failure_foretold,
)
from pcg.console.gateway_state import RUN, agreed_unsaved
from pcg.console.gateways import find, not_behind, not_deleting, registered
from pcg.console.store.database import Database
from pcg.console.store.models import ConfigurationVersion, Gateway
from pcg.console.streams import Streams, Topic
from pcg.console.views import ConfigurationView, CredentialsView
from pcg.errors import Conflict, InvalidInput, NotFound
from pcg.model.configuration import parse_configuration, strip_scheme, typed_with_scheme
from pcg.sealing.boxes import seal


@dataclass(frozen=True)
class Stored:
    """A configuration with its ETag (quoted, as HTTP wants it)."""

    view: ConfigurationView
    etag: str


class Configurations:
    def __init__(self, database: Database, streams: Streams, clock: Clock) -> None:
        self._database = database
        self._streams = streams
        self._clock = clock

    async def get(self, actor: Actor, gateway_id: str) -> Stored:
        """Raises NotFound while there is none."""
        async with self._database.read() as session:
            row = await find(session, gateway_id)
            require(actor, Action.SEE_GATEWAYS, row)
            if row.configuration is None:
                raise NotFound(
                    f"Gateway {row.name} has no configuration yet.",
                    reason="not-configured",
                    remedy=["Configure it: PUT the configuration, or use the page's Configure."],
                )
            return _stored(row, row.configuration, _notices(row))

    async def configure(
        self,
        actor: Actor,
        gateway_id: str,
        document: Any,
        *,
        if_match: str | None = None,
        ciphertext: str | None = None,
    ) -> Stored:
        """The same document again changes nothing. With `ciphertext` both change together, or neither.

        Raises InvalidInput with the first wrong field, Conflict before registration, while deleting, and (reason
        `changed-meanwhile`) when `if_match` is not the present ETag, (`console-restored`) before a person agreed, or
        (`addresses-overlap`) when another gateway has some of the addresses.
        """
        configuration, notices = parse_configuration(document)
        typed, foretold = typed_with_scheme(document), foreseen(configuration)
        wanted = configuration.model_dump(mode="json", by_alias=True)
        check_no_nul(wanted)
        if ciphertext is not None:
            check_ciphertext(ciphertext)
        now = self._clock.now()
        async with self._database.write() as session:
            row = await find(session, gateway_id, to_change=True)
            require(actor, Action.CONFIGURE, row)
            sealing_key = registered(row)
            not_deleting(row)
            not_behind(row)
            _check_match(row, if_match)
            if configuration.cloud.value != row.cloud:
                raise InvalidInput(
                    f"Gateway {row.name} was made for the cloud {row.cloud}, not {configuration.cloud.value}.",
                    reason="other-cloud",
                    field_name="cloud",
                    remedy=[f"Write cloud: {row.cloud}, or create another gateway."],
                )
            check_standing(row, configuration)
            notices += demand_no_failure_foretold(row, foretold)
            # The same again counts where the gateway runs something else that this console has lost.
            same = row.configuration == wanted and row.vcenter_typed == typed
            new = changed = row.mode != RUN or not same or agreed_unsaved(row)
            if new:
                await demand_apart(session, actor, row, configuration)
            if ciphertext is not None:
                require(actor, Action.SET_CREDENTIALS, row)
                changed = self._set_credentials(session, row, ciphertext, actor, now) or changed
            if new:
                row.vcenter_typed = typed
                self._change(session, row, wanted, sealing_key, actor, now)
            stored = _stored(row, wanted, notices)
        if changed:
            self._streams.notify(gateway_id, Topic.DESIRED, Topic.STATUS)
        return stored

    async def set_credentials(self, actor: Actor, gateway_id: str, ciphertext: str) -> CredentialsView:
        """Ciphertext in base64, sealed to the gateway's key by whoever typed the password. The same again: no change.

        Raises InvalidInput, Conflict before registration or while deleting.
        """
        check_ciphertext(ciphertext)
        now = self._clock.now()
        async with self._database.write() as session:
            row = await find(session, gateway_id, to_change=True)
            require(actor, Action.SET_CREDENTIALS, row)
            registered(row)
            not_deleting(row)
            not_behind(row)
            changed = self._set_credentials(session, row, ciphertext, actor, now)
            version = row.credentials_version
        if changed:
            self._streams.notify(gateway_id, Topic.DESIRED, Topic.STATUS)
        assert version is not None
        return CredentialsView(version=version)

    async def rebuild(self, actor: Actor, gateway_id: str) -> ConfigurationView:
        """Reset, and the same configuration again, in one: the present machines go, and a new cluster is built.

        Raises NotFound while there is no configuration, Conflict before registration, while deleting, or while reset.
        """
        now = self._clock.now()
        async with self._database.write() as session:
            row = await find(session, gateway_id, to_change=True)
            require(actor, Action.RESET, row)
            require(actor, Action.CONFIGURE, row)
            sealing_key = registered(row)
            not_deleting(row)
            not_behind(row)
            if row.configuration is None or row.mode != RUN:
                raise Conflict(
                    f"Gateway {row.name} is not configured now, so there is nothing to rebuild.",
                    reason="not-configured",
                    remedy=["Configure it."],
                )
            row.incarnation += 1
            row.reset_at = now
            renew_jet_token(row, sealing_key)
            record(session, now, actor, "gateway-rebuild", row, incarnation=row.incarnation)
            self._change(session, row, row.configuration, sealing_key, actor, now)
            view = ConfigurationView(generation=row.configuration_generation, configuration=row.configuration)
        self._streams.notify(gateway_id, Topic.DESIRED, Topic.STATUS)
        return view

    async def history(self, actor: Actor, gateway_id: str) -> list[ConfigurationView]:
        """Every configuration, the newest first."""
        async with self._database.read() as session:
            row = await find(session, gateway_id)
            require(actor, Action.SEE_GATEWAYS, row)
            versions = await session.scalars(
                select(ConfigurationVersion)
                .where(ConfigurationVersion.gateway_id == gateway_id)
                .order_by(ConfigurationVersion.generation.desc())
            )
            return [ConfigurationView(generation=item.generation, configuration=item.document) for item in versions]

    def _set_credentials(
        self, session: AsyncSession, row: Gateway, ciphertext: str, actor: Actor, now: datetime
    ) -> bool:
        if row.credentials_version is not None and row.credentials_ciphertext == ciphertext:
            return False
        row.credentials_ciphertext, row.credentials_version = ciphertext, secrets.token_hex(8)
        row.generation += 1
        record(session, now, actor, "credentials-set", row, version=row.credentials_version)
        return True

    def _change(
        self,
        session: AsyncSession,
        row: Gateway,
        wanted: dict[str, Any],
        sealing_key: str,
        actor: Actor,
        now: datetime,
    ) -> None:
        row.generation += 1
        row.configuration, row.configuration_generation = wanted, row.generation
        if row.mode != RUN:
            row.mode, row.changed_at = RUN, now
        if row.jet_token_hash is None:
            renew_jet_token(row, sealing_key)
        session.add(
            ConfigurationVersion(
                gateway_id=row.id, generation=row.generation, document=wanted, made_at=now, made_by=actor.email
            )
        )
        record(session, now, actor, "gateway-configured", row, generation=row.generation)


def renew_jet_token(row: Gateway, sealing_key: str) -> None:
    """A new token for the gateway's jet, sealed to `sealing_key`; the old one is good for nothing from now on.

    Called for the first configuration of an incarnation, and by re-pairing, when the gateway has a new key.
    """
    token = f"jet_{secrets.token_urlsafe(32)}"
    row.jet_token_hash = token_hash(token)
    row.jet_token_sealed = seal(sealing_key, token.encode())


def _stored(row: Gateway, document: dict[str, Any], notices: list[str]) -> Stored:
    view = ConfigurationView(generation=row.configuration_generation, configuration=document, notices=notices)
    return Stored(view, _etag(row.configuration_generation, document))


def _notices(row: Gateway) -> list[str]:
    """Of the present configuration, for as long as nobody gave a better one."""
    notice = strip_scheme(row.vcenter_typed)[1] if row.vcenter_typed else None
    return [notice] if notice else []


def _etag(generation: int, document: dict[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:16]
    return f'"{generation}-{digest}"'


def _check_match(row: Gateway, if_match: str | None) -> None:
    """RFC 9110, 13.1.1: `*` asks that there is one."""
    if if_match is None:
        return
    present = None if row.configuration is None else _etag(row.configuration_generation, row.configuration)
    given = {tag.strip().removeprefix("W/") for tag in if_match.split(",")}
    if present is not None and ("*" in given or present in given):
        return
    raise Conflict(
        "The configuration was changed by someone else in between.",
        reason="changed-meanwhile",
        evidence=[f"present: {present or 'none'}", f"yours: {if_match[:200]}"],
        remedy=["Get the present configuration, make the change in it, and put it again."],
    )
