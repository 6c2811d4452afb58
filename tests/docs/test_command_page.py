"""docs/reference/commands.md says what the commands do."""

from __future__ import annotations

import re

import click
import pytest

import command_page
from everylayer.cli import cli

NAMES = cli.list_commands(click.Context(cli))


def test_the_page_is_what_the_commands_say() -> None:
    written = command_page.PAGE.read_text(encoding="utf-8")
    assert written == command_page.page(), "run: python docs/_tools/command_page.py"


@pytest.mark.parametrize("name", NAMES)
def test_a_command_says_what_each_option_does(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    options = [option for option in command.params if isinstance(option, click.Option)]
    section = command_page.page().partition(f"## everylayer {name}\n")[2].partition("\n## ")[0]
    told = re.findall(r"^\| (`-.+) \| (.+) \|$", section, re.MULTILINE)
    assert len(told) == len(options)
    assert all(len(text) > 10 for _, text in told)
