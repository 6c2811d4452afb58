"""A response body, watched while it is sent and closed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from werkzeug.wrappers import Response
from werkzeug.wsgi import ClosingIterator

from everylayer.boundaries.aftermath import hand_over
from everylayer.chain import drop_frame
from everylayer.wsgi_types import Environ, is_file

if TYPE_CHECKING:
    from .request import Request


def is_foreign(body: Any, environ: Environ) -> bool:
    """Tell whether `body` must stay the object that it is, and runs no code of the app's."""
    return body is None or issubclass(type(body), (list, tuple)) or is_file(body, environ)


def watched(body: Any, request: Request, *, outermost: bool = True) -> Body:
    """Return what stands for `body`."""
    kind = SizedBody if hasattr(type(body), "__len__") else Body
    return kind(body, request, outermost=outermost)


def _response(body: Any) -> Any:
    """Return the response of Flask's whose body this is, None if it is another's."""
    if type(body) is not ClosingIterator:
        return None
    # Names of Werkzeug's own: without them, each body is watched as if it were a layer's.
    callbacks = getattr(body, "_callbacks", None)
    owner = getattr(callbacks[-1], "__self__", None) if callbacks else None
    return owner if isinstance(owner, Response) else None


def streams(body: Any) -> bool:
    """Tell whether `body` is a response of Flask's that is produced while it is sent.

    Flask's own error pages are no lists either, but their length is known.
    """
    response = _response(body)
    if response is None:
        return isinstance(body, Body)
    return not _is_whole(response) and "Content-Length" not in response.headers


def is_complete(body: Any) -> bool:
    """Tell whether `body` is a response of Flask's that runs no more code of the app's."""
    response = _response(body)
    return response is not None and _is_whole(response) and not getattr(response, "_on_close", True)


def _is_whole(response: Response) -> bool:
    return isinstance(response.response, (list, tuple))


def status_of(body: Any) -> str | None:
    """Return the status line of a response of Flask's."""
    response = _response(body)
    return None if response is None else response.status


def code_of(status: Any) -> int | None:
    """Return the number in a status line, None for what is no status line."""
    number = status[:3] if isinstance(status, str) else ""
    return int(number) if number.isdecimal() and len(number) == 3 else None


class Body:
    """A response body that shows what fails while it is sent or closed."""

    __slots__ = ("_body", "_iterator", "_outermost", "request")

    def __init__(self, body: Iterable[bytes], request: Request, *, outermost: bool = True) -> None:
        self._body = body
        self.request = request
        self._outermost = outermost
        self._iterator: Iterator[bytes] | None = None

    def __iter__(self) -> Iterator[bytes]:
        # Not `yield from`: that would close the body a second time when this is dropped.
        try:
            for chunk in self._body:  # noqa: UP028
                yield chunk
        except GeneratorExit:
            raise
        except BaseException as exc:
            self._failed(exc, "stream")
            drop_frame(exc)
            raise
        if self._outermost and not self.request.quiet:
            self.request.settle()

    def __next__(self) -> bytes:
        if self._iterator is None:
            self._iterator = iter(self)
        return next(self._iterator)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._body, name)

    def close(self) -> None:
        """Close the body, and then the request."""
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        except BaseException as exc:
            self._failed(exc, "close")
            drop_frame(exc)
            raise
        if self._outermost and not self.request.quiet:
            self.request.settle()

    def __del__(self) -> None:
        # An outer layer that fails may drop the body unclosed.
        if self._outermost and not self.request.quiet:
            hand_over(self.request.settle)

    def _failed(self, exc: BaseException, phase: str) -> None:
        self.request.see(exc, phase)
        if self._outermost:
            self.request.settle(exc)


class SizedBody(Body):
    """A body whose length tells the server whether the first chunk is the whole response."""

    __slots__ = ()

    def __len__(self) -> int:
        return len(self._body)  # type: ignore[arg-type]


# A body is being sent, or closed, where a frame is of these.
SENT, CLOSED = Body.__iter__.__code__, Body.close.__code__
