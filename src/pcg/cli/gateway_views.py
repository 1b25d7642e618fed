"""The commands of `pcg gateway` that show: the same as the pages."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from pcg.cli.client import open_console
from pcg.cli.output import output_option, plain, show_json, show_table


@click.command("list")
@output_option
def list_gateways(output: str) -> None:
    """Every gateway with its state."""

    async def run() -> list[dict[str, Any]]:
        async with open_console() as console:
            return await console.items("/gateways")

    gateways = asyncio.run(run())
    if output == "json":
        show_json(gateways)
    else:
        show_table(gateways, ["name", "state", "conditions", "cloud", "address", "id"])


@click.command("show")
@click.argument("name")
@output_option
def show(name: str, output: str) -> None:
    """One gateway: state, conditions, address, fingerprint."""
    gateway = asyncio.run(_gateway(name))
    if output == "json":
        show_json(gateway)
    else:
        for field, value in gateway.items():
            click.echo(f"{field.replace('_', ' ') + ':':<22}{plain(value)}")


def _part(name: str, part: str, **parameters: Any) -> list[dict[str, Any]]:
    async def run() -> list[dict[str, Any]]:
        async with open_console() as console:
            gateway = await console.gateway(name)
            return await console.items(f"/gateways/{gateway['id']}/{part}", **parameters)

    return asyncio.run(run())


@click.command("steps")
@click.argument("name")
@output_option
def steps(name: str, output: str) -> None:
    """Every step with its state, current task, error, and what is found beside it."""
    found = _part(name, "steps")
    if output == "json":
        show_json(found)
        return
    show_table(found, ["name", "state", "since", "seconds", "task", "next_try"])
    known = _part(name, "findings")
    for step in found:
        beside = [finding for finding in known if finding.get("step") == step["name"]]
        # A finding has the error's own words among its evidence.
        if step.get("last_error") and step["state"] != "done" and not beside:
            _show_problem(step["name"], step["last_error"])
        for finding in beside:
            click.echo(f"\n{step['name']}:")
            _show_finding(finding)


@click.command("events")
@click.argument("name")
@click.option("--follow", is_flag=True, help="Stay and show new ones as they come.")
@output_option
def events(name: str, follow: bool, output: str) -> None:
    """Every event, in order."""

    async def run() -> None:
        async with open_console() as console:
            gateway = await console.gateway(name)
            found = await console.items(f"/gateways/{gateway['id']}/events", limit=500)
            if output == "json" and not follow:
                show_json(found)
                return
            for event in found:
                _show_event(event, output)
            if follow:
                after = found[-1]["position"] if found else 0
                async for event in console.follow_events(gateway["id"], after):
                    _show_event(event, output)

    asyncio.run(run())


@click.command("findings")
@click.argument("name")
@click.option("--all", "closed_too", is_flag=True, help="Also those that are over, the latest first.")
@output_option
def findings(name: str, closed_too: bool, output: str) -> None:
    """Known failures that are there now, with evidence and remedy."""
    found = _part(name, "findings")
    if closed_too:
        found += _part(name, "findings", closed=True)
    if output == "json":
        show_json(found)
        return
    if not found:
        click.echo("no finding")
    for finding in found:
        _show_finding(finding)


@click.command("machines")
@click.argument("name")
@output_option
def machines(name: str, output: str) -> None:
    """The gateway cluster's machines."""
    found = _part(name, "machines")
    if output == "json":
        show_json(found)
    else:
        show_table(found, ["name", "role", "state", "address"])


@click.command("watch")
@click.argument("name")
@click.option("--until", "states", multiple=True, default=["running"], show_default=True, help="End in this state.")
@click.option("--timeout", type=float, default=3600.0, show_default=True, help="Seconds.")
def watch(name: str, states: tuple[str, ...], timeout: float) -> None:
    """Show events as they come until the gateway is in the state; 3 when it is not within the time."""

    async def run() -> str:
        async with open_console() as console:
            gateway = await console.gateway(name)
            if gateway["state"] in states:
                return str(gateway["state"])
            async with asyncio.timeout(timeout):
                # The event that tells of a state comes right after it, so each event is a reason to look again.
                async for event in console.follow_events(gateway["id"]):
                    _show_event(event, "text")
                    gateway = await console.call("GET", f"/gateways/{gateway['id']}")
                    if gateway["state"] in states:
                        break
            return str(gateway["state"])

    try:
        click.echo(asyncio.run(run()))
    except TimeoutError:
        click.echo(f"not in state {' or '.join(states)} within {timeout:g} seconds", err=True)
        raise click.exceptions.Exit(3) from None


async def _gateway(name: str) -> dict[str, Any]:
    async with open_console() as console:
        return await console.gateway(name)


def _show_event(event: dict[str, Any], output: str) -> None:
    if output == "json":
        show_json(event)
        return
    place = f" [{event['machine']}]" if event.get("machine") else ""
    click.echo(
        f"{event['at']}  {event['severity']:<7}  {plain(event['reason'])}{plain(place)}: {plain(event['message'])}"
    )
    if event.get("finding"):
        _show_evidence_and_remedy(event["finding"])


def _show_finding(finding: dict[str, Any]) -> None:
    known = plain(f"{finding['severity']}: {finding['scenario']}/{finding['cause']}")
    click.echo(f"{known}: {plain(finding['summary'])}")
    when = f"since {finding['since']}"
    if finding.get("closed"):
        when += f", over since {finding['closed']}"
    elif finding.get("last_told"):
        when += f", as the gateway, which is away, told it last ({finding['last_told']})"
    click.echo(f"  {when}")
    _show_evidence_and_remedy(finding)


def _show_evidence_and_remedy(finding: dict[str, Any]) -> None:
    for item in finding["evidence"]:
        click.echo(f"  evidence: {plain(item['source'])}: {plain(item['text'])}")
    for item in finding["remedy"]:
        click.echo(f"  remedy:   {plain(item)}")


def _show_problem(step: str, error: dict[str, Any]) -> None:
    click.echo(f"\n{step}: {plain(error['what'])}")
    for title in ("evidence", "remedy"):
        for item in error.get(title) or []:
            click.echo(f"  {title + ':':<10}{plain(item)}")
