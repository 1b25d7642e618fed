"""Users, their web sessions and API keys, and the first administrator. API and pages call it through `service.py`."""

from __future__ import annotations

import re
import secrets
import uuid
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from pcg.clock import Clock
from pcg.console.audit import record
from pcg.console.auth import Action, Actor, require, token_hash
from pcg.console.collapsed_audit import CollapsedAudit
from pcg.console.ids import is_id
from pcg.console.one_time_links import RECOVERY, SETUP, end_link, owner_of_link
from pcg.console.paging import Page, page_of
from pcg.console.passwords import Passwords
from pcg.console.store.database import Database
from pcg.console.store.models import ApiKey, Setting, User, WebSession
from pcg.console.user_changes import UserChanges, end_access, keep_an_administrator
from pcg.console.views import KeyView, NewKeyView, UserView
from pcg.errors import Busy, Conflict, CredentialsRejected, InvalidInput, NotFound, Refused
from pcg.model.states import Role

SESSION_LIFETIME = timedelta(hours=12)
_KEY_USE_NOTED = timedelta(hours=1)
_EMAIL = re.compile(r"[^\s@\x00-\x1f]{1,64}@[^\s@\x00-\x1f]{1,189}")


@dataclass(frozen=True, repr=False)
class SignedIn:
    """`token` goes into the cookie and is kept as a hash only."""

    actor: Actor
    token: str


