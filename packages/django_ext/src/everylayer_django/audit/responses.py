"""The response of a view, changed for a fault that is to come while it is sent or closed."""

from __future__ import annotations

import builtins
import functools
import inspect
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from types import FunctionType
from typing import Any, NamedTuple

from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest, StreamingHttpResponse

from everylayer.faults.point import Switch, Visit

Change = Callable[[Any, Switch, bool], Any]


class Asked(NamedTuple):
    """The requests that are meant.

    Attributes:
        view: as the route has it.
        way: the patterns that lead to it, from the outermost `include`.
    """

    view: Any
    way: tuple[Any, ...]

    def by(self, request: HttpRequest) -> bool:
        """Tell whether `request` has been routed this way."""
        match = request.resolver_match
        return match is not None and match.func is self.view and match.route == self._route()

    def _route(self) -> str:
        # As Django joins them; a pattern with a language in it changes with the request.
        route = ""
        for pattern in reversed(self.way):
            outer = str(pattern)
            route = outer + route.removeprefix("^") if outer else route
        return route


class Responses:
    """Stands between a handler's view and its chain."""

    def __init__(self, handler: Any) -> None:
        self.points: dict[int, ResponsePoint] = {}
        is_async = isinstance(handler, ASGIHandler)
        name = "_get_response_async" if is_async else "_get_response"
        original = getattr(type(handler), name).__get__(handler)

        def get_response(request: HttpRequest) -> Any:
            return self._changed(request, original(request), is_async=False)

        async def get_response_async(request: HttpRequest) -> Any:
            return self._changed(request, await original(request), is_async=True)

        setattr(handler, name, get_response_async if is_async else get_response)

    def _changed(self, request: HttpRequest, response: Any, *, is_async: bool) -> Any:
        for point in list(self.points.values()):
            response = point.take(request, response, is_async=is_async)
        return response


class ResponsePoint:
    """A point in the response to certain requests, which is changed for it while it is armed."""

    __slots__ = ("_asked", "_change", "_responses", "_switch")

    def __init__(self, responses: Responses, asked: Asked, change: Change) -> None:
        self._responses = responses
        self._asked = asked
        self._change = change
        self._switch = Switch()

    def arm(self, visit: Visit) -> None:
        self._switch.arm(visit)
        self._responses.points[id(self)] = self

    def disarm(self) -> None:
        self._switch.disarm()
        self._responses.points.pop(id(self), None)

    def take(self, request: HttpRequest, response: Any, *, is_async: bool) -> Any:
        """Return `response`, changed if it is the answer to such a request."""
        if self._asked.by(request):
            return self._change(response, self._switch, is_async)
        return response


class _Streamed(StreamingHttpResponse):
    """The response of a view, streamed; where it was whole, layers can still read and change it."""

    def __init__(self, whole: Any, chunks: Any, switch: Switch) -> None:
        self._whole = None if whole.streaming else [whole.content]
        body = whole.streaming_content if whole.streaming else _lazily(self._whole)
        super().__init__(
            chunks(body, switch),
            status=whole.status_code,
            reason=whole.reason_phrase,
            headers={k: v for k, v in whole.headers.items() if k.lower() != "content-length"},
        )
        self.cookies = whole.cookies
        self._resource_closers = whole._resource_closers

    @property
    def content(self) -> Any:
        if self._whole is None:
            raise AttributeError("a streaming response has no content")
        return b"".join(self._whole)

    @content.setter
    def content(self, value: Any) -> None:
        self._whole = self._whole or []
        self._whole[:] = [self.make_bytes(value)]


def in_stream(name: str, module: str) -> Change:
    """Have the response streamed, with the point after its first chunk."""
    sync = renamed(_chunks, name, module)
    asynchronous = renamed(_chunks_async, name, module)

    def change(response: Any, switch: Switch, is_async: bool) -> Any:
        return _Streamed(response, asynchronous if is_async else sync, switch)

    return change


def on_close(name: str, module: str) -> Change:
    """Have the point in a function that is called when the response is closed."""
    closing = renamed(_closing, name, module)

    def change(response: Any, switch: Switch, is_async: bool) -> Any:
        response._resource_closers.append(functools.partial(closing, switch))
        return response

    return change


def _lazily(parts: Iterable[Any] | None) -> Iterator[Any]:
    yield from parts or ()


def _chunks(body: Iterable[Any], switch: Switch) -> Iterator[Any]:
    chunks = iter(body)
    for chunk in chunks:
        yield chunk
        break
    switch.reached()
    yield from chunks


async def _chunks_async(body: Any, switch: Switch) -> AsyncIterator[Any]:
    passed = False
    if hasattr(body, "__aiter__"):
        async for chunk in body:
            if passed:
                switch.reached()
            yield chunk
            passed = True
    else:
        for chunk in body:
            if passed:
                switch.reached()
            yield chunk
            passed = True
    switch.reached()


def _closing(switch: Switch) -> None:
    switch.reached()


def renamed(function: Any, name: str, module: str) -> Any:
    """Return `function` as if it were the app's own of that name: its frames name the layer."""
    code = function.__code__
    if sys.version_info >= (3, 11):
        code = code.replace(co_name=name.rpartition(".")[2], co_qualname=name)
    else:
        code = code.replace(co_name=name)
    made = FunctionType(code, {"__builtins__": builtins, "__name__": module})
    assert inspect.isgeneratorfunction(made) == inspect.isgeneratorfunction(function)
    return made
