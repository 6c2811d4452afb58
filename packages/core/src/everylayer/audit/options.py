"""Options that the commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from .wire import TargetError

F = TypeVar("F", bound=Callable[..., Any])

_VERBOSE = "everylayer.verbose"


def verbose_option(command: F) -> F:
    """Let `-v` stand before and after a command's name; `is_verbose` tells of it."""
    return click.option(
        "-v",
        "--verbose",
        is_flag=True,
        expose_value=False,
        callback=_remember,
        help="Show tracebacks, and what the app prints.",
    )(command)


def target_options(command: F) -> F:
    """Add TARGET and `--factory`, as `target` and `factory`."""
    command = click.option("--factory", is_flag=True, help="TARGET names a function to call.")(
        command
    )
    return click.argument("target")(command)


def rpc_options(command: F) -> F:
    """Add `--rpc` and `--message`, as `rpc` and `messages`."""
    command = click.option(
        "--message",
        "messages",
        multiple=True,
        metavar="TEXT",
        help="Send this to a gRPC method: JSON, hex:..., or @FILE; may be repeated.",
    )(command)
    return click.option("--rpc", metavar="SERVICE/METHOD", help="The gRPC method that is called.")(
        command
    )


def asked_path(path: str, rpc: str | None) -> str:
    """Return what is asked for, of which one may be the other.

    Raises:
        TargetError: it is no path.
    """
    if rpc is not None:
        path = f"/{rpc.lstrip('/')}"
    if not path.startswith("/") or any(char.isspace() for char in path):
        raise TargetError(f"--path {path!r} is no path: it begins with / and has no spaces")
    return path


def is_verbose(ctx: click.Context) -> bool:
    """Tell whether `-v` was given, at either place."""
    return bool(ctx.meta.get(_VERBOSE))


def _remember(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        ctx.meta[_VERBOSE] = True
