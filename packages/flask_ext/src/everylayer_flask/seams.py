"""What an adopted app does besides what its own class does.

Only `__call__` and the teardown stand on the way of a request that works.
"""

from __future__ import annotations

import functools
import inspect
import logging
import sys
from collections.abc import Callable
from sys import exc_info
from types import FrameType, MethodType
from typing import Any, NamedTuple

import flask
from flask.app import Flask

from everylayer.chain import drop_frame, traceback_of
from everylayer.failsafe import contained
from everylayer.fit import takes, warn_left_alone
from everylayer.observer import observe

from . import active, request, stock
from .body import CLOSED, SENT
from .naming import client_status
from .rules import Place

STATE = "_everylayer"
_NO_DEFAULT = inspect.Parameter.empty


class Target(NamedTuple):
    """A method of Flask that a seam relies on: it is called with what Flask's own takes.

    Attributes:
        name: of the method.
        parameters: those it has had, from Flask 2.3 on; 3.2 puts the context first.
        why: what only shows there.
    """

    name: str
    parameters: tuple[str, ...]
    why: str


# fmt: off
TARGETS = (
    Target("__call__", ("self environ start_response",),
           "errors that Flask handles by itself, and the layer that an error comes from"),
    Target("wsgi_app", ("self environ start_response",),
           "errors that one WSGI layer hides from another"),
    Target("handle_user_exception", ("self e", "self ctx e"),
           "errors of views and hooks that an error handler answers"),
    Target("handle_exception", ("self e", "self ctx e"),
           "errors that end as a 500, and those of the handler for it"),
    Target("do_teardown_request", ("self exc", "self ctx exc"),
           "errors of teardown functions, and of streams that keep their request's context"),
    Target("finalize_request",
           ("self rv from_error_handler", "self ctx rv from_error_handler"),
           "errors while Flask finishes the response to another error"),
)
# fmt: on


def unknown() -> frozenset[str]:
    """Return the names of the targets that are not what they were, and warn of each, once."""
    return frozenset(target.name for target in TARGETS if not _fits(target, _found(target)))


def _found(target: Target) -> Any:
    return getattr(Flask, target.name, None)


@functools.cache
def _fits(target: Target, function: Any) -> bool:
    fits = takes(function, *target.parameters)
    if not fits:
        warn_left_alone(f"flask.Flask.{target.name}", "Flask", target.why, "everylayer-flask")
    return fits


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


def seams_of(cls: Any, left_out: frozenset[str]) -> dict[str, Any]:
    """Return what a subclass of `cls` has to define, without the names in `left_out`."""
    made = {
        "__call__": lambda own: request.outermost,
        "wsgi_app": lambda own: _WSGI_APP,
        "handle_user_exception": Choke,
        "handle_exception": Choke,
        "do_teardown_request": _do_teardown_request,
    }
    return {name: make(getattr(cls, name)) for name, make in made.items() if name not in left_out}


def _wsgi_app(app: Any) -> Any:
    return vars(app)[STATE].outermost_layer(app)


def _set_wsgi_app(app: Any, layer: Any) -> None:
    vars(app)[STATE].assign(app, layer)


def _reset_wsgi_app(app: Any) -> None:
    vars(app)[STATE].unwrap(app)


_WSGI_APP = property(_wsgi_app, _set_wsgi_app, _reset_wsgi_app)


def _do_teardown_request(own: Callable[..., Any]) -> Any:
    parameters = inspect.signature(own).parameters
    # Flask's own default stands for the exception in flight.
    default = parameters["exc"].default if list(parameters) == ["self", "exc"] else _NO_DEFAULT
    if default is _NO_DEFAULT:
        return _passing_teardown(own)

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
            _show_teardown(error)
            drop_frame(error)
            raise

    return do_teardown_request


def _passing_teardown(own: Callable[..., Any]) -> Any:
    """Do the same for one that takes the context too, or whatever a subclass takes.

    Not for all: handing on any arguments costs more than the rest of it.
    """

    @functools.wraps(own)
    def do_teardown_request(app: Any, *args: Any, **kwargs: Any) -> None:
        if app._everylayer.rules.starts_span:
            _note_route()
        # The exception comes last in every version of Flask, if it comes.
        exc: Any = kwargs.get("exc", args[-1] if args else None)
        if issubclass(type(exc), BaseException):
            _show_ended(exc)
        elif exc_info()[1] is not None:
            _show_on_its_way(exc_info()[1])
        try:
            own(app, *args, **kwargs)
        except BaseException as error:
            _show_teardown(error)
            drop_frame(error)
            raise

    return do_teardown_request


