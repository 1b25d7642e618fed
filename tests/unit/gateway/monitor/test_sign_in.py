"""The page's one password: where it is shown, how it is kept, and how guessing is slowed down."""

from __future__ import annotations

import asyncio
import re
import stat
from pathlib import Path

import pytest

from pcg.clock import LoopClock
from pcg.errors import Busy, CredentialsRejected
from pcg.gateway.monitor.first_boot import FirstBoot, new_password
from pcg.gateway.monitor.server import show_on_screen
from pcg.gateway.monitor.sign_in import GUESSES, GUESSES_SECONDS, SESSION_SECONDS, SignIn

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime(start=1000.0)]


@pytest.fixture
def kept(tmp_path: Path) -> FirstBoot:
    made = FirstBoot(tmp_path / "state")
    made.prepare()
    return made


@pytest.fixture
def right(kept: FirstBoot) -> str:
    password = new_password()
    kept.keep_password(password)
    return password


async def test_the_first_boot_shows_the_password_once_and_keeps_its_hash(kept: FirstBoot, tmp_path: Path) -> None:
    screen = tmp_path / "screen"
    show_on_screen(kept, "https://192.0.2.7:5080", screen)
    shown = screen.read_text()
    found = re.search(r"([a-z2-9]{4}-){3}[a-z2-9]{4}", shown)
    assert found
    assert kept.certificate_fingerprint()[:47] in shown
    assert kept.certificate_fingerprint()[48:] in shown
    assert stat.S_IMODE(screen.stat().st_mode) == 0o600
    files = list(kept.folder.iterdir())
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert not any(found[0] in path.read_text() for path in files)
    assert "$argon2id$" in (kept.folder / "password.json").read_text()
    assert kept.fits(found[0], kept.password_hash() or "")

    show_on_screen(kept, "https://192.0.2.7:5080", screen)
    assert found[0] not in screen.read_text()
    assert "reset-password" in screen.read_text()


async def test_no_password_is_made_that_nobody_can_read(kept: FirstBoot, capsys: pytest.CaptureFixture[str]) -> None:
    show_on_screen(kept, "https://192.0.2.7:5080", None)
    told = capsys.readouterr()
    assert told.out == ""
    assert "reset-password" in told.err
    assert kept.password_hash() is None
    with pytest.raises(CredentialsRejected):
        await SignIn(kept, LoopClock()).enter("", "192.0.2.1")


async def test_two_machines_have_neither_password_nor_certificate_in_common(tmp_path: Path) -> None:
    machines = [FirstBoot(tmp_path / name) for name in ("a", "b")]
    for machine in machines:
        machine.prepare()
    assert machines[0].certificate_fingerprint() != machines[1].certificate_fingerprint()
    assert len({new_password() for _ in range(100)}) == 100
    before = machines[0].certificate_fingerprint()
    machines[0].prepare()
    assert machines[0].certificate_fingerprint() == before


async def test_hyphens_and_capitals_do_not_matter(kept: FirstBoot, right: str) -> None:
    sign_in = SignIn(kept, LoopClock())
    for typed in (right, right.upper().replace("-", " "), right.replace("-", "")):
        assert sign_in.session(await sign_in.enter(typed, "192.0.2.1"))


async def test_guesses_are_slowed_down_for_their_network_alone_and_for_a_while(kept: FirstBoot, right: str) -> None:
    sign_in = SignIn(kept, LoopClock())
    for _ in range(GUESSES):
        with pytest.raises(CredentialsRejected):
            await sign_in.enter("admin", "2001:db8::1")
    with pytest.raises(Busy) as slowed:
        await sign_in.enter(right, "2001:db8::2")
    assert 0 < (slowed.value.after or 0) <= GUESSES_SECONDS
    assert await sign_in.enter(right, "192.0.2.1")
    await asyncio.sleep(GUESSES_SECONDS)
    assert await sign_in.enter(right, "2001:db8::2")


async def test_many_guesses_at_once_get_no_more_tries(kept: FirstBoot, right: str) -> None:
    sign_in = SignIn(kept, LoopClock())
    for _ in range(GUESSES - 2):
        with pytest.raises(CredentialsRejected):
            await sign_in.enter("admin", "192.0.2.1")
    answers = await asyncio.gather(
        *(sign_in.enter(f"guess {number}", "192.0.2.1") for number in range(20)), return_exceptions=True
    )
    assert sum(isinstance(answer, CredentialsRejected) for answer in answers) == 2
    assert all(isinstance(answer, CredentialsRejected | Busy) for answer in answers)


async def test_a_session_ends_in_time_at_sign_out_and_with_another_password(kept: FirstBoot, right: str) -> None:
    sign_in = SignIn(kept, LoopClock())
    first, second = [await sign_in.enter(right, "192.0.2.1") for _ in range(2)]
    sign_in.leave(first)
    assert sign_in.session(first) is None
    assert sign_in.session(second)
    assert sign_in.session("made up") is None
    kept.keep_password(new_password())
    assert sign_in.session(second) is None
    kept.keep_password(right)
    third = await sign_in.enter(right, "192.0.2.1")
    await asyncio.sleep(SESSION_SECONDS)
    assert sign_in.session(third) is None
