"""Where a fault can be put in the response of a view, which is changed for that."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any

from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase

from everylayer.audit.lent import lend
from everylayer.faults.point import Switch

# Of the response that is to be streamed: what its body is.
_BODY = ("_container", "_iterator", "is_async", "file_to_stream", "_is_rendered")


class Responses:
    """Stands where the chain calls a view; changes its response while a switch is armed.

    Attributes:
        stream: reached after the first chunk of the body.
        teardown: reached when the response is closed.

    Args:
        handler: its chain is still to be built.
        view: as URLs lead to it.
        name: of the view, which what fails in its response goes by.
    """

    __slots__ = ("_chunks", "_close", "_is_async", "_view", "stream", "teardown")

    def __init__(self, handler: Any, view: Any, name: str) -> None:
        self.stream = Switch()
        self.teardown = Switch()
        self._view = view
        module = str(getattr(view, "__module__", ""))
        self._is_async = isinstance(handler, ASGIHandler)
        self._chunks = lend(_async_chunks if self._is_async else _chunks, name, module)
        self._close = lend(_closing(self.teardown.reached), name, module)
        if self._is_async:
            handler._get_response_async = self._around_async(handler._get_response_async)
        else:
            handler._get_response = self._around(handler._get_response)

    def _around(self, get_response: Callable[..., Any]) -> Callable[..., Any]:
        def _get_response(request: HttpRequest) -> Any:
            return self._changed(request, get_response(request))

        return _get_response

    def _around_async(self, get_response: Callable[..., Any]) -> Callable[..., Any]:
        async def _get_response_async(request: HttpRequest) -> Any:
            return self._changed(request, await get_response(request))

        return _get_response_async

    def _changed(self, request: HttpRequest, response: Any) -> Any:
        match = request.resolver_match
        if match is None or match.func is not self._view:
            return response
        if not isinstance(response, HttpResponseBase):
            return response
        if self.teardown.armed:
            response._resource_closers.append(self._close)  # type: ignore[attr-defined]
        return self._streamed(response) if self.stream.armed else response

    def _streamed(self, response: Any) -> StreamingHttpResponse:
        """Return `response` as one that is streamed."""
        body = _parts(response) if self._is_async else iter(response)
        made: Any = StreamingHttpResponse(self._chunks(body, self.stream.reached))
        closers = [*made._resource_closers, *response._resource_closers]
        state = {name: value for name, value in vars(response).items() if name not in _BODY}
        vars(made).update(state, _resource_closers=closers)
        if made.has_header("Content-Length"):
            del made["Content-Length"]
        return made  # type: ignore[no-any-return]


async def _parts(response: Any) -> AsyncIterator[Any]:
    if response.streaming:
        async for part in response:
            yield part
    else:
        for part in response:
            yield part


# What follows is lent to the view.


def _chunks(body: Iterable[Any], reached: Callable[[], None]) -> Iterator[Any]:
    parts = iter(body)
    for part in parts:
        yield part
        break
    reached()
    yield from parts


async def _async_chunks(
    body: AsyncIterator[Any], reached: Callable[[], None]
) -> AsyncIterator[Any]:
    async for part in body:
        yield part
        break
    reached()
    async for part in body:
        yield part


def _closing(reached: Callable[[], None]) -> Callable[[], None]:
    def close() -> None:
        reached()

    return close
