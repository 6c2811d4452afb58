"""What an adopted app does besides what its own class does.

Only `__call__`, `process_response` and the two teardowns stand on the way of a request that works.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable
from operator import attrgetter
from types import FrameType
from typing import Any

import flask
from everylayer.chain import drop_frame, traceback_of
from everylayer.failsafe import contained
from everylayer.wsgi import Environ, StartResponse

from . import request, stock
from .naming import client_status
from .request import KEY, Body, Request, serve

STATE = "_everylayer"


class Choke:
    """A method that Flask calls only when something failed: it shows the error, then goes on.

    A data descriptor, so that it stays in front of what an extension puts on the app itself.
    """

    __slots__ = ("_name",)

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, app: Any, cls: Any) -> Any:
        if app is None:
            return getattr(super(Seams, cls), self._name)
        own = vars(app).get(self._name)
        return functools.partial(_choked, own or getattr(super(Seams, app), self._name))

    def __set__(self, app: Any, value: Any) -> None:
        vars(app)[self._name] = value

    def __delete__(self, app: Any) -> None:
        if vars(app).pop(self._name, None) is None:
            raise AttributeError(self._name)


def _choked(method: Callable[..., Any], *args: Any) -> Any:
    # The exception comes last in every version of Flask.
    exc = args[-1]
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


class Seams:
    """Stands before the app's own class, in a class made for that app."""

    _everylayer: Any

    handle_user_exception = Choke()
    handle_exception = Choke()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        known = environ.get(KEY)
        try:
            if known is None or known.settled:
                known = None
                return serve(self._everylayer.rules, super().__call__, environ, start_response)  # type: ignore[misc]
            known.inner = self._everylayer.rules
            return super().__call__(environ, start_response)  # type: ignore[misc,no-any-return]
        except BaseException as exc:
            if known is not None:
                known.see(exc)
            drop_frame(exc)
            raise

    def _set_wsgi_app(self, layer: Any) -> None:
        self._everylayer.wrap(layer)

    def _reset_wsgi_app(self) -> None:
        self._everylayer.unwrap()

    # A getter in C: Flask reads this on each request.
    wsgi_app = property(attrgetter("_everylayer.chain"), _set_wsgi_app, _reset_wsgi_app)

    def process_response(self, *args: Any) -> Any:
        try:
            response = super().process_response(*args)  # type: ignore[misc]
        except BaseException as exc:
            if _session_is_open():
                _show(exc)
            drop_frame(exc)
            raise
        if type(getattr(response, "response", None)) is not list:
            _watch_stream(response)
        return response

    def do_teardown_request(self, *args: Any) -> None:
        _show_before_stock_leaves(args[-1] if args else None)
        try:
            super().do_teardown_request(*args)  # type: ignore[misc]
        except BaseException as exc:
            _show(exc)
            stock.leave(flask.request.environ)
            drop_frame(exc)
            raise

    def do_teardown_appcontext(self, *args: Any) -> None:
        try:
            super().do_teardown_appcontext(*args)  # type: ignore[misc]
        except BaseException as exc:
            _show(exc)
            drop_frame(exc)
            raise


def _session_is_open() -> bool:
    """Tell whether there is a session to save.

    Where opening it failed, Flask tries to save none at all, and logs that this fails too.
    """
    about = vars(flask.globals.request_ctx._get_current_object())
    return about.get("_session", about.get("session")) is not None


def _here() -> Request | None:
    if flask.has_request_context():
        return request.of(flask.request.environ)
    return request.around()


@contained
def _show(exc: BaseException, status: int | None = None, *, answered: bool = False) -> None:
    """Show `exc` to the request; Flask has `answered` it with its own `status`."""
    current = _here()
    if current is None:
        return
    if flask.has_request_context():
        rule = flask.request.url_rule
        current.environ = flask.request.environ
        current.route = rule.rule if rule is not None else None
    # What fails after a 404 is not its doing.
    if not (answered and current.ignores(exc, status)):
        current.see(exc, client_status=status)


def _show_before_stock_leaves(exc: BaseException | None) -> None:
    """Show what passes Flask on its way out: stock ends its span in what follows."""
    if exc is None:
        exc = sys.exc_info()[1]
        if exc is None or not _passes_through(exc, sys._getframe(1)):
            return
    _show(exc)


@contained
def _passes_through(exc: BaseException, frame: FrameType | None) -> bool:
    """Tell whether `exc` is on its way through the `wsgi_app` around `frame`.

    It may as well be one that a caller is dealing with.
    """
    tb = traceback_of(exc)
    while frame is not None and frame.f_code is not flask.Flask.wsgi_app.__code__:
        frame = frame.f_back
    return tb is not None and frame is not None and tb.tb_frame is frame


@contained
def _watch_stream(response: Any) -> None:
    """Stand between a streamed response and what produces it."""
    body = getattr(response, "response", None)
    current = _here()
    if current is None or body is None or isinstance(body, (tuple, str, bytes, Body)):
        return
    current.streams = True
    if not response.direct_passthrough:
        response.response = Body(body, current, outermost=False)
