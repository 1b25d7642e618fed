"""What can be changed about a user: role and password, by an administrator, by a link that an administrator made, or by
the user. `accounts.py` holds it as `changes`; the pages call it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from sqlalchemy import CursorResult, Result, delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from pcg.clock import Clock
from pcg.console.audit import record
from pcg.console.auth import Action, Actor, require, token_hash
from pcg.console.ids import is_id
from pcg.console.one_time_links import LINK_LIFETIME, end_link, make_link, owner_of_link
from pcg.console.passwords import Passwords
from pcg.console.store.database import Database
from pcg.console.store.models import ApiKey, User, WebSession
from pcg.console.views import UserView
from pcg.errors import Conflict, InvalidInput, NotFound, Refused
from pcg.model.states import Role


class UserChanges:
    def __init__(self, database: Database, clock: Clock, passwords: Passwords) -> None:
        self._database = database
        self._clock = clock
        self._passwords = passwords

    async def user(self, actor: Actor, user_id: str) -> UserView:
        """Raises NotFound."""
        require(actor, Action.MANAGE_USERS)
        async with self._database.read() as session:
            return UserView.model_validate(await _user(session, user_id))

    async def set_role(self, actor: Actor, user_id: str, role: Role) -> None:
        """It counts from the user's next request. The last administrator stays one: Conflict."""
        require(actor, Action.MANAGE_USERS)
        async with self._database.write() as session:
            row = await _user(session, user_id)
            if row.role == role.value:
                return
            if role is not Role.ADMIN:
                await keep_an_administrator(session, row)
            record(
                session, self._clock.now(), actor, "role-changed", None, email=row.email, old=row.role, new=role.value
            )
            row.role = role.value

    async def set_password(self, actor: Actor, user_id: str, password: str) -> None:
        """The user's sessions and links end; API keys stay. Raises InvalidInput, NotFound."""
        require(actor, Action.MANAGE_USERS)
        hashed = await self._passwords.hash(password)
        async with self._database.write() as session:
            row = await _user(session, user_id)
            await self._replace(session, row, hashed, actor, "password-set")

    async def make_password_link(self, actor: Actor, user_id: str) -> tuple[UserView, str, timedelta]:
        """The user, the token of a link that sets the password once, and for how long; an older one ends."""
        require(actor, Action.MANAGE_USERS)
        async with self._database.write() as session:
            row = await _user(session, user_id)
            token = await make_link(session, self._clock.now(), row.id)
            record(session, self._clock.now(), actor, "password-link-made", email=row.email)
        return UserView.model_validate(row), token, LINK_LIFETIME

    async def user_of_link(self, token: str) -> UserView:
        """Raises Refused when the link is not, or no longer, good."""
        async with self._database.read() as session:
            return UserView.model_validate(await self._by_link(session, token))

    async def set_password_by_link(self, token: str, password: str) -> UserView:
        """Raises Refused, InvalidInput (the link then stays good)."""
        await self.user_of_link(token)
        hashed = await self._passwords.hash(password)
        async with self._database.write() as session:
            # Asked again inside the transaction: the link is good once.
            row = await self._by_link(session, token)
            await self._replace(session, row, hashed, row.email, "password-set-by-link")
        return UserView.model_validate(row)

    async def change_own_password(
        self, actor: Actor, token: str, new: str, check: Callable[[], Awaitable[object]]
    ) -> None:
        """`check` proves the present password; `token` is the session that goes on, all others of the user end."""
        await check()
        hashed = await self._passwords.hash(new)
        async with self._database.write() as session:
            row = await _user(session, actor.id)
            await self._replace(session, row, hashed, actor, "password-changed", staying=token_hash(token))

    async def _replace(
        self, session: AsyncSession, row: User, hashed: str, by: Actor | str, action: str, *, staying: str = ""
    ) -> None:
        row.password_hash = hashed
        await end_link(session, row.id)
        ended = await session.execute(
            delete(WebSession).where(WebSession.user_id == row.id, WebSession.token_hash != staying)
        )
        record(session, self._clock.now(), by, action, email=row.email, sessions_ended=_count(ended))

    async def _by_link(self, session: AsyncSession, token: str) -> User:
        owner = await owner_of_link(session, self._clock.now(), token)
        row = await session.get(User, owner) if owner else None
        if row is None:
            raise Refused(
                "This link is not good any more.",
                reason="link-over",
                cause="It was used, an hour has passed, or a newer one was made.",
                remedy=["Ask an administrator of this console for a new one."],
            )
        return row


async def keep_an_administrator(session: AsyncSession, row: User) -> None:
    """Raises Conflict when `row` is the last one."""
    others = await session.scalar(
        select(func.count()).select_from(User).where(User.role == Role.ADMIN.value, User.id != row.id)
    )
    if not others:
        raise Conflict(
            "The last administrator cannot be removed.",
            reason="last-administrator",
            remedy=["Make another administrator first."],
        )


async def end_access(session: AsyncSession, user_id: str) -> dict[str, int]:
    """Ends that user's web sessions and API keys; answers how many, for the audit."""
    sessions = await session.execute(delete(WebSession).where(WebSession.user_id == user_id))
    keys = await session.execute(delete(ApiKey).where(ApiKey.user_id == user_id))
    return {"sessions_ended": _count(sessions), "keys_ended": _count(keys)}


def same_twice(password: str, repeated: str) -> None:
    """Raises InvalidInput."""
    if password != repeated:
        raise InvalidInput("The two passwords differ.", reason="passwords-differ", field_name="repeated")


def _count(result: Result[Any]) -> int:
    assert isinstance(result, CursorResult)
    return int(result.rowcount)


async def _user(session: AsyncSession, user_id: str) -> User:
    row = await session.get(User, user_id) if is_id(user_id) else None
    if row is None:
        raise NotFound("There is no such user.", reason="user-unknown")
    return row
