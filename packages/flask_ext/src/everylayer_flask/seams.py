"""What an adopted app does besides what its own class does.

Only `__call__`, `process_response` and the two teardowns stand on the way of a request that works.
"""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Callable
from sys import exc_info
from types import FrameType, MethodType
from typing import Any

import flask

from everylayer.chain import drop_frame, traceback_of
from everylayer.failsafe import contained
from everylayer.observer import observe

from . import active, request, stock
from .naming import client_status

STATE = "_everylayer"


class Choke:
    """A method that Flask calls only when something failed: it shows the error, then goes on.

    A data descriptor, so that it stays in front of what an extension puts on the app itself.
    """

    __slots__ = ("_name", "_own")

    def __init__(self, own: Callable[..., Any]) -> None:
        self._own = own
        self._name = own.__name__

    def __get__(self, app: Any, cls: Any = None) -> Any:
        if app is None:
            return self._own
        method = vars(app).get(self._name) or MethodType(self._own, app)
        return functools.partial(_choked, app, method)

    def __set__(self, app: Any, value: Any) -> None:
        vars(app)[self._name] = value

    def __delete__(self, app: Any) -> None:
        if vars(app).pop(self._name, None) is None:
            raise AttributeError(self._name)


def _choked(app: flask.Flask, method: Callable[..., Any], *args: Any) -> Any:
    # The exception comes last in every version of Flask.
    exc = args[-1]
    _listen(app)
    status = client_status(exc)
    if status is None:
        _show(exc)
    try:
        answer = method(*args)
    except BaseException as error:
        if status is not None:
            _show(exc, status)
        drop_frame(error)
        raise
    if status is not None:
        _show(exc, status, answered=answer is exc)
    return answer


def seams_of(cls: Any) -> dict[str, Any]:
    """Return what a subclass of `cls` has to define."""
    return {
        "__call__": request.outermost,
        "wsgi_app": _WSGI_APP,
        "handle_user_exception": Choke(cls.handle_user_exception),
        "handle_exception": Choke(cls.handle_exception),
        "do_teardown_request": _do_teardown_request(cls.do_teardown_request),
    }


def _wsgi_app(app: Any) -> Any:
    return vars(app)[STATE].outermost_layer(app)


def _set_wsgi_app(app: Any, layer: Any) -> None:
    vars(app)[STATE].wrap(app, layer)


def _reset_wsgi_app(app: Any) -> None:
    vars(app)[STATE].unwrap(app)


_WSGI_APP = property(_wsgi_app, _set_wsgi_app, _reset_wsgi_app)


def _do_teardown_request(own: Callable[..., Any]) -> Any:
    # Flask's own default stands for the exception in flight.
    (default,) = own.__defaults__ or (None,)

    @functools.wraps(own)
    def do_teardown_request(app: Any, exc: Any = default) -> None:
        if app._everylayer.rules.starts_span:
            _note_route()
        if exc is not None and exc is not default:
            _show_ended(exc)
        elif exc_info()[1] is not None:
            _show_on_its_way(exc_info()[1])
        try:
            own(app, exc)
        except BaseException as error:
            _show(error)
            stock.leave(flask.request.environ)
            drop_frame(error)
            raise

    return do_teardown_request


def _session_is_open() -> bool:
    """Tell whether there is a session to save.

    Where opening it failed, Flask tries to save none at all, and logs that this fails too.
    """
    about = vars(active.context())
    return about.get("_session", about.get("session")) is not None


@contained
def _note_route() -> None:
    """Keep what a span of our own is named after."""
    asked = active.flask_request()
    current = None if asked is None else request.of(asked.environ)
    if current is not None and asked is not None and asked.url_rule is not None:
        current.route = asked.url_rule.rule


@contained
def _show(
    exc: BaseException, status: int | None = None, *, phase: str = "call", answered: bool = False
) -> None:
    """Show `exc` to the request; Flask has `answered` it with its own `status`."""
    asked = active.flask_request()
    current = request.around() if asked is None else request.of(asked.environ)
    if current is None:
        # A context that a test, or a job, has pushed by itself.
        observe(exc, client_status=status)
        return
    if asked is not None:
        current.environ = asked.environ
        if asked.url_rule is not None:
            current.route = asked.url_rule.rule
    # What fails after a 404 is not its doing.
    if not (answered and current.ignores(exc, status)):
        current.take(exc, phase, status)


@contained
def _show_ended(exc: BaseException) -> None:
    """Show what ended a request, unless Flask has dealt with it.

    Then it is of a stream that outlives the request and keeps its context.
    """
    asked = active.flask_request()
    current = None if asked is None else request.of(asked.environ)
    if current is None or not current.knows(exc):
        _show(exc, phase="stream")


@contained
def _show_on_its_way(exc: BaseException | None) -> None:
    """Show what passes the `wsgi_app` around us on its way out: stock ends its span next.

    An exception that is being dealt with, or that some caller deals with, is none of that.
    """
    tb = None if exc is None else traceback_of(exc)
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code is not flask.Flask.wsgi_app.__code__:
        frame = frame.f_back
    if exc is not None and tb is not None and frame is not None and tb.tb_frame is frame:
        _show(exc)


class Swallowed(logging.Filter):
    """Sees what fails while Flask finishes an error's response: it logs that, and goes on."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass."""
        if record.exc_info and record.funcName == "finalize_request":
            _show_swallowed(record.exc_info[1])
        return True


_SWALLOWED = Swallowed()


@contained
def _listen(app: flask.Flask) -> None:
    """Listen to what Flask logs about its own error handling, from the first error on."""
    adoption = vars(app).get(STATE)
    if adoption is None:
        return  # released in the meantime
    if adoption.logger is None:
        # That which `app.logger` is, or will be: asking the app for it would set it up.
        adoption.logger = logging.getLogger(app.name)
    if _SWALLOWED not in adoption.logger.filters:
        adoption.logger.addFilter(_SWALLOWED)


@contained
def unlisten(app: flask.Flask) -> None:
    """Undo that."""
    logging.getLogger(app.name).removeFilter(_SWALLOWED)


@contained
def _show_swallowed(exc: BaseException | None) -> None:
    if exc is not None and _session_is_open():
        _show(exc)
