"""Django REST framework: errors that its views catch, and its `EXCEPTION_HANDLER` answers.

Nothing of it is imported here: its seam is put in place when the app has imported it, or does.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FrameType
from typing import Any

from django.http import HttpRequest

from everylayer import policy
from everylayer.chain import drop_frame, traceback_of
from everylayer.failsafe import contained
from everylayer.layers import Layer, name_of
from everylayer.observer import observe

from .locate import Place, frames, function_name, takes_self, view_of
from .requests import client_status, ledger_of, see

MODULE, CLASS = "rest_framework.views", "APIView"
_REQUEST = "rest_framework.request"
_API_EXCEPTION = ("rest_framework.exceptions.APIException",)

# What a view asks before its method: the phase, and where the one that is being asked stands.
_ASKED = {
    "check_permissions": ("permission", "permission"),
    "check_object_permissions": ("permission", "permission"),
    # The durations of all are collected before one is refused: none stands out.
    "check_throttles": ("throttle", ""),
}

Original = Callable[..., Any]


def handle_exception(original: Original) -> Original:
    """What a view makes of an error: a response that tells Django of none."""

    def handle_exception(self: Any, exc: BaseException) -> Any:
        try:
            response = original(self, exc)
        except BaseException as second:
            _goes_on(self, second, exc)
            drop_frame(second)
            raise
        _answered(self, exc)
        return response

    return handle_exception


@contained
def _answered(view: Any, exc: BaseException) -> None:
    request = _request_of(view)
    place = _asked(view, exc) or Place(
        view_of(request) or Layer(name_of(type(view)), "view"), "view"
    )
    observe(exc, *place, ledger=ledger_of(request), client_status=_client_status(exc))


@contained
def _goes_on(view: Any, exc: BaseException, handled: BaseException) -> None:
    """Name what Django, which sees it next, would take for the view."""
    place = _asked(view, exc) if exc is handled else _handler(exc)
    if place is not None:
        see(_request_of(view), exc, place)


def _request_of(view: Any) -> HttpRequest:
    request: HttpRequest = getattr(view.request, "_request", view.request)
    return request


def _client_status(exc: BaseException) -> int | None:
    if not policy.matches(exc, _API_EXCEPTION):
        return client_status(exc)
    status = getattr(exc, "status_code", None)
    return status if isinstance(status, int) and status < 500 else None


def _asked(view: Any, exc: BaseException) -> Place | None:
    """Return which class that guards `view` the error came from, None for the view itself."""
    found = None
    for frame in frames(traceback_of(exc)):
        code = frame.f_code
        if code.co_name in _ASKED:
            if takes_self(code) and frame.f_locals.get("self") is view:
                phase, local = _ASKED[code.co_name]
                found = _named(frame, phase, local)
        elif code.co_name == "_authenticate" and frame.f_globals.get("__name__") == _REQUEST:
            found = _named(frame, "authentication", "authenticator")
    return found


def _named(frame: FrameType, phase: str, local: str) -> Place:
    asked = frame.f_locals.get(local)
    if asked is None:
        owner = type(frame.f_locals["self"])
        return Place(Layer(function_name(frame.f_code, owner), "hook"), phase)
    return Place(Layer(name_of(type(asked)), "hook"), phase)


def _handler(exc: BaseException) -> Place | None:
    """Return which `EXCEPTION_HANDLER` has failed itself."""
    found = None
    for frame in frames(traceback_of(exc)):
        if found is not None:
            return Place(Layer(function_name(frame.f_code, None), "handler"), "exception_handler")
        module, name = frame.f_globals.get("__name__"), frame.f_code.co_name
        if module == MODULE and name == "handle_exception":
            found = frame
    return None
