"""The layers of MIDDLEWARE, and their hooks."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from types import FunctionType
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.utils.deprecation import MiddlewareMixin

from everylayer.audit.parts import INSTRUMENTATION, Part, Points, attempted
from everylayer.audit.points import OfOne
from everylayer.faults.code import CodePoint
from everylayer.layers import name_of

from ..locate import takes_self
from .arms import is_instrumentation
from .functions import (
    around,
    functions_of,
    mode,
    of_the_app,
    owner_of,
    point,
    span_name,
    where,
)
from .load import Entry

_SEAM = "response_for_exception"
# In the order in which a request comes to them.
_HOOKS = {
    "process_view": _SEAM,
    "process_exception": "process_exception_by_middleware",
    "process_template_response": _SEAM,
}
_STEPS = ("process_request", "process_response")


def layer_part(entry: Entry) -> Part:
    """Return the part of one entry of MIDDLEWARE."""
    if is_instrumentation(entry.path):
        return Part(name_of(entry.layer), INSTRUMENTATION, seam="stock's span")
    kind = "function" if inspect.isroutine(entry.layer) else "class"
    return attempted(lambda: _layer_part(entry, kind), entry.layer, kind, _SEAM)


def _own(layer: Any) -> Any:
    """Return the layer that Sentry's wrapper stands for."""
    functions = functions_of(layer)
    if functions and functions[0].__module__.startswith("sentry_sdk."):
        return getattr(layer, "_inner", layer)
    return layer


def _hooks(layer: Any) -> list[Part]:
    return [
        attempted(functools.partial(_hook_part, layer, name), layer, "hook", seam)
        for name, seam in _HOOKS.items()
        if hasattr(layer, name)
    ]


def _layer_part(entry: Entry, kind: str) -> Part:
    layer = _own(entry.layer)
    functions = functions_of(layer)
    if kind == "function":
        place = where(functions[-1] if functions else layer)
    else:
        place = where(type(layer))
    return Part(
        name_of(entry.layer),
        kind,
        where=place,
        mode=_mode(entry),
        seam=_SEAM,
        points=_points(entry.layer, layer, kind, functions),
        inner=_hooks(layer),
    )


def _mode(entry: Entry) -> str:
    # As Django reads them.
    is_sync = getattr(entry.factory, "sync_capable", True)
    is_async = getattr(entry.factory, "async_capable", False)
    if is_sync and is_async:
        return "both"
    return "async" if is_async else "sync"


def _points(made: Any, layer: Any, kind: str, functions: list[FunctionType]) -> Points:
    if kind == "function":
        own = of_the_app(functions)
        return around(own[-1], owner_of(layer)) if own else {}
    if type(layer).__call__ is MiddlewareMixin.__call__:
        bodies = [step for name in _STEPS if (step := _last(getattr(type(layer), name, None)))]
    else:
        bodies = [_awaited(made, layer, call) for call in [_last(layer)] if call]
    if not bodies:
        return {}
    found: Points = {"after": point(bodies[-1], "return", layer)}
    if bodies[0].__name__ != _STEPS[1]:
        found = {"before": point(bodies[0], "start", layer), **found}
    # They produce a body in place of the one from further in.
    methods = (method for body in bodies for method in _methods_of(layer, body))
    streams = tuple(method.__code__ for method in methods if _generates(method))
    if streams:
        found["stream"] = OfOne(CodePoint(streams, "start"), streams, layer)
    return found


def _awaited(made: Any, layer: Any, call: FunctionType) -> FunctionType:
    """Return what is awaited of a layer whose `__call__` is for both modes."""
    if not iscoroutinefunction(made):
        return call
    return next(filter(inspect.iscoroutinefunction, [call, *_methods_of(layer, call)]), call)


def _last(target: Any) -> FunctionType | None:
    functions = functions_of(target)
    own = of_the_app(functions) or functions
    return own[-1] if own else None


def _methods_of(layer: Any, caller: FunctionType) -> Iterator[FunctionType]:
    """Yield the methods of `layer` that `caller` names."""
    for name in caller.__code__.co_names:
        method = getattr(type(layer), name, None)
        if isinstance(method, FunctionType) and takes_self(method.__code__):
            yield method


def _generates(method: FunctionType) -> bool:
    return inspect.isgeneratorfunction(method) or inspect.isasyncgenfunction(method)


def _hook_part(layer: Any, hook: str) -> Part:
    method = getattr(layer, hook)
    functions = functions_of(method)
    own = of_the_app(functions)
    name = type(layer).__qualname__
    if own and not (own[0].__code__.co_name == hook and takes_self(own[0].__code__)):
        name = span_name(method, own)
    return Part(
        name,
        "hook",
        where=where(functions[-1]),
        mode=mode(functions),
        seam=f"{_HOOKS[hook]}, from {hook}",
        points=around(functions[-1], layer),
    )
