"""vCenter's address as it was typed, where a scheme had to be taken off it: the gateway tells of that in a notice."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "v0004"
down_revision = "v0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("gateways", sa.Column("vcenter_typed", sa.String(300), nullable=True))
