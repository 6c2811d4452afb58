"""Runs a page: its blocks in order, in one empty folder, as its reader would."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from snippets import checks, shown
from snippets.pages import Block, blocks, commands, name_of
from snippets.terminals import Terminals

GIVEN = Path(__file__).resolve().parents[1] / "given"
CONSOLE = ("console", "shell", "sh", "bash")
FIRST = "Terminal 1"
# Nothing that these tests start may find its way to an exporter, or to somebody's settings.
FORGOTTEN = ("OTEL_", "EVERYLAYER_", "DJANGO_", "FLASK_", "COV_", "COVERAGE_", "PYTEST_")


def environment() -> dict[str, str]:
    """Return the environment that a page starts in."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(FORGOTTEN)}
    scripts = str(Path(sys.executable).parent)
    # gRPC's core tells of connections that end, in the middle of what the program prints.
    quiet = {"GRPC_VERBOSITY": "NONE"}
    return env | quiet | {"PATH": f"{scripts}{os.pathsep}{env['PATH']}"}


class Run:
    """One page on its way through."""

    __slots__ = ("_given", "_script", "_terminals", "_tests", "_title")

    def __init__(self, page: Path, folder: Path) -> None:
        text = page.read_text(encoding="utf-8")
        self._title = name_of(page)
        self._terminals = Terminals(folder, text, environment())
        self._given = GIVEN / self._title.replace("/", ".").removesuffix(".md")
        self._script: list[Block] = []
        self._tests: list[Block] = []
        if self._given.is_dir():
            shutil.copytree(self._given, folder / "page", dirs_exist_ok=True)

    def whole(self, found: list[Block]) -> None:
        """Run all blocks of the page."""
        try:
            for block in found:
                try:
                    self._one(block)
                except Exception as error:
                    raise AssertionError(f"{self._title}:{block.line}: {error}") from error
            self._python()
        finally:
            self._terminals.stop()

    def _one(self, block: Block) -> None:
        checks.variables(block.body)
        if (parse := checks.SYNTAX.get(block.kind)) is not None and not block.reason:
            parse(block.body)
        if block.reason:
            return
        if block.kind in CONSOLE:
            self._console(block)
        elif block.title == FIRST:
            self._terminals.expect(block.body)
        elif block.title:
            self._terminals.write(block.title, block.body)
        elif block.kind == "python":
            (self._tests if "\ndef test_" in f"\n{block.body}" else self._script).append(block)

    def _console(self, block: Block) -> None:
        typed = commands(block.body)
        served = typed.pop()[0] if block.title == FIRST else ""
        for command, output in typed:
            if checks.only_checked(command, self._terminals.has):
                continue
            printed = self._terminals.run(command)
            if output:
                assert shown.agrees(output, printed), f"$ {command}\nprinted:\n{printed}"
        if served:
            self._terminals.serve(served)

    def _python(self) -> None:
        """Run the blocks without a title in one namespace, in lines as the page numbers them."""
        given = (self._given / "_given.py").is_file()
        if self._script:
            self._terminals.write("_page.py", source(self._script, given))
            printed = self._terminals.run(
                "python -W error::DeprecationWarning:__main__ _page.py 2>&1"
            )
            assert "Traceback" not in printed, printed
        for number, block in enumerate(self._tests):
            name = f"test_page_{number}.py"
            self._terminals.write(name, source([block], given))
            self._terminals.run(f"python -m pytest -q -p no:cacheprovider {name}")


def source(found: list[Block], given: bool) -> str:
    """Return the blocks as one module, after what the page takes as given."""
    text = "from _given import *" if given else ""
    for block in found:
        text += "\n" * (block.line - 1 - text.count("\n")) + block.body
    return text


def run(page: Path, folder: Path) -> None:
    """Run a page's blocks in `folder`; AssertionError where it does not do what it shows."""
    Run(page, folder).whole(blocks(page))
