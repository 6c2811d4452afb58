"""The entries of MIDDLEWARE that are in use, with their hooks."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from types import CodeType, FunctionType
from typing import Any

from asgiref.sync import iscoroutinefunction

from everylayer.layers import name_of

from ..locate import OWN, STOCK, is_plumbing
from .functions import called_name, functions_of, is_async, takes_self, where
from .parts import INSTRUMENTATION, Part, Points, gathered
from .points import around, at, called
from .shapes import Swallows, Translates

_SEAM = "response_for_exception"
# In the order in which a request comes to them.
_HOOKS = {
    "process_view": _SEAM,
    "process_exception": "process_exception_by_middleware",
    "process_template_response": _SEAM,
}
_GENERATORS = inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR


def part_of(entry: Any) -> Iterator[Part]:
    """Yield the part that `entry` is; none for what the audit has put in."""
    if isinstance(entry, (Swallows, Translates)):
        return
    plain = inspect.isroutine(entry) or isinstance(entry, functools.partial)
    target = entry if plain else type(entry)
    module = str(getattr(target, "__module__", ""))
    part = Part(
        name_of(entry),
        "function" if plain else "class",
        where=where(target),
        mode="async" if iscoroutinefunction(entry) else "sync",
        seam=_SEAM,
    )
    if module.startswith((OWN, STOCK)):
        part.kind, part.seam = INSTRUMENTATION, ""
        yield part
        return
    try:
        part.points = _points(entry, plain=plain)
    except Exception:  # noqa: BLE001 - code of the app's, asked in unusual ways
        part.points = {}
    part.inner = gathered(functools.partial(_hooks, entry), f"{part.name} hooks", "hook")
    yield part


def _points(entry: Any, *, plain: bool) -> Points:
    if plain:
        return called(entry)
    call = _method(entry, "__call__")
    if call is None:
        return _of_steps(entry)
    code = call.__code__
    if not iscoroutinefunction(entry) or is_async(code):
        found = around(code, entry)
    else:
        # Called, it returns a coroutine of its own: that is what is awaited.
        inner = _named_in(entry, code)
        waiting = next((each for each in inner if is_async(each)), None)
        found = around(waiting, entry) if waiting else {"before": at(code, "start", entry)}
    return {**found, **_streams(entry, code)}


def _of_steps(entry: Any) -> Points:
    """Return the points of a `MiddlewareMixin`: its call is Django's, its steps are its own."""
    before, after = _method(entry, "process_request"), _method(entry, "process_response")
    found: Points = {}
    if before is not None:
        found["before"] = at(before.__code__, "start", entry)
    if after is not None:
        found["after"] = at(after.__code__, "return", entry)
        found.update(_streams(entry, after.__code__))
    return found


def _streams(entry: Any, code: CodeType) -> Points:
    """Return the point in a generator method that the body is passed through."""
    codes = [code, *(each for each in _named_in(entry, code) if is_async(each))]
    inner = [each for one in codes for each in _named_in(entry, one)]
    found = next((each for each in inner if each.co_flags & _GENERATORS), None)
    return {} if found is None or not takes_self(found) else {"stream": at(found, "start", entry)}


def _named_in(entry: Any, code: CodeType) -> list[CodeType]:
    """Return the methods of `entry` whose names `code` uses, in its order."""
    methods = (_method(entry, name) for name in code.co_names)
    return [method.__code__ for method in methods if method is not None]


def _method(entry: Any, name: str) -> FunctionType | None:
    """Return the innermost function of a method, None where it is Django's plumbing."""
    found = inspect.getattr_static(type(entry), name, None)
    if not callable(found) or inspect.isclass(found):
        return None
    functions = functions_of(found)
    if not functions or is_plumbing(functions[-1].__module__ or ""):
        return None
    return functions[-1]


def _hooks(entry: Any) -> Iterator[Part]:
    for name, seam in _HOOKS.items():
        hook = getattr(entry, name, None)
        if hook is None:
            continue
        yield Part(
            name_of(entry) if inspect.ismethod(hook) else called_name(hook),
            "hook",
            where=where(hook),
            mode="async" if iscoroutinefunction(hook) else "sync",
            seam=f"{name}, in {seam}",
            points=called(hook),
        )
