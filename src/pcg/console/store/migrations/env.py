"""What Alembic calls: it runs the migrations on the connection that `store/database.py` hands over."""

from __future__ import annotations

from alembic import context

from pcg.console.store.models import Table

context.configure(connection=context.config.attributes["connection"], target_metadata=Table.metadata)
with context.begin_transaction():
    context.run_migrations()
