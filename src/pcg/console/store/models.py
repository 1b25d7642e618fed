"""The tables of the console, one class each. Rules live in `console/service.py` and its neighbours, never here.

`store/migrations` makes the same tables; a test proves that both are equal. Every time is UTC with its zone.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

LongInteger = BigInteger().with_variant(Integer, "sqlite")
"""SQLite counts up by itself only in a column that is called INTEGER"""


class UtcTime(TypeDecorator[datetime]):
    """SQLite keeps no zone: times are stored as UTC without one and come back with it."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


class Table(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {datetime: UtcTime, dict[str, Any]: JSON, str: Text}  # noqa: RUF012 - SQLAlchemy's own way


class Setting(Table):
    """What the console itself must remember: its id, the hash of the one-time set-up link."""

    __tablename__ = "settings"
    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[str]


class User(Table):
    __tablename__ = "users"
    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    email: Mapped[str] = mapped_column(String(254), unique=True)
    """lower case"""
    role: Mapped[str] = mapped_column(String(16))
    password_hash: Mapped[str] = mapped_column(String(256))
    created_at: Mapped[datetime]


class WebSession(Table):
    """A signed-in browser. The CSRF token is derived from the session's own token, so it needs no column."""

    __tablename__ = "web_sessions"
    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class ApiKey(Table):
    __tablename__ = "api_keys"
    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(String(128))
    key_hash: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]
    """to the hour: a use within the same hour writes nothing"""


class Gateway(Table):
    """One gateway: what is wanted of it, and the newest that it told. Its state is derived (`gateway_state.py`)."""

    __tablename__ = "gateways"
    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    name: Mapped[str] = mapped_column(String(63), unique=True)
    cloud: Mapped[str] = mapped_column(String(32))
    created_at: Mapped[datetime]

    # Registration. Keys are unpadded base64url; None before an installer has paired.
    registered_at: Mapped[datetime | None]
    registered_by: Mapped[str | None] = mapped_column(String(253))
    """the installer's own name"""
    signing_key: Mapped[str | None] = mapped_column(String(64), unique=True)
    sealing_key: Mapped[str | None] = mapped_column(String(64))
    software: Mapped[str | None] = mapped_column(String(64))
    term: Mapped[int] = mapped_column(LongInteger, default=0)
    """the highest that was given"""
    last_seen: Mapped[datetime | None]
    """written when a session ends and rarely in between"""

    # What is wanted.
    mode: Mapped[str] = mapped_column(String(8), default="idle")
    generation: Mapped[int] = mapped_column(LongInteger, default=0)
    incarnation: Mapped[int] = mapped_column(LongInteger, default=1)
    changed_at: Mapped[datetime | None]
    """when `mode` last changed"""
    reset_at: Mapped[datetime | None]
    configuration: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    configuration_generation: Mapped[int] = mapped_column(LongInteger, default=0)
    """the generation that brought the present configuration"""
    vcenter_typed: Mapped[str | None] = mapped_column(String(300))
    """vCenter's address as it was typed, where a scheme had to be taken off it"""
    credentials_ciphertext: Mapped[str | None]
    credentials_version: Mapped[str | None] = mapped_column(String(64))
    jet_token_hash: Mapped[str | None] = mapped_column(String(64), unique=True)
    """SHA-256 in hexadecimal; None: no token is valid"""
    jet_token_sealed: Mapped[str | None]

    # After a restore (`restored.py`).
    restored_at: Mapped[datetime | None]
    """the console was restored, and the gateway has not told since that it has nothing newer; nothing is sent to it"""
    restored_generation: Mapped[int | None] = mapped_column(LongInteger)
    restored_incarnation: Mapped[int | None] = mapped_column(LongInteger)
    """both as they were in the backup"""
    agreed_generation: Mapped[int | None] = mapped_column(LongInteger)
    """taken over from the gateway when a person agreed; nothing is sent while `generation` is still this one"""

    # The newest status.
    status: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    """a `GatewayStatus`"""
    status_term: Mapped[int] = mapped_column(LongInteger, default=0)
    status_revision: Mapped[int] = mapped_column(LongInteger, default=0)
    status_at: Mapped[datetime | None]


