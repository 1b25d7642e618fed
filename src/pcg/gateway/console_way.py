"""What this machine meets on its way to the console, a fact for diagnosis: the bootstrap's trouble and the session's.

Made by the agent; told by the bootstrap's steps and by the session.
"""

from __future__ import annotations

from collections.abc import Callable

from pcg.clock import Clock
from pcg.diagnosis.facts import WayFact
from pcg.errors import PcgError
from pcg.gateway.requests import problem_of
from pcg.model.records import Problem

SESSION = "session"


class ConsoleWay:
    """The listener of `on_change` hears of every change of `fact`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._registered = False
        self._bootstrap: tuple[str, Problem] | None = None
        self._session: Problem | None = None
        self._overdue: Problem | None = None
        self._notices: list[Problem] = []
        self._by_polling: Problem | None = None
        self._upgraded = False
        self._listener: Callable[[], None] = lambda: None

    def on_change(self, listener: Callable[[], None]) -> None:
        self._listener = listener

    def fact(self) -> WayFact:
        step, trouble = self._bootstrap or ("", None)
        if self._session is not None:
            # Without a session nothing else can be brought either.
            step, trouble = SESSION, self._session
        return WayFact(
            registered=self._registered,
            step=step,
            trouble=trouble,
            notices=tuple(self._notices),
            overdue=self._overdue,
            by_polling=self._by_polling,
            upgraded=self._upgraded,
        )

    def normalised(self, reason: str, line: str) -> None:
        """What was typed was put right, and a person should know; over with the registration."""
        self._notices.append(Problem(reason=reason, what=line, at=self._clock.now()))
        self._listener()

    def hindered(self, step: str, error: PcgError) -> None:
        """A step of the bootstrap failed, and is tried again."""
        self._bootstrap = step, problem_of(error, self._clock)
        self._listener()

    def cleared(self) -> None:
        """A step of the bootstrap has succeeded."""
        if self._bootstrap is not None:
            self._bootstrap = None
            self._listener()

    def overdue(self, line: str) -> None:
        self._overdue = Problem(reason="registration-overdue", what=line[:4096], at=self._clock.now())
        self._listener()

    def registered(self) -> None:
        self._registered, self._bootstrap, self._overdue = True, None, None
        self._notices.clear()
        self._listener()

    def no_session(self, error: PcgError) -> None:
        """It could not be opened, and is tried again later."""
        self._session = problem_of(error, self._clock)
        self._listener()

    def by_polling(self, why: Problem | None) -> None:
        """The session goes by long polling from now on, because WebSockets are blocked; None: by WebSocket again."""
        self._by_polling = why
        self._listener()

    def session_up(self) -> None:
        self._session = None
        self._upgraded = self._upgraded or self._by_polling is None
        self._listener()
