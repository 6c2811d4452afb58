"""Write docs/reference/commands.md from the commands in the code.

    python docs/_tools/command_page.py              # after a change of a command

With the packages and their extras installed; a test holds the file to what this would write.
"""

from __future__ import annotations

import inspect
from pathlib import Path

import click

from everylayer.cli import cli

PAGE = Path(__file__).resolve().parents[1] / "reference" / "commands.md"

INTRODUCTION = """# Commands

`everylayer COMMAND`, or `python -m everylayer COMMAND`, with `pip install 'everylayer[audit]'`.
`everylayer COMMAND --help` shows the same.
"""
NOTE = "<!-- Written by docs/_tools/command_page.py from the commands in the code. -->\n"


def page() -> str:
    """Return the whole of the page."""
    context = click.Context(cli, info_name="everylayer")
    parts = [INTRODUCTION]
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        parts.append(_section(click.Context(command, info_name=name, parent=context)))
    return "\n".join([*parts, NOTE])


def _section(context: click.Context) -> str:
    command = context.command
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    text = inspect.cleandoc(command.help or "").replace("\b\n", "")
    rows = [
        f"| {_spelled(option)} | {_told(option)} |"
        for option in command.params
        if isinstance(option, click.Option) and not option.hidden
    ]
    table = "\n".join(["| option | |", "|---|---|", *rows]) + "\n" if rows else ""
    return f"## everylayer {context.info_name}\n\n```text\n{usage}\n```\n\n{text}\n\n{table}"


def _spelled(option: click.Option) -> str:
    names = ", ".join(f"`{name}`" for name in [*option.opts, *option.secondary_opts])
    if option.is_flag or option.count:
        return names
    if isinstance(option.type, click.Choice):
        return f"{names} " + " \\| ".join(f"`{choice}`" for choice in option.type.choices)
    return f"{names} {option.metavar or option.type.name.upper().removesuffix(' RANGE')}"


def _told(option: click.Option) -> str:
    text = " ".join((option.help or "").split()).replace("|", "\\|")
    shown = option.show_default is True and option.default is not None
    return f"{text} By default `{option.default}`." if shown else text


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
