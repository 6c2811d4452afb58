"""What runs when a hook, view or layer is called: its functions, its name in a span, its place."""

from __future__ import annotations

import functools
import inspect
from types import FunctionType
from typing import Any

from everylayer.audit.places import class_place
from everylayer.layers import code_name

from ..naming import registered_name, runs
from ..rules import PLUMBING

# No chain of decorators is that long: one that is goes in a circle.
_MOST = 50


def functions_of(target: Any) -> list[FunctionType]:
    """Return the functions that a call of `target` runs, outermost first.

    That is the way through partials, bound methods, objects with `__call__` and whatever
    `functools.wraps` has been used on.
    """
    found: list[FunctionType] = []
    for _ in range(_MOST):
        while isinstance(target, functools.partial):
            target = target.func
        function = getattr(target, "__func__", target)
        if not isinstance(function, FunctionType):
            inner = inspect.getattr_static(target, "__wrapped__", None)
            if inner is None:
                inner = getattr(type(target), "__call__", None)  # noqa: B004
            if not isinstance(inner, FunctionType):
                break
            function = inner
        found.append(function)
        target = vars(function).get("__wrapped__")
        if target is None:
            break
    return found


def _owner_of(target: Any) -> type | None:
    """Return the class whose method `target` is, or whose `__call__` it runs."""
    while isinstance(target, functools.partial):
        target = target.func
    if inspect.isfunction(target):
        return None
    return type(target.__self__) if inspect.ismethod(target) else type(target)


def is_plumbing(function: FunctionType) -> bool:
    """Tell whether frames of `function` are none of the app's."""
    return package_of(function) in PLUMBING


def package_of(function: FunctionType) -> str:
    """Return the top-level package that `function` is from."""
    return str(function.__globals__.get("__name__")).partition(".")[0]


def is_instrumentation(target: Any) -> bool:
    """Tell whether `target` is OpenTelemetry's or everylayer's own."""
    functions = functions_of(target)
    first = functions[-1].__module__ if functions else type(target).__module__
    return str(first).partition(".")[0] in ("opentelemetry", "everylayer", "everylayer_flask")


def of_the_app(functions: list[FunctionType]) -> list[FunctionType]:
    """Return those of `functions` that are not a framework's."""
    return [function for function in functions if not is_plumbing(function)]


def span_name(
    target: Any,
    functions: list[FunctionType],
    owner: type | None = None,
    *,
    registered: bool = True,
) -> str:
    """Return the layer's name in a span for what is raised in `target`.

    Args:
        target: a hook or view, as the app keeps it.
        functions: what it runs.
        owner: the class whose methods they are, if `target` does not tell.
        registered: the name is looked up where the app keeps it, as everylayer does for all but
            signals and sessions.
    """
    # The name is made from the outermost frame that is the app's.
    code = of_the_app(functions)[0].__code__
    if registered and runs(target, code):
        return registered_name(target)
    is_method = code.co_varnames[:1] == ("self",)
    return code_name(code, (owner or _owner_of(target)) if is_method else None)


def where(functions: list[FunctionType]) -> str:
    """Return `file:line` of the innermost function, "" for none."""
    if not functions:
        return ""
    code = functions[-1].__code__
    return f"{code.co_filename}:{code.co_firstlineno}"


def where_class(cls: type) -> str:
    """Return `file:line` of a class, "" for one without source."""
    place = class_place(cls)
    return f"{place[0]}:{place[1]}" if place else ""


def mode(functions: list[FunctionType]) -> str:
    """Return `async` for a coroutine function, else `sync`."""
    return "async" if any(map(inspect.iscoroutinefunction, functions)) else "sync"
