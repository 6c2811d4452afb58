"""The view functions of an app, and the methods of its view classes."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from types import FunctionType
from typing import Any, NamedTuple

from flask import Flask
from flask.views import MethodView, View

from everylayer.audit.parts import Part, Points, gathered

from .functions import functions_of, mode, of_the_app, span_name, where
from .points import Asked, ResponsePoint, around_call, in_stream, on_close

_KIND = "endpoint"
_SEAM = "handle_user_exception"


class _Way(NamedTuple):
    """What one view comes to.

    Attributes:
        cls: the view class whose method comes last.
        method: of the requests that go this way; "" for all.
    """

    functions: list[FunctionType]
    cls: type | None = None
    method: str = ""


def endpoints(app: Flask, blueprint: str | None) -> Iterator[Part]:
    """Yield the views of `blueprint`, or those of the app itself."""
    for endpoint, view in app.view_functions.items():
        if (endpoint.rpartition(".")[0] or None) == blueprint:
            yield from gathered(functools.partial(_parts, app, endpoint, view), endpoint, _KIND)


def _parts(app: Flask, endpoint: str, view: Any) -> Iterator[Part]:
    for way in _ways(view):
        yield _part(app, endpoint, view, way)


def _ways(view: Any) -> Iterator[_Way]:
    """Yield the only way through a function, one for each method of a `MethodView`."""
    functions = functions_of(view)
    found = (vars(function).get("view_class") for function in functions)
    cls = next((each for each in found if inspect.isclass(each)), None)
    if cls is None or not issubclass(cls, View):
        yield _Way(functions)
        return
    names = {"": "dispatch_request"}
    if issubclass(cls, MethodView):
        names = {method: method.lower() for method in sorted(cls.methods or ())}
    for method, name in names.items():
        yield _Way([*functions, *functions_of(getattr(cls, name, None))], cls, method)


def _part(app: Flask, endpoint: str, view: Any, way: _Way) -> Part:
    functions = way.functions
    own = of_the_app(functions)
    if not own:
        # Flask's own, such as the one that serves static files.
        return Part(endpoint, _KIND, where=where(functions), seam=_SEAM)
    # A generator runs when those around it have returned.
    running = own[-1:] if inspect.isgeneratorfunction(own[-1]) else functions
    name = span_name(view, running, way.cls, registered=running is functions)
    module = str(own[0].__globals__.get("__name__"))
    asked = Asked(app, endpoint, way.method)
    points: Points = around_call(own[-1], asked)
    points.setdefault("stream", ResponsePoint(asked, in_stream(name, module)))
    points["teardown"] = ResponsePoint(asked, on_close(name, module))
    return Part(name, _KIND, where=where(own), mode=mode(functions), seam=_SEAM, points=points)
