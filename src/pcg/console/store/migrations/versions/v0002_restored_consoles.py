"""What a console that was restored from a backup remembers of each gateway until that has told what it has."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "v0002"
down_revision = "v0001"
branch_labels = None
depends_on = None

LONG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("gateways", sa.Column("restored_at", sa.DateTime(), nullable=True))
    op.add_column("gateways", sa.Column("restored_generation", LONG, nullable=True))
    op.add_column("gateways", sa.Column("restored_incarnation", LONG, nullable=True))
    op.add_column("gateways", sa.Column("agreed_generation", LONG, nullable=True))
