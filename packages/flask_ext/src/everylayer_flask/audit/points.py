"""Where faults are put: in the code of the app's functions, and in the response of a view."""

from __future__ import annotations

import builtins
import functools
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator
from types import FunctionType
from typing import Any

from flask import Flask
from werkzeug.wrappers import Response

from everylayer.faults.code import CodePoint
from everylayer.faults.point import Point, Switch, Visit

from ..active import flask_request
from .parts import Points

Change = Callable[[Response, Switch], None]
_PROCESS = "process_response"


def around_call(function: FunctionType) -> Points:
    """Return the points at which `function` starts and returns.

    A generator returns while the response is sent.
    """
    codes = (function.__code__,)
    end = CodePoint(codes, "return")
    before = CodePoint(codes, "start")
    if inspect.isgeneratorfunction(function):
        return {"before": before, "stream": end}
    return {"before": before, "after": end}


class AtEndpoint:
    """A point that is only meant while a certain endpoint is asked for.

    Views that one factory makes share their code.
    """

    __slots__ = ("_endpoint", "_point")

    def __init__(self, point: Point, endpoint: str) -> None:
        self._point = point
        self._endpoint = endpoint

    def arm(self, visit: Visit) -> None:
        def visit_here() -> None:
            asked = flask_request()
            # A view that is a generator may run when the request is no longer the current one.
            if asked is None or asked.endpoint == self._endpoint:
                visit()

        self._point.arm(visit_here)

    def disarm(self) -> None:
        self._point.disarm()


class ResponsePoint:
    """A point in the response of one endpoint, which is changed for it while it is armed."""

    __slots__ = ("_app", "_change", "_endpoint", "_switch")

    def __init__(self, app: Flask, endpoint: str, change: Change) -> None:
        self._app = app
        self._endpoint = endpoint
        self._change = change
        self._switch = Switch()

    def arm(self, visit: Visit) -> None:
        self._switch.arm(visit)
        _Watcher.on(self._app).points[id(self)] = self

    def disarm(self) -> None:
        self._switch.disarm()
        _Watcher.on(self._app).forget(self)

    def take(self, response: Response) -> None:
        """Change `response` if it is that of the endpoint."""
        asked = flask_request()
        if asked is not None and asked.endpoint == self._endpoint:
            self._change(response, self._switch)


class _Watcher:
    """Stands in for an app's `process_response` as long as a point of its responses is armed."""

    __slots__ = ("_app", "_instead", "_process", "points")

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._process = app.process_response
        self._instead = vars(app).get(_PROCESS)
        self.points: dict[int, ResponsePoint] = {}

    @classmethod
    def on(cls, app: Flask) -> _Watcher:
        """Return the one of `app`, put in place if there is none."""
        found = vars(app).get(_PROCESS)
        if not isinstance(found, cls):
            found = vars(app)[_PROCESS] = cls(app)
        return found

    def forget(self, point: ResponsePoint) -> None:
        """Let go of `point`, and with the last one of the app."""
        self.points.pop(id(point), None)
        if not self.points:
            vars(self._app).pop(_PROCESS)
            if self._instead is not None:
                vars(self._app)[_PROCESS] = self._instead

    def __call__(self, *args: Any) -> Any:
        # The response comes last in every version of Flask.
        for point in list(self.points.values()):
            point.take(args[-1])
        return self._process(*args)


def in_stream(name: str, module: str) -> Change:
    """Have the response streamed, with the point after its first chunk."""
    chunks = renamed(_chunks, name, module)

    def change(response: Response, switch: Switch) -> None:
        body: Any = response.response
        close = getattr(body, "close", None)
        if close is not None:
            response.call_on_close(close)
        response.direct_passthrough = False
        response.headers.pop("Content-Length", None)
        response.response = chunks(body, switch)

    return change


def on_close(name: str, module: str) -> Change:
    """Have the point in a function that is called when the response is closed."""
    closing = renamed(_closing, name, module)

    def change(response: Response, switch: Switch) -> None:
        response.call_on_close(functools.partial(closing, switch))

    return change


def _chunks(body: Iterable[Any], switch: Switch) -> Iterator[Any]:
    chunks = iter(body)
    for chunk in chunks:
        yield chunk
        break
    switch.reached()
    yield from chunks


def _closing(switch: Switch) -> None:
    switch.reached()


def renamed(function: Any, name: str, module: str) -> Any:
    """Return `function` as if it were the app's own of that name: its frames name the layer."""
    code = function.__code__
    if sys.version_info >= (3, 11):
        code = code.replace(co_name=name.rpartition(".")[2], co_qualname=name)
    else:
        code = code.replace(co_name=name)
    return FunctionType(code, {"__builtins__": builtins, "__name__": module})
