"""The command `everylayer chain`."""

from __future__ import annotations

import json

import click

from .chain_view import print_chain
from .model import Request, Trial, to_json
from .options import asked_path, is_verbose, rpc_options, target_options, verbose_option
from .process import run_arm
from .spelling import parse
from .wire import Chained, Job


@click.command()
@target_options
@click.option(
    "--format",
    "style",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="How to print the chain.",
)
@click.option("--path", help="Send one GET of this path, and mark the layers that it passes.")
@rpc_options
@verbose_option
@click.pass_context
def chain(
    ctx: click.Context,
    target: str,
    factory: bool,
    style: str,
    path: str | None,
    rpc: str | None,
    messages: tuple[str, ...],
) -> None:
    """Print the real chain of TARGET, outermost first.

    TARGET is what you start your server with: module:app, module:create_app(), a module,
    file.py:app, a Django settings module, the folder of a manage.py, or a gRPC server or what
    makes one, such as module:create_server(). It is imported in a process of its own, from which
    no telemetry is sent; without --path or --rpc it gets no request.
    """
    parse(target, factory)  # What can be refused at once needs no process.
    if path is not None or rpc is not None:
        path = asked_path(path or "/", rpc)
    found: list[Chained] = []

    def take(line: Chained | Trial) -> None:
        if isinstance(line, Chained):
            found.append(line)

    job = Job(
        kind="chain" if path is None else "path",
        target=target,
        arm="everylayer",
        factory=factory,
        request=Request(path=path or "/", messages=messages),
    )
    run_arm(job, take, verbose=is_verbose(ctx))
    if style == "json":
        click.echo(json.dumps({"target": target, "path": path, **to_json(found[0])}, indent=2))
    else:
        print_chain(target, path, found[0])
