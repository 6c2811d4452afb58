"""Options that the commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

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


def is_verbose(ctx: click.Context) -> bool:
    """Tell whether `-v` was given, at either place."""
    return bool(ctx.meta.get(_VERBOSE))


def _remember(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        ctx.meta[_VERBOSE] = True
