"""Where faults are put: in the code of the app's functions, and in the response of a view."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator
from types import FrameType, FunctionType
from typing import Any, NamedTuple

from flask import Flask
from werkzeug.wrappers import Response

from everylayer.audit.lent import lend
from everylayer.audit.model import Phase
from everylayer.audit.parts import Points
from everylayer.faults.code import CodePoint
from everylayer.faults.point import Switch, Visit
from everylayer.faults.watched import Moment

from ..active import context, flask_request
from ..naming import closes_over

Change = Callable[[Response, Switch], None]
_PROCESS = "process_response"
# The method of a view class that answers where it has none for this one.
_AS = {"HEAD": "GET"}


class Asked(NamedTuple):
    """What a request must ask for.

    Attributes:
        method: "" for any.
    """

    app: Flask
    endpoint: str
    method: str = ""

    def now(self) -> bool | None:
        """Tell whether the current request does; None where there is none."""
        request = flask_request()
        if request is None:
            return None
        if context().app is not self.app or request.endpoint != self.endpoint:
            return False
        return self.method in ("", request.method, _AS.get(request.method))


def around_call(function: FunctionType, asked: Asked | None = None, layer: Any = None) -> Points:
    """Return the points at which `function` starts and returns.

    A generator returns while the response is sent.

    Args:
        function: a function of the app's.
        asked: the only requests for which that is meant.
        layer: the object whose method it is, where another one may run the same.
    """
    end: Phase = "stream" if inspect.isgeneratorfunction(function) else "after"
    return {
        "before": CallPoint(function, "start", asked, layer),
        end: CallPoint(function, "return", asked, layer),
    }


class CallPoint:
    """The start or the return of one function, though others share its code.

    Those are what one factory or one decorator makes, and objects of one class.
    """

    __slots__ = ("_asked", "_function", "_layer", "_point")

    def __init__(
        self,
        function: FunctionType,
        moment: Moment,
        asked: Asked | None = None,
        layer: Any = None,
    ) -> None:
        self._point = CodePoint((function.__code__,), moment)
        self._function = function
        self._asked = asked
        self._layer = layer

    def arm(self, visit: Visit) -> None:
        def visit_here() -> None:
            if self._is_meant():
                visit()

        self._point.arm(visit_here)

    def disarm(self) -> None:
        self._point.disarm()

    def _is_meant(self) -> bool:
        # A view that is a generator may run when the request is no longer the current one.
        if self._asked is not None and self._asked.now() is False:
            return False
        code = self._function.__code__
        frame: FrameType | None = sys._getframe(1)
        while frame is not None and frame.f_code is not code:
            frame = frame.f_back
        if frame is None:
            return True
        first = code.co_varnames[0] if code.co_argcount else ""
        if self._layer is not None and frame.f_locals.get(first) is not self._layer:
            return False
        return closes_over(self._function, frame)


class ResponsePoint:
    """A point in the response to certain requests, which is changed for it while it is armed."""

    __slots__ = ("_asked", "_change", "_switch")

    def __init__(self, asked: Asked, change: Change) -> None:
        self._asked = asked
        self._change = change
        self._switch = Switch()

    def arm(self, visit: Visit) -> None:
        self._switch.arm(visit)
        _Watcher.on(self._asked.app).points[id(self)] = self

    def disarm(self) -> None:
        self._switch.disarm()
        _Watcher.on(self._asked.app).forget(self)

    def take(self, response: Response) -> None:
        """Change `response` if it is the answer to such a request."""
        if self._asked.now():
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
    chunks = lend(_chunks, name, module)

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
    closing = lend(_closing, name, module)

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
