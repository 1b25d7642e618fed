"""`pcg console`: the management plane as a process."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import click

from pcg.cli.console_ca import rotate_ca

passphrase_option = click.option(
    "--passphrase-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Text file whose content is the passphrase.",
)


@click.group()
def console() -> None:
    """The management plane: API, pages, store."""


console.add_command(rotate_ca)


@console.command("serve")
@click.option("--listen", default="127.0.0.1:8443", show_default=True, help="HOST:PORT; port 0 takes a free one.")
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder of its data.")
@click.option("--public-url", "public_urls", multiple=True, help="How others reach it; may be given again.")
@click.option("--database", default=None, help="SQLAlchemy URL of PostgreSQL; default: SQLite in the data folder.")
@click.option("--tls-cert", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--tls-key", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--public-ca",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="PEM of the CA of the ingress's certificate, which installers then pin.",
)
@click.option("--artifact-mirror", default=None, help="https:// URL that holds the files of DATA/artifacts.")
@click.option(
    "--keep-events",
    type=click.IntRange(0, 36500),
    default=365,
    show_default=True,
    help="Days after which gateways' events are removed; 0 keeps them for ever.",
)
@click.option(
    "--keep-audit",
    type=click.IntRange(0, 36500),
    default=0,
    show_default=True,
    help="Days after which entries of the audit are removed; 0 keeps them for ever.",
)
@click.option(
    "--code-hours",
    type=click.FloatRange(0, 720, min_open=True),
    default=24,
    show_default=True,
    help="Hours for which a pairing code is good.",
)
@click.option(
    "--support-address",
    envvar="PCG_SUPPORT_ADDRESS",
    default=None,
    help="Where people shall send log bundles, an e-mail address or a URL; shown beside each bundle.",
)
@click.option("--trusted-proxy", "trusted_proxies", multiple=True, help="CIDR whose X-Forwarded-* headers count.")
def serve(
    listen: str,
    data: Path,
    public_urls: tuple[str, ...],
    database: str | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    public_ca: Path | None,
    trusted_proxies: tuple[str, ...],
    artifact_mirror: str | None,
    keep_events: int,
    keep_audit: int,
    code_hours: float,
    support_address: str | None,
) -> None:
    """Serve API and pages over TLS until stopped. First administrator: PCG_ADMIN_EMAIL and PCG_ADMIN_PASSWORD."""
    from pcg.console.app import serve as serve_console
    from pcg.console.settings import Settings

    settings = Settings.from_options(
        listen=listen,
        data=data,
        public_urls=public_urls,
        database=database,
        tls_cert=tls_cert,
        tls_key=tls_key,
        public_ca=public_ca,
        trusted_proxies=trusted_proxies,
        artifact_mirror=artifact_mirror,
        keep_events_days=keep_events,
        keep_audit_days=keep_audit,
        code_hours=code_hours,
        support_address=support_address,
    )
    asyncio.run(serve_console(settings))


@console.command("reset-admin")
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder of its data.")
@click.option("--database", default=None, help="As `serve` has it.")
@click.option("--email", default=None, help="Give this administrator a new password instead of making a link.")
@click.option("--public-url", default=None, help="How you reach the console, for a link that can be clicked.")
def reset_admin(data: Path, database: str | None, email: str | None, public_url: str | None) -> None:
    """Let a locked-out operator in again; the console may run or not.

    Makes a one-time set-up link for an administrator, good for an hour. With --email it asks for a new password of that
    administrator (PCG_ADMIN_PASSWORD for scripts); that user's sessions and API keys end.
    """
    from pcg.clock import SystemClock
    from pcg.console import recovery
    from pcg.console.settings import Settings

    urls = (public_url,) if public_url else ()
    settings, clock = (
        Settings.from_options(listen="127.0.0.1:0", data=data, database=database, public_urls=urls),
        SystemClock(),
    )

    async def link() -> str:
        async with recovery.store_of(settings) as store:
            return await recovery.administrator_link(store, clock)

    async def check(wanted: str) -> None:
        async with recovery.store_of(settings) as store:
            await recovery.check_administrator(store, wanted)

    async def reset(wanted: str, password: str) -> None:
        async with recovery.store_of(settings) as store:
            await recovery.reset_administrator(store, clock, wanted, password)

    if email is None:
        path = f"/setup?token={asyncio.run(link())}"
        click.echo(f"set-up link: {settings.public_urls[0] if settings.public_urls else ''}{path}")
        if not settings.public_urls:
            click.echo("Open it at the console's own address, for example https://console.example.com:8443/setup?…")
        click.echo("It is good once, for an hour.")
        return
    asyncio.run(check(email))
    # Not inside the event loop: a person takes their time.
    password = os.environ.get("PCG_ADMIN_PASSWORD") or click.prompt(
        "New password", hide_input=True, confirmation_prompt=True
    )
    asyncio.run(reset(email, password))
    click.echo(f"{email} has a new password. That user's sessions and API keys have ended.")


@console.command("backup")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder of its data.")
@click.option("--database", default=None, help="As `serve` has it.")
@passphrase_option
def backup(file: Path, data: Path, database: str | None, passphrase_file: Path | None) -> None:
    """Write database, CA and identity to FILE, encrypted; the console may go on running.

    The passphrase comes from --passphrase-file, PCG_BACKUP_PASSPHRASE or a prompt. Without it the backup is worthless.
    """
    from pcg.clock import SystemClock
    from pcg.console.backup import backup as make_backup
    from pcg.console.backup import check_source

    check_source(file, data, database)
    size = make_backup(file, data, _passphrase(passphrase_file, confirm=True), SystemClock(), database=database)
    click.echo(f"{file}: {size} bytes, encrypted")


@console.command("restore")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder to restore into.")
@click.option("--replace", is_flag=True, help="Take the place of what is there; that is kept beside it.")
@passphrase_option
def restore(file: Path, data: Path, replace: bool, passphrase_file: Path | None) -> None:
    """Put a console back from FILE; nothing is replaced before all of it was verified.

    The passphrase comes from --passphrase-file, PCG_BACKUP_PASSPHRASE or a prompt.
    """
    from pcg.clock import SystemClock
    from pcg.console.restore import restore as restore_from

    passphrase = _passphrase(passphrase_file, confirm=False)
    restored = restore_from(file, data, passphrase, SystemClock(), replace=replace)
    click.echo(f"{data} is the console of {restored.made_at}.")
    if restored.kept is not None:
        click.echo(f"What was there is kept in {restored.kept}; it holds secrets, remove it when you are content.")
    click.echo("Gateways that have gone on since say so on their pages, and wait until a person agrees.")
    click.echo("API keys, passwords and users are those of that time: revoke again what was revoked since.")


def _passphrase(file: Path | None, *, confirm: bool) -> str:
    """Never from the command line: other users of the machine see that."""
    if file is not None:
        try:
            return file.read_text().removesuffix("\n").removesuffix("\r")
        except (OSError, UnicodeDecodeError) as error:
            from pcg.errors import InvalidInput

            raise InvalidInput(
                f"The passphrase cannot be read from {file}: {error}.",
                reason="passphrase-file",
                field_name="passphrase-file",
                remedy=["Give a text file with the passphrase in its first line and nothing else."],
            ) from error
    given = os.environ.get("PCG_BACKUP_PASSPHRASE")
    return given or str(click.prompt("Passphrase", hide_input=True, confirmation_prompt=confirm))
