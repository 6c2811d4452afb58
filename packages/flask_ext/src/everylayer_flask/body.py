"""A response body, watched while it is sent and closed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from everylayer.chain import drop_frame
from everylayer.wsgi import Environ, is_file
from werkzeug.wsgi import ClosingIterator

if TYPE_CHECKING:
    from .request import Request


def is_foreign(body: Any, environ: Environ) -> bool:
    """Tell whether `body` must stay the object that it is, and runs no code of the app's."""
    return body is None or isinstance(body, (list, tuple)) or is_file(body, environ)


def streams(body: Any) -> bool:
    """Tell whether `body` is a response of Flask's that is produced while it is sent."""
    if type(body) is not ClosingIterator:
        return isinstance(body, Body)
    close = body._callbacks[-1] if body._callbacks else None
    produced = getattr(getattr(close, "__self__", None), "response", None)
    return produced is not None and not isinstance(produced, (list, tuple))


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
            for chunk in self._body:
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

    def _failed(self, exc: BaseException, phase: str) -> None:
        self.request.see(exc, phase)
        if self._outermost:
            self.request.settle(exc)
