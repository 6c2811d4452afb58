"""What runs when a layer, hook or view is called: its functions, its place, points in it."""

from __future__ import annotations

import functools
import inspect
from pathlib import Path
from types import CellType, CodeType, FunctionType
from typing import Any

from everylayer.audit.parts import Points
from everylayer.audit.points import OfOne
from everylayer.faults.code import CodePoint
from everylayer.faults.point import Point
from everylayer.faults.watched import Moment

from ..locate import PLUMBING, function_name, takes_self

# No chain of decorators is that long: one that is goes in a circle.
_MOST = 50
# A layer that bears the name of the next one does so by `functools.wraps`.
_NEXT = ("asgiref.", "django.core.handlers.")


def functions_of(target: Any, *, closures: bool = False) -> list[FunctionType]:
    """Return the functions that a call of `target` runs, outermost first.

    That is the way through partials, bound methods, objects with `__call__` and whatever
    `functools.wraps` has been used on.

    Args:
        target: a layer, hook or view.
        closures: follow decorators without `functools.wraps` as well.
    """
    found: list[FunctionType] = []
    for _ in range(_MOST):
        function = _function_of(target)
        if function is None or function in found or _module(function).startswith(_NEXT):
            break
        found.append(function)
        target = vars(function).get("__wrapped__")
        if target is None and closures:
            target = _decorated(function)
        if target is None:
            break
    return found


def _function_of(target: Any) -> FunctionType | None:
    while isinstance(target, functools.partial):
        target = target.func
    function = getattr(target, "__func__", target)
    if not isinstance(function, FunctionType):
        function = getattr(type(target), "__call__", None)  # noqa: B004
    return function if isinstance(function, FunctionType) else None


def _decorated(function: FunctionType) -> FunctionType | None:
    """Return the one function of a request that `function` closes over."""
    held = [_held(cell) for cell in function.__closure__ or ()]
    found = [each for each in held if isinstance(each, FunctionType) and _takes_request(each)]
    return found[0] if len(found) == 1 else None


def _held(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return None  # Not filled yet.


def _takes_request(function: FunctionType) -> bool:
    return "request" in function.__code__.co_varnames[: min(2, function.__code__.co_argcount)]


def _module(function: FunctionType) -> str:
    return str(function.__globals__.get("__name__"))


def of_the_app(functions: list[FunctionType]) -> list[FunctionType]:
    """Return those of `functions` whose frames count, when a layer is named from a traceback."""
    return [function for function in functions if not _module(function).startswith(PLUMBING)]


def owner_of(target: Any) -> Any:
    """Return the object whose method a call of `target` runs, None for a function."""
    while isinstance(target, functools.partial):
        target = target.func
    if inspect.isfunction(target):
        return None
    return target.__self__ if inspect.ismethod(target) else target


def span_name(target: Any, functions: list[FunctionType]) -> str:
    """Return the name in a span for what is raised in `target`, where its frames alone tell."""
    code = functions[0].__code__
    owner = owner_of(target)
    return function_name(code, type(owner) if owner is not None and takes_self(code) else None)


def point(function: FunctionType, moment: Moment, owner: Any = None) -> Point:
    """Return the start or the return of `function`, though other layers may share its code.

    Args:
        function: what runs.
        moment: of its run.
        owner: the object whose method it is, if there is one.
    """
    codes: tuple[CodeType, ...] = (function.__code__,)
    is_method = owner is not None and takes_self(function.__code__)
    return OfOne(CodePoint(codes, moment), codes, owner if is_method else function)


def around(function: FunctionType, owner: Any = None) -> Points:
    """Return the points before and after what `function` does."""
    return {"before": point(function, "start", owner), "after": point(function, "return", owner)}


def mode(functions: list[FunctionType]) -> str:
    """Return `async` for a coroutine function, else `sync`."""
    return "async" if any(map(inspect.iscoroutinefunction, functions)) else "sync"


def where(target: Any) -> str:
    """Return `file:line` of a function or class, the file below the working directory without it.

    It is "" for one without source.
    """
    try:
        if isinstance(target, FunctionType):
            file, line = target.__code__.co_filename, target.__code__.co_firstlineno
        else:
            file, line = inspect.getsourcefile(target) or "", inspect.findsource(target)[1] + 1
    except (OSError, TypeError):
        return ""
    path = Path(file)
    return f"{path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}:{line}"
