"""The way back in for whoever runs the console's machine but cannot sign in. `pcg console reset-admin` calls it, while
the console runs or not: both meet in the store alone.

It asks for no user's rights: whoever may write the store could change everything in it. So it is audited.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import select, text
from sqlalchemy.exc import SQLAlchemyError

from pcg.clock import Clock
from pcg.console.audit import record
from pcg.console.backup import machine_user
from pcg.console.one_time_links import LINK_LIFETIME, RECOVERY, make_link
from pcg.console.passwords import Passwords
from pcg.console.settings import Settings
from pcg.console.store.database import Database
from pcg.console.store.models import User
from pcg.console.user_changes import end_access
from pcg.errors import Conflict, InvalidInput, NotFound, SetupMissing
from pcg.model.states import Role


@asynccontextmanager
async def store_of(settings: Settings) -> AsyncIterator[Database]:
    """The store as the console left it: nothing is made, nothing migrated. Raises InvalidInput, SetupMissing."""
    if settings.database is None and not (settings.data / "console.db").is_file():
        raise InvalidInput(
            f"{settings.data} is not the data folder of a console.",
            reason="data-folder",
            field_name="data",
            evidence=["console.db is not there"],
            remedy=["Give the folder that `pcg console serve --data` was given, and its --database where it had one."],
        )
    database = Database(settings.database_url)
    try:
        async with database.read() as session:
            await session.execute(text("SELECT version_num FROM alembic_version"))
        yield database
    except (SQLAlchemyError, OSError) as error:
        raise SetupMissing(
            "The console's store cannot be used.",
            reason="database",
            evidence=[str(getattr(error, "orig", None) or error)[:500]],
            remedy=[
                "Check --data and --database, and that the database runs.",
                "Run it as the user that the console runs as, with the same version of pcg.",
            ],
        ) from error
    finally:
        await database.close()


async def administrator_link(database: Database, clock: Clock) -> str:
    """The token of a set-up link that makes an administrator, or restores one, once and within an hour."""
    async with database.write() as session:
        token = await make_link(session, clock.now(), RECOVERY)
        minutes = int(LINK_LIFETIME.total_seconds()) // 60
        record(session, clock.now(), "console", "recovery-link-made", minutes=minutes, machine_user=machine_user())
    return token


async def check_administrator(database: Database, email: str) -> None:
    """Before a password is asked for. Raises NotFound with the administrators that there are, Conflict for others."""
    email = email.strip().lower()
    async with database.read() as session:
        user = await session.scalar(select(User).where(User.email == email))
        others = list(
            await session.scalars(select(User.email).where(User.role == Role.ADMIN.value).order_by(User.email))
        )
    evidence = [f"administrators: {', '.join(others[:10]) or 'none'}"]
    remedy = ["Give one of these to --email.", "Without --email this command makes a link for an administrator."]
    if user is None:
        raise NotFound(f"There is no user {email}.", reason="user-unknown", evidence=evidence, remedy=remedy)
    if user.role != Role.ADMIN.value:
        raise Conflict(f"{email} is no administrator.", reason="not-administrator", evidence=evidence, remedy=remedy)


async def reset_administrator(database: Database, clock: Clock, email: str, password: str) -> None:
    """A new password; that user's sessions and keys end. Raises InvalidInput, NotFound, Conflict."""
    await check_administrator(database, email)
    email, hashed = email.strip().lower(), await Passwords(clock).hash(password)
    async with database.write() as session:
        user = await session.scalar(select(User).where(User.email == email, User.role == Role.ADMIN.value))
        if user is None:
            raise Conflict(f"{email} was just changed by somebody else.", reason="changed", remedy=["Run it again."])
        user.password_hash = hashed
        ended = await end_access(session, user.id)
        record(
            session,
            clock.now(),
            "console",
            "administrator-reset",
            None,
            email=email,
            machine_user=machine_user(),
            **ended,
        )
