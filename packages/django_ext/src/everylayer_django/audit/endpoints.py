"""The views of the URL configuration, as the tree that `include` makes of them."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from types import CodeType, FrameType
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest
from django.urls import URLPattern, URLResolver

from everylayer.audit.model import Phase
from everylayer.faults.code import CodePoint
from everylayer.faults.point import Visit
from everylayer.faults.watched import Moment
from everylayer.layers import name_of

from .functions import functions_of, where
from .parts import Part, gathered
from .responses import Asked, ResponsePoint, Responses, in_stream, on_close

_SEAM = "process_exception_by_middleware"
# More than that nobody reads.
_MOST = 400


def endpoints(resolver: Any, responses: Responses) -> Iterator[Part]:
    """Yield the views below `resolver`, the first some hundred."""
    yield from _below(resolver, (), responses, itertools.count())


def _below(
    resolver: Any, way: tuple[Any, ...], responses: Responses, count: itertools.count[int]
) -> Iterator[Part]:
    for entry in resolver.url_patterns:
        inner = (*way, entry.pattern)
        if isinstance(entry, URLResolver):
            name = str(entry.pattern) or "/"

            def read(entry: Any = entry, inner: tuple[Any, ...] = inner) -> Iterator[Part]:
                return _below(entry, inner, responses, count)

            yield Part(name, "mount", inner=gathered(read, name, "mount"))
        elif isinstance(entry, URLPattern) and next(count) < _MOST:
            asked = Asked(entry.callback, inner)

            def one(asked: Asked = asked) -> Iterator[Part]:
                yield _endpoint(asked, responses)

            yield from gathered(one, str(entry.pattern), "endpoint")


def _endpoint(asked: Asked, responses: Responses) -> Part:
    view = asked.view
    owner = getattr(view, "view_class", None) or getattr(view, "cls", None)
    functions = functions_of(view)
    # As `locate.view_of` names it.
    name = name_of(owner or view)
    part = Part(
        name,
        "endpoint",
        where=where(owner or view),
        mode="async" if iscoroutinefunction(view) else "sync",
        seam=_SEAM,
    )
    codes = _methods(view, owner) if owner else tuple(each.__code__ for each in functions[-1:])
    if codes:
        part.points["before"] = ViewPoint(codes, "start", asked)
        part.points["after"] = ViewPoint(codes, "return", asked)
    module = str(getattr(view, "__module__", ""))
    changes = (("stream", in_stream(name, module)), ("teardown", on_close(name, module)))
    for phase, change in changes:
        of_phase: Phase = "stream" if phase == "stream" else "teardown"
        part.points[of_phase] = ResponsePoint(responses, asked, change)
    return part


def _methods(view: Any, owner: Any) -> tuple[CodeType, ...]:
    """Return the codes of the methods that answer, `dispatch` where there are none."""
    # REST framework's view sets say which of their methods is for which of HTTP's.
    names = list((getattr(view, "actions", None) or {}).values())
    names = names or [each for each in owner.http_method_names if each != "options"]
    methods = [getattr(owner, name) for name in names if hasattr(owner, name)]
    methods = methods or [owner.dispatch]
    found = {id(f[-1].__code__): f[-1].__code__ for f in map(functions_of, methods) if f}
    return tuple(found.values())


class ViewPoint:
    """The start or the return of a view, for the requests that its own route leads to it."""

    __slots__ = ("_asked", "_codes", "_point")

    def __init__(self, codes: tuple[CodeType, ...], moment: Moment, asked: Asked) -> None:
        self._codes = codes
        self._point = CodePoint(codes, moment)
        self._asked = asked

    def arm(self, visit: Visit) -> None:
        def visited() -> None:
            request = self._request()
            if request is None or self._asked.by(request):
                visit()

        self._point.arm(visited)

    def disarm(self) -> None:
        self._point.disarm()

    def _request(self) -> HttpRequest | None:
        frame: FrameType | None = sys._getframe(2)
        while frame is not None and not any(frame.f_code is code for code in self._codes):
            frame = frame.f_back
        return None if frame is None else _request_in(frame)


def _request_in(frame: FrameType) -> HttpRequest | None:
    """Return the request among the arguments of `frame`, or of the view object it runs for."""
    for name in frame.f_code.co_varnames:
        value = frame.f_locals.get(name)
        for each in value if type(value) is tuple else (value,):
            held = each if isinstance(each, HttpRequest) else getattr(each, "request", each)
            # REST framework's has Django's inside.
            found = getattr(held, "_request", held)
            if isinstance(found, HttpRequest):
                return found
    return None
