"""The entry point: the table of commands, each module imported only when its command runs (start-up stays cheap).

A new command is its file and one line in the table.
"""

from __future__ import annotations

import sys
from importlib import import_module

import click

COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("pcg.cli.demo:demo", "Everything on this machine: console, data center, gateway, until it runs."),
    "console": ("pcg.cli.console:console", "The management plane: API, pages, store."),
    "install": ("pcg.cli.install:install", "The installer, then the gateway, until stopped."),
    "monitor": ("pcg.cli.monitor:monitor", "The installer's own page: steps, logs, diagnostic tasks."),
    "gateway": ("pcg.cli.gateway:gateway", "Create, configure, watch, reset and delete gateways."),
    "preflight": ("pcg.cli.preflight:preflight", "Every check that can be made before machines are."),
    "ports": ("pcg.cli.ports:ports", "Every flow that the firewall must let through."),
    "vsphere": ("pcg.cli.vsphere:vsphere", "What a VMware administrator prepares: the account's roles."),
    "doctor": ("pcg.cli.doctor:doctor", "Which known failure this machine has now, or logs show."),
    "drill": ("pcg.cli.drill:drill", "Cause known failures; see each named and gone by itself."),
    "bundle": ("pcg.cli.bundle:bundle", "The logs of this machine as one redacted archive; redact one that exists."),
    "login": ("pcg.cli.login:login", "Keep a console's address, CA pin and an API key for this user."),
    "user": ("pcg.cli.user:user", "People who may sign in."),
    "key": ("pcg.cli.key:key", "API keys for scripts."),
    "simulate": ("pcg.cli.simulate:simulate", "The simulated data center as a process of its own."),
    "jet": ("pcg.cli.jet:jet", "The agent that runs in the gateway cluster."),
}
"""name: (where, one line of help)"""


class LazyGroup(click.Group):
    """Lists from the table; imports a command's module when it is called or asked for help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup)
@click.option("--debug", is_flag=True, envvar="PCG_DEBUG", help="Add tracebacks to errors.")
@click.version_option(package_name="pcg", message="%(version)s")
@click.pass_context
def cli(context: click.Context, debug: bool) -> None:
    """A private cloud gateway: manage Kubernetes in data centers that nothing on the internet may reach."""
    context.obj = {"debug": debug}


def main() -> None:
    """Run a command; a PcgError ends as one readable block with exit code 1, or the code that the command sets."""
    try:
        # A command that ends with a code of its own does not raise here: click gives the code back.
        code = cli(standalone_mode=False)
    except click.Abort:
        click.echo("stopped", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:  # noqa: BLE001 - the last stop: whatever it is, no traceback reaches a person
        from pcg.cli.failure import show_failure

        sys.exit(show_failure(error, debug="--debug" in sys.argv[1:]))
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
