"""Bodies that are sent piece by piece, after Django's handler has returned."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from everylayer.chain import drop_frame, traceback_of
from everylayer.failsafe import contained

from .locate import stream_place
from .requests import release, release_soon, see


class _Watched:
    """Shows what fails while a body is sent, and ends the request with it."""

    __slots__ = ("__weakref__", "_body", "_request", "_status")

    def __init__(self, body: Any, request: HttpRequest, status: int) -> None:
        self._body = body
        self._request: HttpRequest | None = request
        self._status = status

    def wrap(self, make: Callable[[Any], Any]) -> None:
        """Put something around the body itself."""
        self._body = make(self._body)

    @contained
    def finish(self, exc: BaseException | None = None) -> None:
        """End the request; only the first call counts."""
        request, self._request = self._request, None
        if request is None:
            return
        if exc is not None:
            # Its first frame is our own.
            tb = traceback_of(exc)
            see(request, exc, stream_place(tb.tb_next if tb else None, request))
        release(request, self._status, exc)

    def __del__(self) -> None:
        if self._request is not None:
            release_soon(self._request, self._status)


class Body(_Watched):
    """A body of a synchronous iterator."""

    __slots__ = ()

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            return next(self._body)
        except StopIteration:
            self.finish()
            raise
        except BaseException as exc:
            self.finish(exc)
            drop_frame(exc)
            raise


class AsyncBody(_Watched):
    """A body of an asynchronous iterator."""

    __slots__ = ()

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        try:
            return await self._body.__anext__()
        except StopAsyncIteration:
            self.finish()
            raise
        except BaseException as exc:
            self.finish(exc)
            drop_frame(exc)
            raise


def watch(request: HttpRequest, response: HttpResponseBase) -> bool:
    """Stand around the body of a streaming `response`; False where it has none that we know.

    Its private iterator is replaced: assigning `streaming_content` would take from a FileResponse
    the file that the server sends by itself.
    """
    state = vars(response)
    body = state.get("_iterator")
    if body is None:
        return False
    kind = AsyncBody if state.get("is_async") else Body
    state["_iterator"] = kind(body, request, response.status_code)
    return True


def given_up(response: HttpResponseBase) -> None:
    """Take note that `response` is closed, sent to its end or not."""
    body = vars(response).get("_iterator")
    if isinstance(body, _Watched):
        body.finish()
