"""Renewing a lost session: who may try the password, and how often."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from pcg.clouds.base import Login
from pcg.clouds.vsphere.faults import SessionLost
from pcg.clouds.vsphere.session import VsphereSession
from pcg.errors import CredentialsRejected


def lost(*_: object) -> None:
    raise SessionLost("ended")


@pytest.fixture
def session() -> VsphereSession:
    session = VsphereSession(Login("127.0.0.1:1", "svc", "secret"))
    session.epoch = 1
    session.stub = SimpleNamespace(cookie="of the session that ended")
    return session


def test_a_password_that_was_changed_is_tried_once_however_many_calls_want_in(
    session: VsphereSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    def log_in() -> None:
        tries.append(1)
        raise CredentialsRejected("no longer")

    monkeypatch.setattr(session, "_log_in", log_in)
    for _ in range(3):
        with pytest.raises(CredentialsRejected):
            session._guarded(lost, ())
    assert len(tries) == 1


def test_a_session_that_another_call_has_renewed_is_not_renewed_again(
    session: VsphereSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []
    monkeypatch.setattr(session, "_log_in", lambda: tries.append(1))
    answers = iter([SessionLost("ended"), "answer"])

    def call() -> str:
        answer = next(answers)
        if isinstance(answer, SessionLost):
            session.epoch = 2  # meanwhile, in another thread
            raise answer
        return answer

    assert session._guarded(call, ()) == "answer"
    assert tries == []