class Tombstone(Table):
    """What is kept of a deleted gateway, so that one which missed its farewell gets it.

    `forced`: deleted while it was away; it is told to clean up first, and `clean_at` says when it had.
    """

    __tablename__ = "tombstones"
    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    name: Mapped[str] = mapped_column(String(63))
    signing_key: Mapped[str | None] = mapped_column(String(64), index=True)
    sealing_key: Mapped[str | None] = mapped_column(String(64))
    deleted_at: Mapped[datetime]
    forced: Mapped[bool] = mapped_column(default=False)
    clean_at: Mapped[datetime | None]
    term: Mapped[int] = mapped_column(LongInteger, default=0)
    generation: Mapped[int] = mapped_column(LongInteger, default=0)
    incarnation: Mapped[int] = mapped_column(LongInteger, default=1)
    configuration: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    """with the credentials only until it is clean: without them it could not remove its machines"""
    credentials_ciphertext: Mapped[str | None]
    credentials_version: Mapped[str | None] = mapped_column(String(64))


class RevokedKey(Table):
    """Signing keys that a newer registration of the same gateway replaced."""

    __tablename__ = "revoked_keys"
    signing_key: Mapped[str] = mapped_column(String(64), primary_key=True)
    gateway_id: Mapped[str] = mapped_column(ForeignKey("gateways.id", ondelete="CASCADE"), index=True)
    revoked_at: Mapped[datetime]


class PairingCode(Table):
    """Only the public half of the key that is derived from a code; the code itself is shown once and kept nowhere."""

    __tablename__ = "pairing_codes"
    pairing_key: Mapped[str] = mapped_column(String(64), primary_key=True)
    gateway_id: Mapped[str] = mapped_column(ForeignKey("gateways.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    replaced_at: Mapped[datetime | None]
    """a newer code was made before this one was used; it counts as expired from then on"""
    used_at: Mapped[datetime | None]
    used_signing_key: Mapped[str | None] = mapped_column(String(64))
    used_sealing_key: Mapped[str | None] = mapped_column(String(64))
    used_by: Mapped[str | None] = mapped_column(String(253))


class ConfigurationVersion(Table):
    """Every configuration that a gateway ever had, by its generation."""

    __tablename__ = "configuration_versions"
    gateway_id: Mapped[str] = mapped_column(ForeignKey("gateways.id", ondelete="CASCADE"), primary_key=True)
    generation: Mapped[int] = mapped_column(LongInteger, primary_key=True, autoincrement=False)
    document: Mapped[dict[str, Any]]
    made_at: Mapped[datetime]
    made_by: Mapped[str] = mapped_column(String(254))


_TOLD = text("finding IS NOT NULL")


class StoredEvent(Table):
    """One line of a gateway. `position` is the console's order and the cursor of every list."""

    __tablename__ = "events"
    position: Mapped[int] = mapped_column(LongInteger, primary_key=True, autoincrement=True)
    gateway_id: Mapped[str] = mapped_column(ForeignKey("gateways.id", ondelete="CASCADE"))
    writer: Mapped[str] = mapped_column(String(64))
    number: Mapped[int] = mapped_column(LongInteger)
    at: Mapped[datetime]
    received_at: Mapped[datetime]
    severity: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(String(64))
    message: Mapped[str]
    step: Mapped[str | None] = mapped_column(String(64))
    machine: Mapped[str | None] = mapped_column(String(253))
    fields: Mapped[dict[str, Any]]
    finding: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    """a `Finding` that opened or closed"""
    # AUTOINCREMENT: a position is never given twice, so that a cursor stays good when the newest rows are removed.
    __table_args__ = (
        UniqueConstraint("gateway_id", "writer", "number"),
        Index(None, "gateway_id", "position"),
        # The history of findings, among a hundred thousand other events.
        Index("ix_events_findings", "gateway_id", "position", sqlite_where=_TOLD, postgresql_where=_TOLD),
        {"sqlite_autoincrement": True},
    )


class EventWriter(Table):
    """The last number stored of each writer: what `welcome.stored` tells, also after old events were removed."""

    __tablename__ = "event_writers"
    gateway_id: Mapped[str] = mapped_column(ForeignKey("gateways.id", ondelete="CASCADE"), primary_key=True)
    writer: Mapped[str] = mapped_column(String(64), primary_key=True)
    last_number: Mapped[int] = mapped_column(LongInteger)
    last_at: Mapped[datetime]


class AuditEntry(Table):
    """Who changed what. Gateways and users are named, not referred to: entries outlive both."""

    __tablename__ = "audit"
    position: Mapped[int] = mapped_column(LongInteger, primary_key=True, autoincrement=True)
    at: Mapped[datetime]
    actor: Mapped[str] = mapped_column(String(254))
    """an e-mail address, `installer NAME`, or `console`"""
    action: Mapped[str] = mapped_column(String(64))
    gateway_id: Mapped[str | None] = mapped_column(String(36), index=True)
    gateway_name: Mapped[str | None] = mapped_column(String(63))
    details: Mapped[dict[str, Any]]
    __table_args__ = ({"sqlite_autoincrement": True},)
