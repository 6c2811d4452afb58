"""The WSGI layers of an app, and where they lead."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from types import CodeType, FunctionType, MethodType
from typing import Any

from flask import Flask
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from everylayer.audit.model import Phase
from everylayer.audit.parts import INSTRUMENTATION, Part, Points, attempted
from everylayer.faults.code import CodePoint
from everylayer.layers import code_name, name_of

from .. import probes
from ..extension import EveryLayerMiddleware
from ..innermost import made_from
from ..rules import codes_within
from ..walk import Place, path_to
from .functions import functions_of, is_instrumentation, package_of, where, where_class
from .points import around_call

_MOST = 100
_START = ("status", "headers")


def way_in(outermost: Any) -> list[Place]:
    """Return the layers from `outermost` on.

    The last one is a Flask app, an app's own function, a dispatcher, or what leads nowhere.
    """
    way = [Place(outermost, _stay)]
    while not is_end(way[-1].held) and len(way) < _MOST:
        held = way[-1].held
        if isinstance(held, EveryLayerMiddleware):
            way.append(Place(held._everylayer.run, _stay))
            continue
        path = path_to(held, lambda inner: is_end(inner) or isinstance(inner, EveryLayerMiddleware))
        if not path:
            break
        way += path
    # Our probes are functions that hold the layer.
    kept = {id(layer) for layer in probes.layers_of(way)}
    return [place for place in way if id(place.held) in kept]


def is_end(layer: Any) -> bool:
    """Tell whether the way in ends or branches at `layer`."""
    return isinstance(layer, (Flask, DispatcherMiddleware)) or app_of(layer) is not None


def app_of(layer: Any) -> Flask | None:
    """Return the Flask app whose own WSGI function `layer` is."""
    own = made_from(layer) or layer
    if isinstance(own, MethodType) and own.__name__ == "wsgi_app":
        return own.__self__ if isinstance(own.__self__, Flask) else None
    return None


def mounts_of(dispatcher: DispatcherMiddleware) -> dict[str, Any]:
    """Return what `dispatcher` leads to, by path; its own app under `/`."""
    return {"/": dispatcher.app, **dispatcher.mounts}


def flask_apps(served: Any) -> list[Flask]:
    """Return the Flask apps that requests to `served` can come to."""
    end = way_in(served)[-1].held
    if isinstance(end, DispatcherMiddleware):
        inner = [app for mount in mounts_of(end).values() for app in flask_apps(mount)]
        return list({id(app): app for app in inner}.values())
    app = end if isinstance(end, Flask) else app_of(end)
    return [] if app is None else [app]


def layer_part(place: Place, *, outermost: bool, around: str = "") -> Part:
    """Return one WSGI layer.

    Args:
        place: where it is held.
        outermost: no other layer of the app's stands around it.
        around: the seam of the outermost one, "" for the app's own `__call__`.
    """
    layer = place.held
    kind = _kind_of(layer)
    seam = around or "Flask.__call__" if outermost else "probe around it"
    return attempted(lambda: _layer_part(place, kind, seam, outermost), layer, kind, seam)


def _layer_part(place: Place, kind: str, seam: str, outermost: bool) -> Part:
    layer = place.held
    if is_instrumentation(layer):
        return Part(name_of(layer), INSTRUMENTATION)
    if not outermost and probes.must_pass(place):
        seam = "that of the layer around it, which cannot hide errors"
    functions = functions_of(layer)
    if not functions:
        return Part(name_of(layer), kind, seam=seam)
    return Part(
        name_of(layer),
        kind,
        where=where(functions) if kind == "function" else where_class(probes.class_of(layer)),
        seam=seam,
        points=around_call(functions[-1], layer=_object(layer)) | _within(functions[-1].__code__),
        inner=_bodies(functions[-1]),
    )


def _kind_of(layer: Any) -> str:
    """Return `function` for a function, closure, method or partial, else `class`."""
    if inspect.isroutine(layer) or isinstance(layer, functools.partial):
        return "function"
    return "class"


def _object(layer: Any) -> Any:
    """Return the object whose method runs, None for a function."""
    while isinstance(layer, functools.partial):
        layer = layer.func
    return getattr(layer, "__self__", None if inspect.isroutine(layer) else layer)


def _within(code: CodeType) -> Points:
    """Return the point in a layer's own generators, and its own `start_response`."""
    codes = tuple(inner for inner in codes_within(code) if inner is not code and _streams(inner))
    return {"stream": CodePoint(codes, "start")} if codes else {}


def _streams(code: CodeType) -> bool:
    if code.co_name.startswith("<"):
        return False
    return bool(code.co_flags & inspect.CO_GENERATOR) or code.co_argcount >= len(_START)


def _bodies(function: FunctionType) -> Iterator[Part]:
    """Yield the methods of the classes with which a layer wraps the body that it hands on."""
    seen: set[int] = set()
    for code in codes_within(function.__code__):
        for name in code.co_names:
            cls = function.__globals__.get(name)
            if inspect.isclass(cls) and id(cls) not in seen and _is_body(cls, function):
                seen.add(id(cls))
                yield from _body_parts(cls)


def _is_body(cls: type, function: FunctionType) -> bool:
    mine = cls.__module__.partition(".")[0] == package_of(function)
    return (
        mine and hasattr(cls, "__iter__") and isinstance(getattr(cls, "close", None), FunctionType)
    )


def _body_parts(cls: type) -> Iterator[Part]:
    sent = "__next__" if hasattr(cls, "__next__") else "__iter__"
    phases: tuple[tuple[Phase, str], ...] = (("stream", sent), ("teardown", "close"))
    for phase, name in phases:
        method = getattr(cls, name)
        if isinstance(method, FunctionType):
            yield Part(
                code_name(method.__code__, cls),
                "class",
                where=where([method]),
                seam="the watched response body",
                points={phase: CodePoint((method.__code__,), "start")},
            )


def _stay(layer: Any) -> None:
    """Leave what is only looked at where it is."""