@contained
def _show_teardown(error: BaseException) -> None:
    _show(error)
    stock.leave(flask.request.environ)


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
        # A context that a test, or a job, has pushed by itself, or `app.wsgi_app` without its app.
        observe(exc, *_placed(exc, phase), client_status=status)
        return
    if asked is not None:
        current.environ = asked.environ
        if asked.url_rule is not None:
            current.route = asked.url_rule.rule
    # What fails after a 404 is not its doing.
    if not (answered and current.ignores(exc, status)):
        current.take(exc, phase, status)


def _placed(exc: BaseException, phase: str) -> Place:
    """Return where `exc` comes from, as the app of the current context knows it."""
    try:
        adoption = vars(active.context().app).get(STATE)
    except RuntimeError:
        adoption = None
    return (None, phase) if adoption is None else adoption.rules.place(traceback_of(exc), phase)


@contained
def _show_ended(exc: BaseException) -> None:
    """Show what ended a request, unless Flask has dealt with it.

    Then it is of a stream that outlives the request and keeps its context. What passes a context
    that a view has pushed may go no further than that view, nor what passes a thread's copy of one
    further than the thread.
    """
    asked = active.flask_request()
    current = None if asked is None else request.of(asked.environ)
    if current is not None and current.knows(exc):
        return
    if _within(_is_outermost):
        _show_on_its_way(exc)
    elif _within(_is_of_stream):
        _show(exc, phase="stream")
    elif current is None and not _within(_is_copy):
        _show(exc)


def _within(asked: Callable[[FrameType], bool]) -> bool:
    """Tell whether a frame around us is as asked."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and not asked(frame):
        frame = frame.f_back
    return frame is not None


def _is_outermost(frame: FrameType) -> bool:
    return frame.f_code is request.outermost.__code__


def _is_of_stream(frame: FrameType) -> bool:
    """Tell whether it is a body's, or the generator of `stream_with_context`."""
    code = frame.f_code
    return code is SENT or code is CLOSED or frame.f_globals is vars(flask.helpers)


def _is_copy(frame: FrameType) -> bool:
    """Tell whether it is what `copy_current_request_context` returns."""
    return frame.f_globals is vars(flask.ctx) and frame.f_code.co_name == "wrapper"


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


_FINISHING = "finalize_request"
# Frames that count for `stacklevel` and are never the caller: before 3.11 logging's own did.
_OF_LOGGING = 1 if sys.version_info >= (3, 11) else 2


class Swallowed(logging.Filter):
    """Sees what fails while Flask finishes an error's response: it logs that, and goes on."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass."""
        if record.exc_info and record.funcName == _FINISHING:
            _show_swallowed(record.exc_info[1])
        return True


_SWALLOWED = Swallowed()


def _exception(logger: logging.Logger, *args: Any, **kwargs: Any) -> None:
    """Do what `Logger.exception` does; here Flask tells what failed, whatever the log's level."""
    if sys._getframe(1).f_code.co_name == _FINISHING:
        _show_swallowed(sys.exc_info()[1])
    kwargs["stacklevel"] = max(kwargs.get("stacklevel", 1), _OF_LOGGING) + 1
    logging.Logger.exception(logger, *args, **kwargs)


@contained
def _listen(app: flask.Flask) -> None:
    """Listen to what Flask logs about its own error handling, from the first error on."""
    adoption = vars(app).get(STATE)
    if adoption is None:
        return  # released in the meantime
    logger = adoption.logger
    if logger is None:
        # That which `app.logger` is, or will be: asking the app for it would set it up.
        logger = adoption.logger = logging.getLogger(app.name)
    if "exception" in vars(logger) or _SWALLOWED in logger.filters:
        return
    if type(logger).exception is logging.Logger.exception:
        vars(logger)["exception"] = functools.partial(_exception, logger)
    else:
        # It may not take what a call further in must say. A filter sees what is logged at all.
        logger.addFilter(_SWALLOWED)


@contained
def unlisten(app: flask.Flask) -> None:
    """Undo that."""
    logger = logging.getLogger(app.name)
    logger.removeFilter(_SWALLOWED)
    ours = vars(logger).get("exception")
    if isinstance(ours, functools.partial) and ours.func is _exception:
        del vars(logger)["exception"]


@contained
def _show_swallowed(exc: BaseException | None) -> None:
    if exc is not None and _session_is_open():
        _show(exc)
