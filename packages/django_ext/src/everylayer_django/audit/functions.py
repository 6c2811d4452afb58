"""What runs when an entry, hook, view or receiver is called, its name in a span, its place."""

from __future__ import annotations

import functools
import inspect
from types import CodeType, FunctionType
from typing import Any

from everylayer.audit.places import class_place
from everylayer.text import one_line

from ..locate import is_plumbing

# No chain of decorators is that long: one that is goes in a circle.
_MOST = 50
_COROUTINES = inspect.CO_COROUTINE | inspect.CO_ITERABLE_COROUTINE


def functions_of(target: Any) -> list[FunctionType]:
    """Return the functions of Python's that a call of `target` runs, outermost first.

    That is the way through partials, methods, objects with `__call__` and `functools.wraps`.
    """
    found: list[FunctionType] = []
    while target is not None and len(found) < _MOST:
        while isinstance(target, functools.partial):
            target = target.func
        function = getattr(target, "__func__", target)
        if not isinstance(function, FunctionType):
            function = getattr(type(target), "__call__", None)  # noqa: B004
            if not isinstance(function, FunctionType):
                break
        found.append(function)
        target = vars(function).get("__wrapped__")
    return found


def of_the_app(target: Any) -> list[FunctionType]:
    """Return those of `functions_of` that everylayer takes for a layer's own."""
    return [each for each in functions_of(target) if not is_plumbing(each.__module__ or "")]


def called_name(target: Any) -> str:
    """Return what a span calls a handler, hook or receiver: its outermost function."""
    function = of_the_app(target)[0]
    code = function.__code__
    while isinstance(target, functools.partial):
        target = target.func
    owner = type(getattr(target, "__self__", target))
    if takes_self(code) and owner is not FunctionType:
        return one_line(f"{owner.__qualname__}.{code.co_name}", 200)
    # `co_qualname` is 3.11's.
    parts = str(getattr(code, "co_qualname", code.co_name)).split(".<locals>.")
    return one_line(".".join(parts[-2:]), 200)


def takes_self(code: CodeType) -> bool:
    """Tell whether `code` is that of a method."""
    return code.co_argcount > 0 and code.co_varnames[0] == "self"


def is_async(code: CodeType) -> bool:
    """Tell whether `code` is that of a coroutine function."""
    return bool(code.co_flags & _COROUTINES)


def where(target: Any) -> str:
    """Return `file:line` of a class or of the innermost function, "" for none."""
    if inspect.isclass(target):
        place = class_place(target)
        return f"{place[0]}:{place[1]}" if place else ""
    functions = functions_of(target)
    if not functions:
        return ""
    code = functions[-1].__code__
    return f"{code.co_filename}:{code.co_firstlineno}"
