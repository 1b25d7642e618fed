"""What an event tells of a finding that opened or closed: the console's history of findings."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "v0003"
down_revision = "v0002"
branch_labels = None
depends_on = None

TOLD = sa.text("finding IS NOT NULL")


def upgrade() -> None:
    op.add_column("events", sa.Column("finding", sa.JSON(none_as_null=True), nullable=True))
    op.create_index(
        "ix_events_findings", "events", ["gateway_id", "position"], sqlite_where=TOLD, postgresql_where=TOLD
    )
