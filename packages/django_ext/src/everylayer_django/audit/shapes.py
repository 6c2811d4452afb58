"""What an audit puts into a project that is to deal with its errors by itself.

Django answers the error of a layer where it comes up, before any other layer sees it: what is
around it gets a response. So these entries answer or raise in `process_exception`, which gets the
errors of the view and of rendering; and what swallows turns a 500 from further inside into a 200.
No entry can translate the error of another layer, of a handler or of a receiver; only with
DEBUG_PROPAGATE_EXCEPTIONS do such errors pass here, and are dealt with too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.http import Http404, HttpResponse

from everylayer.audit.injected import Translated

# What Django turns into answers that are no errors.
_ANSWERS = (Http404, PermissionDenied, SuspiciousOperation, BadRequest)


class _Shape:
    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[..., Any]) -> None:
        self.get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: Any) -> Any:
        if self._is_async:
            return self._call_async(request)
        try:
            return self.answer(self.get_response(request))
        except Exception as exc:  # noqa: BLE001 - that is what it is for
            return self.deal(exc)

    async def _call_async(self, request: Any) -> Any:
        try:
            return self.answer(await self.get_response(request))
        except Exception as exc:  # noqa: BLE001 - that is what it is for
            return self.deal(exc)

    def process_exception(self, request: Any, exception: Exception) -> Any:
        return None if isinstance(exception, _ANSWERS) else self.deal(exception)

    def answer(self, response: Any) -> Any:
        return response

    def deal(self, error: Exception) -> Any:
        raise NotImplementedError


class Swallows(_Shape):
    """Answers 200 to any Exception, and instead of a 500."""

    def answer(self, response: Any) -> Any:
        return _swallowed() if response.status_code == 500 else response

    def deal(self, error: Exception) -> Any:
        return _swallowed()


class Translates(_Shape):
    """Raises another exception from any Exception."""

    def deal(self, error: Exception) -> Any:
        if isinstance(error, Translated):
            raise error
        raise Translated(f"translated from {type(error).__name__}") from error


def _swallowed() -> HttpResponse:
    return HttpResponse("swallowed", content_type="text/plain; charset=utf-8")
