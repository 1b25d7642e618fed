"""A gateway's details by the pages, live news, and what no page may hold: markup of others, anything from elsewhere."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
import pytest_asyncio
from starlette.requests import Request

from pcg.console.auth import SESSION_COOKIE
from pcg.console.store.models import Gateway
from pcg.console.streams import Topic
from pcg.console.web.news import news_lines
from pcg.model.records import (
    FINDING_CLOSED,
    FINDING_OPENED,
    Event,
    Evidence,
    Finding,
    MachineReport,
    Problem,
    StepReport,
)
from pcg.model.states import MachineRole, MachineState, Severity, StepName, StepState
from pcg.wire.frames import Report

from .browsing import Browser, Form, anonymous, signed_in, told
from .conftest import Console, status

pytestmark = pytest.mark.shared

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest_asyncio.fixture(loop_scope="module")
async def browser(console: Console) -> AsyncIterator[Browser]:
    opened = await signed_in(console)
    yield opened
    await opened.client.aclose()


EVIL = "<script>alert('x')</script>"


async def _evil(console: Console) -> str:
    """A gateway that tells markup in every field that it can."""
    gateway_id, _ = await console.configured()
    problem = Problem(
        reason="r", what=EVIL, evidence=[EVIL], cause=EVIL, remedy=[EVIL, EVIL], link="javascript:alert(1)", at=NOW
    )
    steps = [StepReport(name=name) for name in StepName]
    steps[0] = StepReport(name=StepName.VALIDATE_CONFIGURATION, state=StepState.DONE, since=NOW, seconds=75)
    steps[1] = StepReport(
        name=StepName.CONNECT, state=StepState.FAILED, since=NOW, task=EVIL, last_error=problem, next_try=NOW
    )
    finding = Finding(
        scenario="s", cause="c", severity=Severity.ERROR, since=NOW, summary=EVIL, cured=EVIL, remedy=[EVIL],
        evidence=[Evidence(source=EVIL, text=EVIL, time=NOW, file=EVIL, line=7)], link="https://example.com/docs",
    )  # fmt: skip
    notice = Finding(scenario="n", cause="c", severity=Severity.INFO, since=NOW, summary="a notice")
    machine = MachineReport(
        name=EVIL, role=MachineRole.WORKER, state=MachineState.BOOTING, address=EVIL, instance=EVIL, incarnation=0
    )
    generation = (await console.get(gateway_id))["generation"]
    await told(console, gateway_id, status(generation, steps=steps, findings=[finding, notice], machines=[machine]))
    event = Event(
        at=NOW, reason="r", message=EVIL, machine=EVIL, fields={EVIL: EVIL}, step=StepName.CONNECT, finding=finding
    )
    over = Event(at=NOW, reason=FINDING_CLOSED, message=EVIL, finding=finding.model_copy(update={"closed": NOW}))
    reports = [Report(writer="w", number=number, event=item) for number, item in enumerate((event, over), 1)]
    await console.service.reports.store_reports(gateway_id, reports)
    async with console.service.database.write() as session:
        row = await session.get(Gateway, gateway_id)
        assert row is not None
        row.name = row.registered_by = EVIL
        row.configuration = {**(row.configuration or {}), "template": {"folder": EVIL, "image": EVIL}}
    return gateway_id


def _pages(gateway_id: str) -> list[str]:
    tabs = ("", "/events", "/configuration", "/configure", "/configure?as=yaml", "/reset", "/delete", "/pairing-code")
    return ["/", "/gateways/new", "/nowhere", *(f"/gateways/{gateway_id}{tab}" for tab in tabs)]


@pytest.mark.parametrize("presented", ["AB:" * 31 + "CD", "AB:" * 31 + "<b>", "", "//evil.example"])
async def test_an_unknown_certificate_can_be_confirmed_and_only_a_fingerprint_leads_there(
    console: Console, browser: Browser, presented: str
):
    gateway_id, _ = await console.configured()
    problem = Problem(reason="certificate-untrusted", what="not trusted", fields={"presented": presented}, at=NOW)
    steps = [StepReport(name=name) for name in StepName]
    steps[1] = StepReport(name=StepName.CONNECT, state=StepState.FAILED, since=NOW, last_error=problem)
    await told(console, gateway_id, status((await console.get(gateway_id))["generation"], steps=steps))
    text = (await browser.get(f"/gateways/{gateway_id}")).text
    good = presented.endswith("CD")
    assert ("Confirm this fingerprint" in text) is good
    page = await browser.get(f"/gateways/{gateway_id}/configure?pin={presented}")
    assert page.status_code == (200 if good or not presented else 422)
    if good:
        assert "Compare before you save" in page.text
        assert f'value="{presented}"' in page.text


async def test_details_show_steps_errors_findings_and_machines(console: Console, browser: Browser):
    text = unescape((await browser.get(f"/gateways/{await _evil(console)}")).text)
    places = [text.index(f">{name}<") for name in ("Validate Configuration", "Connect", "Preflight", "Jet Registered")]
    assert places == sorted(places)
    shown = ["1 of 10 done", "took 1 min 15 s", "Failed", "next try", "Evidence", "Cause", "What to do", "a notice"]
    shown += ["2026-01-01 12:00:00 UTC", "Booting", "It is over when", "https://example.com/docs"]
    assert [part for part in shown if part not in text] == []
    assert "javascript:" not in text


async def test_every_page_is_escaped_local_and_under_a_strict_policy(console: Console, browser: Browser):
    gateway_id = await _evil(console)
    stranger = anonymous(console)
    answers = [await browser.get(path) for path in _pages(gateway_id)]
    answers += [await stranger.get("/sign-in"), await stranger.get("/setup?token=x")]
    for answer in answers:
        where = str(answer.url)
        assert answer.headers["content-type"].startswith("text/html"), where
        assert EVIL not in answer.text and "<script>" not in answer.text, where
        policy = answer.headers["content-security-policy"]
        assert "unsafe" not in policy and "default-src 'none'" in policy and "http" not in policy, where
        assert answer.headers["cache-control"] == "no-store", where
        page = Form(answer.text)
        assert not page.inline, where
        foreign = [(tag, address) for tag, address in page.addresses if re.match(r"\w+:|//", address)]
        assert all(tag == "a" and address == "https://example.com/docs" for tag, address in foreign), where


async def test_static_files_are_kept_under_their_digest_only(console: Console, browser: Browser):
    page = Form((await browser.get("/")).text)
    files = {address for tag, address in page.addresses if address.startswith("/static/")}
    assert {address.rpartition("/")[2] for address in files} == {"console.css", "live.js", "icon.svg"}
    for address in files:
        answer = await anonymous(console).get(address)
        assert answer.status_code == 200 and "immutable" in answer.headers["cache-control"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "http:" not in answer.text.replace("http://www.w3.org/2000/svg", "") and "https:" not in answer.text
        old = await anonymous(console).get(f"/static/0/{address.rpartition('/')[2]}")
        assert old.status_code == 200 and old.headers["cache-control"] == "no-store"
    assert (await anonymous(console).get("/static/0/..%2fpages.py")).status_code == 404
    assert (await anonymous(console).get("/static/0/pages.py")).status_code == 404


async def test_the_events_tab_shows_the_latest_hundred_newest_first(console: Console, browser: Browser):
    gateway_id, _ = await console.registered()
    events = [Event(at=NOW, reason="r", message=f"event {number}.") for number in range(1, 131)]
    reports = [Report(writer="w", number=number, event=event) for number, event in enumerate(events, 1)]
    await console.service.reports.store_reports(gateway_id, reports)
    text = (await browser.get(f"/gateways/{gateway_id}/events")).text
    assert re.findall(r"event (\d+)\.", text) == [str(number) for number in range(130, 30, -1)]


async def test_news_come_at_once_and_end_with_the_session(console: Console, browser: Browser):
    gateway_id, _ = await console.registered()
    answer = await anonymous(console).get("/news")
    assert answer.status_code == 303
    request = browser.client.build_request("GET", "/news")
    scope = {"type": "http", "method": "GET", "path": "/news", "headers": [], "app": console.app}
    scope["headers"] = [(name.lower(), value) for name, value in request.headers.raw]
    for about in (None, gateway_id):
        news = news_lines(Request(scope), console.service, about)
        assert await anext(news) == "data: changed\n\n"
        console.service.streams.notify(gateway_id, Topic.STATUS)
        assert await asyncio.wait_for(anext(news), 5) == "data: changed\n\n"
        await news.aclose()
    news = news_lines(Request(scope), console.service, gateway_id)
    await anext(news)
    await console.service.accounts.sign_out(browser.client.cookies[SESSION_COOKIE])
    console.service.streams.notify(gateway_id, Topic.STATUS)
    assert await anext(news, "end") == "end"


async def test_a_finding_stands_beside_its_step_and_its_event_and_then_in_the_history(
    console: Console, browser: Browser
):
    gateway_id, _ = await console.configured()
    problem = Problem(reason="r", what="it is full", remedy=["the error's own remedy"], at=NOW)
    steps = [StepReport(name=name) for name in StepName]
    steps[3] = StepReport(name=StepName.TEMPLATE, state=StepState.FAILED, since=NOW, last_error=problem, next_try=NOW)
    finding = Finding(
        scenario="s", cause="c", severity=Severity.ERROR, since=NOW, summary="The datastore is full.",
        evidence=[Evidence(source="step template", text="it is full")], remedy=["Free it."], step=StepName.TEMPLATE,
    )  # fmt: skip
    generation = (await console.get(gateway_id))["generation"]
    await console.service.reports.store_status(gateway_id, 1, 1, status(generation, steps=steps, findings=[finding]))
    opened = Event(at=NOW, reason=FINDING_OPENED, message="told", finding=finding, step=finding.step)
    await console.service.reports.store_reports(gateway_id, [Report(writer="w", number=1, event=opened)])
    text = unescape((await browser.get(f"/gateways/{gateway_id}")).text)
    template = text[text.index('id="step-template"') : text.index('id="step-addresses"')]
    shown = ["The datastore is full.", "s/c", "step template", "Free it.", "next try", "this may be over since"]
    assert [part for part in shown if part not in template] == []
    assert "the error's own remedy" not in template, "one remedy is enough"
    assert 'href="#step-template"' in text[: text.index('id="steps"')], "the head leads there"
    assert 'id="history-title"' not in text
    events = (await browser.get(f"/gateways/{gateway_id}/events")).text
    assert "Evidence and remedy" in events and "Free it." in events

    await console.service.reports.store_status(gateway_id, 1, 2, status(generation))
    closed = finding.model_copy(update={"closed": NOW + timedelta(minutes=3)})
    over = Event(at=NOW, reason=FINDING_CLOSED, message="told", finding=closed, step=finding.step)
    await console.service.reports.store_reports(gateway_id, [Report(writer="w", number=2, event=over)])
    text = unescape((await browser.get(f"/gateways/{gateway_id}")).text)
    history = text[text.index('id="history-title"') :]
    shown = ["The datastore is full.", "12:00:00 UTC", "12:03:00 UTC", "step template", "Free it."]
    assert [part for part in shown if part not in history] == []
    assert "Free it." not in text[: text.index('id="history"')], "no stale finding stays on the page"
