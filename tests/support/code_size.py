"""How large a package is."""

from __future__ import annotations

import ast


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
