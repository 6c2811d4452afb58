"""The click group: its own options, and the commands, each imported when it is asked for."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

import click

from .audit.options import is_verbose, verbose_option
from .audit.wire import TargetError
from .version import __version__

# Command -> where it is.
_COMMANDS = {
    "chain": "everylayer.audit.chain_command:chain",
    "audit": "everylayer.audit.command:audit",
    "demo": "everylayer.audit.demo_command:demo",
    "show": "everylayer.audit.show:show",
    "integrity": "everylayer.chaos.command:integrity",
    "reveal": "everylayer.redaction.reveal_command:reveal",
    "redact": "everylayer.redaction.dry_run_command:redact",
    "tenant": "everylayer.tenant_command:tenant",
}
_INTERRUPTED = 130


class Commands(click.Group):
    """Imports a command when it is asked for, and tells of a target's failure in one sentence."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name in _COMMANDS if self.get_command(ctx, name) is not None]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name].partition(":")
        try:
            command = getattr(importlib.import_module(module), name)
        except ModuleNotFoundError as error:
            if error.name != module:
                raise
            return None
        return command if isinstance(command, click.Command) else None

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except TargetError as error:
            if is_verbose(ctx) and error.details:
                click.echo(error.details.rstrip(), err=True)
            click.echo(f"everylayer: {error}", err=True)
            ctx.exit(2)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="everylayer %(version)s")
@verbose_option
def cli() -> None:
    """See the chain of an app, and what becomes of an error in each of its layers."""


def run(args: list[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    try:
        code = cli.main(args, prog_name="everylayer", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        click.echo("stopped", err=True)
        return _INTERRUPTED
    except BrokenPipeError:
        # Whoever read us has seen enough; the interpreter would complain at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code if isinstance(code, int) else 0
