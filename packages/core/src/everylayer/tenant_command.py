"""The command `tenant`: whose span an id belongs to, as `TenantIdGenerator` has made it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import click

from .boundaries import shards as layout
from .settings import SettingsError, current

_SPAN_ID = re.compile(r"(?!0{16}$)[0-9a-f]{16}", re.IGNORECASE)
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-([0-9a-f]{16})-[0-9a-f]{2}.*", re.IGNORECASE)


class Refusal(click.ClickException):
    """What cannot be read, in one sentence."""

    exit_code = 2


@click.command()
@click.argument("span_id")
@click.option(
    "--tenants",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File of known tenants in JSON: a list, or an object of tenants and their shards.  "
    "[default: the setting tenant_map]",
)
@click.option(
    "--shards",
    type=int,
    help="How many shards the ids are divided into.  [default: the setting tenant_shards]",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How to print the result.",
)
@click.pass_context
def tenant(
    ctx: click.Context, span_id: str, tenants: Path | None, shards: int | None, form: str
) -> None:
    """Tell the shard of SPAN_ID, and the tenants that it is known to belong to.

    SPAN_ID is 16 hexadecimal digits, or a whole traceparent. Exit code 1 means that tenants are
    known, and none of them has that shard; 2 that something cannot be read.
    """
    value = _span_id(span_id)
    try:
        rules = current()
    except SettingsError as error:
        raise Refusal(str(error)) from None
    shards = rules.tenant_shards if shards is None else shards
    if not layout.is_number_of_shards(shards):
        raise Refusal(f"There cannot be {shards} shards: a power of two from 2 to 65536.")
    path = str(tenants) if tenants is not None else rules.tenant_map
    directory = _directory(path, shards) if path else layout.NOBODY
    shard = layout.shard_of(value, shards)
    names = directory.tenants_in(shard, shards)
    if form == "json":
        click.echo(json.dumps({"span_id": f"{value:016x}", "shard": shard, "tenants": names}))
    else:
        click.echo(_told(shard, shards, names, known=bool(path)))
    ctx.exit(1 if path and shard and not names else 0)


def _told(shard: int, shards: int, names: list[str], *, known: bool) -> str:
    if shard == 0:
        return f"shard 0 of {shards}: no tenant"
    line = f"shard {shard} of {shards}"
    if names:
        return f"{line}: {' or '.join(names)}"
    return f"{line}: none of the tenants that are known" if known else line


def _span_id(text: str) -> int:
    text = text.strip()
    found = _TRACEPARENT.fullmatch(text)
    digits = found[1] if found else text.removeprefix("0x")
    if _SPAN_ID.fullmatch(digits) is None:
        raise Refusal(f"{text[:80]!r} is no span id: 16 hexadecimal digits, not all of them 0.")
    return int(digits, 16)


def _directory(path: str, shards: int) -> layout.Directory:
    try:
        return layout.Directory.read(path).fit(shards)
    except (OSError, ValueError) as error:
        raise Refusal(f"The tenants in {path} cannot be read: {error}") from None
