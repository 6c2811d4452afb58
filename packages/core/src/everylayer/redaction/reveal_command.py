"""The command `reveal`: what a token stands for, for those who hold the key."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ..audit.wire import TargetError
from ..settings import SettingsError
from .keys import KeyProvider, TokenError, from_environment, from_file
from .revealing import RevealError, reveal_with

_MOST = 1 << 20


@click.command()
@click.argument("token")
@click.option(
    "--keys",
    "key_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="A file of keys, `id=base64` on each line. By default they are in a variable.",
)
@click.option(
    "--keys-variable",
    default="REDACTION_KEYS",
    show_default=True,
    metavar="NAME",
    help="The variable that holds the keys, comma separated, where there is no --keys.",
)
@click.option(
    "--audit-log",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    envvar="REDACTION_AUDIT_LOG",
    show_envvar=True,
    metavar="FILE",
    help="Where each use is written down, refused ones too; a file of JSON lines.",
)
@click.pass_context
def reveal(
    ctx: click.Context, token: str, key_file: Path | None, keys_variable: str, audit_log: Path
) -> None:
    """Print what TOKEN stands for, as it is found in the telemetry.

    `-` reads it from standard input: arguments show in lists of processes. Exit code 1 means that
    the token cannot be read with these keys, 2 that there are no keys, no audit log, or no token.
    """
    if token == "-":
        with click.open_file("-", "rb") as stream:
            token = stream.read(_MOST).decode("utf-8", "replace").strip()
    if not token:
        raise TargetError("there is no token: give one, or `-` and one on standard input.")

    def keys() -> KeyProvider:
        return from_file(key_file) if key_file is not None else from_environment(keys_variable)

    try:
        value = reveal_with(token, keys, audit_log=audit_log)
    except RevealError as error:
        raise TargetError(f"{error}; give another --audit-log.") from None
    except SettingsError as error:
        message = str(error).removeprefix("everylayer ")
        raise TargetError(f"{message} {_remedy(key_file, keys_variable)}".strip()) from None
    except TokenError as error:
        click.echo(f"everylayer: {error}", err=True)
        ctx.exit(1)
    to_terminal = sys.stdout.isatty()
    click.echo(_visible(value) if to_terminal else value.encode("utf-8", "backslashreplace"))


def _remedy(key_file: Path | None, variable: str) -> str:
    if key_file is not None:
        return ""
    return f"Give --keys FILE, or set {variable} to id=base64."


def _visible(value: str) -> str:
    """Return `value` without what a terminal would obey: who sent it is not known."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in value
    )