class Accounts:
    def __init__(self, database: Database, clock: Clock, collapsed: CollapsedAudit | None = None) -> None:
        self._database = database
        self._clock = clock
        self._collapsed = collapsed or CollapsedAudit(database, clock)
        self._passwords = Passwords(clock)
        self.changes = UserChanges(database, clock, self._passwords)

    # The first administrator

    async def prepare(self, email: str | None, password: str | None) -> str | None:
        """At every start: makes the first administrator where there is no user at all.

        Without an e-mail and password answers the token of a one-time set-up link; an older link ends.
        """
        async with self._database.read() as session:
            if await _has_users(session):
                return None
        if email and password:
            await self._first_user(email, password)
            return None
        token = secrets.token_urlsafe(32)
        async with self._database.write() as session:
            await session.merge(Setting(key=SETUP, value=token_hash(token)))
        return token

    async def set_up(self, token: str, email: str, password: str) -> UserView:
        """The set-up link's form. Raises Refused when the link is not, or no longer, good.

        A link of `pcg console reset-admin` also gives a known user a new password and the role of an administrator.
        """
        await self._check_setup(token)
        async with self._database.read() as session:
            owner = await owner_of_link(session, self._clock.now(), token)
        make = self._recovered if owner == RECOVERY else self._first_user
        return await make(email, password, token)

    async def setup_possible(self, token: str) -> bool:
        """Whether the set-up link is still good."""
        try:
            await self._check_setup(token)
        except Refused:
            return False
        return True

    # Users

    async def users(self, actor: Actor, *, after: str | None, limit: int) -> Page[UserView]:
        """By e-mail; `after` is the last one that was seen."""
        require(actor, Action.MANAGE_USERS)
        query = select(User).order_by(User.email).limit(limit + 1)
        if after is not None:
            query = query.where(User.email > after)
        async with self._database.read() as session:
            rows = list(await session.scalars(query))
        return page_of([UserView.model_validate(row) for row in rows], limit, lambda user: user.email)

    async def create_user(self, actor: Actor, email: str, role: Role, password: str) -> UserView:
        """Raises InvalidInput, Conflict."""
        require(actor, Action.MANAGE_USERS)
        row = await self._new_user(email, role, password)
        try:
            async with self._database.write() as session:
                session.add(row)
                record(session, row.created_at, actor, "user-created", email=row.email, role=role.value)
        except IntegrityError:
            raise Conflict(
                f"There is a user {row.email} already.", reason="email-taken", fields={"field": "email"}
            ) from None
        return UserView.model_validate(row)

    async def delete_user(self, actor: Actor, user_id: str) -> None:
        """Sessions and keys of that user end at once. The last administrator stays: Conflict."""
        require(actor, Action.MANAGE_USERS)
        async with self._database.write() as session:
            row = await session.get(User, user_id) if is_id(user_id) else None
            if row is None:
                raise NotFound("There is no such user.", reason="user-unknown")
            await keep_an_administrator(session, row)
            record(session, self._clock.now(), actor, "user-deleted", email=row.email)
            await session.delete(row)

    # Passwords and sessions

    async def check_password(self, email: str, password: str, address: str = "") -> Actor:
        """Raises CredentialsRejected (HTTP 401), and Busy after too many wrong guesses."""
        email = email.strip().lower()
        async with self._database.read() as session:
            row = await session.scalar(select(User).where(User.email == email)) if _EMAIL.fullmatch(email) else None
        # Of somebody unknown only the address is kept: people type passwords into the wrong field.
        whose = row.email if row else ""
        try:
            right = await self._passwords.fits(row.password_hash if row else None, password, email, address)
        except Busy as busy:
            self._collapsed.note("sign-in-failed", reason=busy.reason, address=address, email=whose)
            raise
        if not right or row is None:
            reason = "wrong-password" if row else "no-such-user"
            self._collapsed.note("sign-in-failed", reason=reason, address=address, email=whose)
            raise CredentialsRejected(
                "E-mail or password is wrong.",
                reason="sign-in-failed",
                remedy=["Try again; an administrator can give you a new password."],
            )
        return _actor(row)

    async def sign_in(self, email: str, password: str, address: str = "") -> SignedIn:
        """A new web session. Raises what `check_password` raises."""
        actor = await self.check_password(email, password, address)
        token, now = secrets.token_urlsafe(32), self._clock.now()
        async with self._database.write() as session:
            await session.execute(delete(WebSession).where(WebSession.expires_at <= now))
            session.add(
                WebSession(
                    token_hash=token_hash(token), user_id=actor.id, created_at=now, expires_at=now + SESSION_LIFETIME
                )
            )
            record(session, now, actor, "signed-in")
        return SignedIn(actor, token)

    async def sign_out(self, token: str) -> None:
        mine = WebSession.token_hash == token_hash(token)
        async with self._database.write() as session:
            row = await session.scalar(select(User).join(WebSession, WebSession.user_id == User.id).where(mine))
            if row is not None:
                record(session, self._clock.now(), _actor(row), "signed-out")
            await session.execute(delete(WebSession).where(mine))

    async def actor_of_session(self, token: str) -> Actor | None:
        """None: no such session, or it ended."""
        query = select(User).join(WebSession, WebSession.user_id == User.id)
        query = query.where(WebSession.token_hash == token_hash(token), WebSession.expires_at > self._clock.now())
        async with self._database.read() as session:
            row = await session.scalar(query)
        return _actor(row) if row else None

    # API keys

    async def keys(self, actor: Actor, *, after: str | None, limit: int) -> Page[KeyView]:
        """One's own; an administrator's view holds everyone's. In the order of their ids."""
        require(actor, Action.MANAGE_OWN_KEYS)
        query = select(ApiKey, User).join(User, User.id == ApiKey.user_id).order_by(ApiKey.id).limit(limit + 1)
        if actor.role is not Role.ADMIN:
            query = query.where(ApiKey.user_id == actor.id)
        if after is not None:
            query = query.where(ApiKey.id > after)
        async with self._database.read() as session:
            rows = (await session.execute(query)).all()
        return page_of([_key_view(key, user) for key, user in rows], limit, lambda view: view.id)

    async def key(self, actor: Actor, key_id: str) -> KeyView:
        """Raises NotFound, also for another user's key unless one is an administrator."""
        require(actor, Action.MANAGE_OWN_KEYS)
        query = select(ApiKey, User).join(User, User.id == ApiKey.user_id).where(ApiKey.id == key_id)
        async with self._database.read() as session:
            found = (await session.execute(query)).first() if is_id(key_id) else None
        if found is None or (found[1].id != actor.id and actor.role is not Role.ADMIN):
            raise NotFound("There is no such key.", reason="key-unknown")
        return _key_view(*found)

    async def create_key(self, actor: Actor, name: str) -> NewKeyView:
        """The key is shown once; it may what its owner may."""
        require(actor, Action.MANAGE_OWN_KEYS)
        key, now = f"pcg_{secrets.token_urlsafe(32)}", self._clock.now()
        row = ApiKey(id=str(uuid.uuid4()), user_id=actor.id, name=name, key_hash=token_hash(key), created_at=now)
        async with self._database.write() as session:
            owner = await session.get(User, actor.id)
            if owner is None:
                raise NotFound("Your account was removed.", reason="user-unknown")
            session.add(row)
            record(session, now, actor, "key-created", key=row.id, name=name)
        return NewKeyView(**_key_view(row, owner).model_dump(), key=key)

    async def delete_key(self, actor: Actor, key_id: str) -> None:
        """Raises NotFound, also for another user's key unless one is an administrator."""
        require(actor, Action.MANAGE_OWN_KEYS)
        async with self._database.write() as session:
            row = await session.get(ApiKey, key_id) if is_id(key_id) else None
            if row is None or (row.user_id != actor.id and actor.role is not Role.ADMIN):
                raise NotFound("There is no such key.", reason="key-unknown")
            record(session, self._clock.now(), actor, "key-revoked", key=row.id, name=row.name)
            await session.delete(row)

    async def actor_of_key(self, key: str) -> Actor | None:
        """None: no such key. The use is noted once an hour, not at every request."""
        query = select(ApiKey, User).join(User, User.id == ApiKey.user_id).where(ApiKey.key_hash == token_hash(key))
        now = self._clock.now()
        async with self._database.read() as session:
            found = (await session.execute(query)).first()
        if found is None:
            return None
        row, user = found
        if row.last_used_at is None or now - row.last_used_at >= _KEY_USE_NOTED:
            async with self._database.write() as session:
                used = await session.get(ApiKey, row.id)
                if used is not None:
                    used.last_used_at = now
        return _actor(user)

    # Helpers

    async def _first_user(self, email: str, password: str, token: str | None = None) -> UserView:
        row = await self._new_user(email, Role.ADMIN, password)
        async with self._database.write() as session:
            # Asked again inside the transaction: two set-up forms at the same moment make one administrator.
            if await _has_users(session):
                raise _setup_over()
            session.add(row)
            await session.execute(delete(Setting).where(Setting.key == SETUP))
            record(session, row.created_at, "console", "first-administrator", email=row.email, by_link=bool(token))
        return UserView.model_validate(row)

    async def _recovered(self, email: str, password: str, token: str) -> UserView:
        row = await self._new_user(email, Role.ADMIN, password)
        async with self._database.write() as session:
            # Asked again inside the transaction: the link is good once, also for two forms at the same moment.
            if await owner_of_link(session, row.created_at, token) != RECOVERY:
                raise _setup_over()
            await end_link(session, RECOVERY)
            known = await session.scalar(select(User).where(User.email == row.email))
            found: dict[str, object] = {"email": row.email, "new": known is None}
            if known is None:
                session.add(row)
            else:
                known.password_hash, known.role = row.password_hash, row.role
                found |= await end_access(session, known.id)
            record(session, row.created_at, "console", "administrator-by-link", None, **found)
        return UserView.model_validate(known or row)

    async def _check_setup(self, token: str) -> None:
        async with self._database.read() as session:
            if await owner_of_link(session, self._clock.now(), token) == RECOVERY:
                return
            kept = await session.get(Setting, SETUP)
            if kept is None or not secrets.compare_digest(kept.value, token_hash(token)) or await _has_users(session):
                raise _setup_over()

    async def _new_user(self, email: str, role: Role, password: str) -> User:
        email = email.strip().lower()
        # Printable: no sign that cannot be seen, or turns the text, may make one address look like another.
        if not (_EMAIL.fullmatch(email) and email.isprintable()):
            raise InvalidInput(
                "This is not an e-mail address.", reason="email", field_name="email", remedy=["Write name@example.com."]
            )
        hashed = await self._passwords.hash(password)
        return User(
            id=str(uuid.uuid4()), email=email, role=role.value, password_hash=hashed, created_at=self._clock.now()
        )


async def _has_users(session: AsyncSession) -> bool:
    return await session.scalar(select(User.id).limit(1)) is not None


def _actor(row: User) -> Actor:
    return Actor(row.id, row.email, Role(row.role))


def _key_view(key: ApiKey, owner: User) -> KeyView:
    return KeyView(
        id=key.id,
        name=key.name,
        owner=owner.email,
        role=Role(owner.role),
        created_at=key.created_at,
        last_used_at=key.last_used_at,
    )


def _setup_over() -> Refused:
    return Refused(
        "This set-up link is not good any more.",
        reason="setup-over",
        remedy=["Sign in, or use the link that the console printed at its last start."],
    )
