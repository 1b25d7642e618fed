"""The first tables: users, gateways and their events."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "v0001"
down_revision = None
branch_labels = None
depends_on = None

LONG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("position", LONG, autoincrement=True, nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("actor", sa.String(length=254), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("gateway_id", sa.String(length=36), nullable=True),
        sa.Column("gateway_name", sa.String(length=63), nullable=True),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_audit")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_audit_gateway_id"), "audit", ["gateway_id"], unique=False)
    op.create_table(
        "gateways",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("cloud", sa.String(length=32), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("registered_at", sa.DateTime(), nullable=True),
        sa.Column("registered_by", sa.String(length=253), nullable=True),
        sa.Column("signing_key", sa.String(length=64), nullable=True),
        sa.Column("sealing_key", sa.String(length=64), nullable=True),
        sa.Column("software", sa.String(length=64), nullable=True),
        sa.Column("term", LONG, nullable=False),
        sa.Column("last_seen", sa.DateTime(), nullable=True),
        sa.Column("mode", sa.String(length=8), nullable=False),
        sa.Column("generation", LONG, nullable=False),
        sa.Column("incarnation", LONG, nullable=False),
        sa.Column("changed_at", sa.DateTime(), nullable=True),
        sa.Column("reset_at", sa.DateTime(), nullable=True),
        sa.Column("configuration", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("configuration_generation", LONG, nullable=False),
        sa.Column("credentials_ciphertext", sa.Text(), nullable=True),
        sa.Column("credentials_version", sa.String(length=64), nullable=True),
        sa.Column("jet_token_hash", sa.String(length=64), nullable=True),
        sa.Column("jet_token_sealed", sa.Text(), nullable=True),
        sa.Column("status", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("status_term", LONG, nullable=False),
        sa.Column("status_revision", LONG, nullable=False),
        sa.Column("status_at", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gateways")),
        sa.UniqueConstraint("jet_token_hash", name=op.f("uq_gateways_jet_token_hash")),
        sa.UniqueConstraint("name", name=op.f("uq_gateways_name")),
        sa.UniqueConstraint("signing_key", name=op.f("uq_gateways_signing_key")),
    )
    op.create_table(
        "settings",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_settings")),
    )
    op.create_table(
        "tombstones",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("signing_key", sa.String(length=64), nullable=True),
        sa.Column("sealing_key", sa.String(length=64), nullable=True),
        sa.Column("deleted_at", sa.DateTime(), nullable=False),
        sa.Column("forced", sa.Boolean(), nullable=False),
        sa.Column("clean_at", sa.DateTime(), nullable=True),
        sa.Column("term", LONG, nullable=False),
        sa.Column("generation", LONG, nullable=False),
        sa.Column("incarnation", LONG, nullable=False),
        sa.Column("configuration", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("credentials_ciphertext", sa.Text(), nullable=True),
        sa.Column("credentials_version", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tombstones")),
    )
    op.create_index(op.f("ix_tombstones_signing_key"), "tombstones", ["signing_key"], unique=False)
    op.create_table(
        "users",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("password_hash", sa.String(length=256), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("email", name=op.f("uq_users_email")),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("user_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("key_hash", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("last_used_at", sa.DateTime(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_api_keys_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("key_hash", name=op.f("uq_api_keys_key_hash")),
    )
    op.create_index(op.f("ix_api_keys_user_id"), "api_keys", ["user_id"], unique=False)
    op.create_table(
        "configuration_versions",
        sa.Column("gateway_id", sa.String(length=36), nullable=False),
        sa.Column("generation", LONG, autoincrement=False, nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.Column("made_at", sa.DateTime(), nullable=False),
        sa.Column("made_by", sa.String(length=254), nullable=False),
        sa.ForeignKeyConstraint(
            ["gateway_id"], ["gateways.id"], name=op.f("fk_configuration_versions_gateway_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("gateway_id", "generation", name=op.f("pk_configuration_versions")),
    )
    op.create_table(
        "event_writers",
        sa.Column("gateway_id", sa.String(length=36), nullable=False),
        sa.Column("writer", sa.String(length=64), nullable=False),
        sa.Column("last_number", LONG, nullable=False),
        sa.Column("last_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["gateway_id"], ["gateways.id"], name=op.f("fk_event_writers_gateway_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("gateway_id", "writer", name=op.f("pk_event_writers")),
    )
    op.create_table(
        "events",
        sa.Column("position", LONG, autoincrement=True, nullable=False),
        sa.Column("gateway_id", sa.String(length=36), nullable=False),
        sa.Column("writer", sa.String(length=64), nullable=False),
        sa.Column("number", LONG, nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("received_at", sa.DateTime(), nullable=False),
        sa.Column("severity", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("step", sa.String(length=64), nullable=True),
        sa.Column("machine", sa.String(length=253), nullable=True),
        sa.Column("fields", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["gateway_id"], ["gateways.id"], name=op.f("fk_events_gateway_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_events")),
        sa.UniqueConstraint("gateway_id", "writer", "number", name=op.f("uq_events_gateway_id_writer_number")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_events_gateway_id_position"), "events", ["gateway_id", "position"], unique=False)
    op.create_table(
        "pairing_codes",
        sa.Column("pairing_key", sa.String(length=64), nullable=False),
        sa.Column("gateway_id", sa.String(length=36), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("expires_at", sa.DateTime(), nullable=False),
        sa.Column("replaced_at", sa.DateTime(), nullable=True),
        sa.Column("used_at", sa.DateTime(), nullable=True),
        sa.Column("used_signing_key", sa.String(length=64), nullable=True),
        sa.Column("used_sealing_key", sa.String(length=64), nullable=True),
        sa.Column("used_by", sa.String(length=253), nullable=True),
        sa.ForeignKeyConstraint(
            ["gateway_id"], ["gateways.id"], name=op.f("fk_pairing_codes_gateway_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("pairing_key", name=op.f("pk_pairing_codes")),
    )
    op.create_index(op.f("ix_pairing_codes_gateway_id"), "pairing_codes", ["gateway_id"], unique=False)
    op.create_table(
        "revoked_keys",
        sa.Column("signing_key", sa.String(length=64), nullable=False),
        sa.Column("gateway_id", sa.String(length=36), nullable=False),
        sa.Column("revoked_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["gateway_id"], ["gateways.id"], name=op.f("fk_revoked_keys_gateway_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("signing_key", name=op.f("pk_revoked_keys")),
    )
    op.create_index(op.f("ix_revoked_keys_gateway_id"), "revoked_keys", ["gateway_id"], unique=False)
    op.create_table(
        "web_sessions",
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.String(length=36), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("expires_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_web_sessions_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_web_sessions")),
    )
    op.create_index(op.f("ix_web_sessions_user_id"), "web_sessions", ["user_id"], unique=False)


def downgrade() -> None:
    op.drop_table("web_sessions")
    op.drop_table("revoked_keys")
    op.drop_table("pairing_codes")
    op.drop_table("events")
    op.drop_table("event_writers")
    op.drop_table("configuration_versions")
    op.drop_table("api_keys")
    op.drop_table("users")
    op.drop_table("tombstones")
    op.drop_table("settings")
    op.drop_table("gateways")
    op.drop_table("audit")
