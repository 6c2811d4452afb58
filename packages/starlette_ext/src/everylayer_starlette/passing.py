"""Layers that can only hand an error on: no probe is needed within them.

Read from their source. What is in any doubt can hide an error.
"""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from typing import Any

# What can hold an error back, or keep what is inside from being read here.
_HOLDS: tuple[type[ast.AST], ...] = (
    ast.Try,
    ast.With,
    ast.AsyncWith,
    ast.Yield,
    ast.YieldFrom,
    ast.ClassDef,
)
if sys.version_info >= (3, 11):
    _HOLDS = (*_HOLDS, ast.TryStar)

_Method = ast.FunctionDef | ast.AsyncFunctionDef


def passes_on(cls: Any) -> bool:
    """Tell whether an exception of the inner app leaves a layer of class `cls` by all means.

    It does if the class has no base, never catches, and does nothing with the inner app, the first
    argument, but keep it and `await self.app(...)`.

    Args:
        cls: a middleware, as given to `add_middleware`.
    """
    try:
        return _passes_on(cls)
    except Exception:
        # There is no source, it is not that of a layer, or it must not be read here: a tool that
        # forbids blocking calls within the event loop raises an error of its own.
        return False


def _passes_on(cls: Any) -> bool:
    if not inspect.isclass(cls) or cls.__mro__[1:] != (object,):
        return False
    lines, first = inspect.getsourcelines(cls)
    tree = ast.parse(textwrap.dedent("".join(lines))).body[0]
    if (
        not isinstance(tree, ast.ClassDef)
        or tree.decorator_list
        or not _as_written(cls, range(first, first + len(lines)))
    ):
        return False
    methods = [node for node in tree.body if isinstance(node, _Method)]
    init = next((method for method in methods if method.name == "__init__"), None)
    held = _held(init) if init is not None else None
    return held is not None and all(_only_awaits(method, held) for method in methods)


def _as_written(cls: type, lines: range) -> bool:
    """Tell whether each function of `cls` still is the one that stands in its source."""
    file = inspect.getsourcefile(cls)
    for value in vars(cls).values():
        if callable(value) or isinstance(value, (classmethod, staticmethod, property)):
            code = value.__code__ if inspect.isfunction(value) else None
            if code is None or code.co_filename != file or code.co_firstlineno not in lines:
                return False
    return True


def _held(init: _Method) -> str | None:
    """Return the attribute that keeps the first argument, None if that goes elsewhere too."""
    app = init.args.args[1].arg
    uses = sum(isinstance(node, ast.Name) and node.id == app for node in ast.walk(init))
    for node in ast.walk(init):
        if isinstance(node, (ast.Assign, ast.AnnAssign)):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if (
                isinstance(target, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id == app
            ):
                return target.attr if uses == 1 else None
    return None


def _only_awaits(method: _Method, held: str) -> bool:
    own = method.args.args[0].arg
    inside = {child: node for node in ast.walk(method) for child in ast.iter_child_nodes(node)}
    for node in ast.walk(method):
        if isinstance(node, _HOLDS):
            return False
        if isinstance(node, ast.Name) and node.id == own:
            used = inside[node]
            if not isinstance(used, ast.Attribute):
                return False
            if used.attr == held and not isinstance(used.ctx, ast.Store):
                call = inside[used]
                if not isinstance(call, ast.Call) or call.func is not used:
                    return False
                if not isinstance(inside[call], ast.Await):
                    return False
    return True
