"""What the package proves: a framework takes fewer than 200 lines."""

from __future__ import annotations

import ast
from pathlib import Path

import everylayer_aiohttp


def lines_of_code(source: str) -> int:
    """Count what is neither blank, nor a comment, nor a docstring."""
    docs: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        named = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        if isinstance(node, named) and ast.get_docstring(node):
            text = node.body[0]
            docs |= set(range(text.lineno, (text.end_lineno or text.lineno) + 1))
    return sum(
        bool(line.strip()) and not line.lstrip().startswith("#") and number not in docs
        for number, line in enumerate(source.splitlines(), 1)
    )


def test_the_whole_package_takes_fewer_than_200_lines() -> None:
    folder = Path(everylayer_aiohttp.__file__).parent
    counts = {path.name: lines_of_code(path.read_text("utf-8")) for path in folder.rglob("*.py")}
    assert len(counts) > 4
    assert sum(counts.values()) < 200, counts


def test_docs_and_comments_do_not_count() -> None:
    assert lines_of_code('"""Doc\n\ndoc."""\n\n# why\nx = 1\n\n\ndef f():\n    """Doc."""\n') == 2
