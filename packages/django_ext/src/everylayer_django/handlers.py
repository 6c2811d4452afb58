"""What replaces parts of Django: each seam shows what it saw and hands everything on unchanged."""

from __future__ import annotations

import functools
from collections.abc import Callable
from time import time_ns
from typing import Any, cast

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from opentelemetry import trace

from everylayer import asgi, asgi_span, chain, here, wsgi, wsgi_span
from everylayer.boundaries import aftermath
from everylayer.chain import drop_frame, traceback_of
from everylayer.failsafe import contained
from everylayer.ledger import Ledger
from everylayer.observer import observe
from everylayer.settings import Settings
from everylayer.sinks.served import count

from . import config, handled, streams, tenants
from .locate import STOCK, frames, locate
from .requests import (
    MARK,
    SPAN,
    RequestLedger,
    client_status,
    hold,
    late,
    see,
    settle,
    tell,
    uncaught,
)
from .server_span import OwnSpan, begin

_ALONE = "_everylayer_alone"

Original = Callable[..., Any]


def load_middleware(original: Original) -> Original:
    """Read the settings when the chain is built, so that bad ones fail at start-up."""

    def load_middleware(self: Any, is_async: bool = False) -> None:
        config.load()
        original(self, is_async)
        handled.watch()
        if config.current().tenant != "off":
            tenants.surround(self, config.current())

    return load_middleware


def get_response(original: Original) -> Original:
    """The way through all middleware: the request's outermost seam."""

    def get_response(self: Any, request: HttpRequest) -> Any:
        state = request.__dict__
        state[MARK] = time_ns()
        count()
        own = _begin(self, request) if self.__dict__.get(_ALONE, True) else None
        try:
            response = original(self, request)
        except BaseException as exc:
            _escaped(request, exc, own)
            drop_frame(exc)
            raise
        if own or state[MARK].__class__ is not int or getattr(response, "streaming", False):
            _answered(request, response, own)
        return response

    here.told_by(get_response, _rules)
    return get_response


def get_response_async(original: Original) -> Original:
    """The same for ASGI."""

    async def get_response_async(self: Any, request: HttpRequest) -> Any:
        state = request.__dict__
        state[MARK] = time_ns()
        count()
        own = _begin(self, request) if self.__dict__.get(_ALONE, True) else None
        try:
            response = await original(self, request)
        except BaseException as exc:
            _escaped(request, exc, own)
            drop_frame(exc)
            raise
        if own or state[MARK].__class__ is not int or getattr(response, "streaming", False):
            _answered(request, response, own)
        return response

    here.told_by(get_response_async, _rules)
    return get_response_async


def response_for_exception(original: Original) -> Original:
    """Where every layer's exception becomes a response; fails where an error handler does."""

    def response_for_exception(request: HttpRequest, exc: BaseException) -> Any:
        see(request, exc)
        try:
            return original(request, exc)
        except BaseException as second:
            see(request, second)
            drop_frame(second)
            raise

    return response_for_exception


def handle_uncaught_exception(original: Original) -> Original:
    """Where the failure of a 4xx handler becomes a 500."""

    def handle_uncaught_exception(request: HttpRequest, resolver: Any, exc_info: Any) -> Any:
        uncaught(request, exc_info[1])
        try:
            return original(request, resolver, exc_info)
        except BaseException as exc:
            drop_frame(exc)
            raise

    return handle_uncaught_exception


def process_exception_by_middleware(original: Original) -> Original:
    """Where a view's exception meets the hooks that may answer for it, or fail."""

    def process_exception_by_middleware(
        self: Any, exception: BaseException, request: HttpRequest
    ) -> Any:
        see(request, exception)
        try:
            return original(self, exception, request)
        except BaseException as second:
            see(request, second)
            drop_frame(second)
            raise
        finally:
            # Seen already; stock would file it again, as an ERROR whatever the response.
            request.META.pop("opentelemetry-instrumentor-django.exception_key", None)

    return process_exception_by_middleware


def create_request(original: Original) -> Original:
    """Where ASGI requests that cannot be read end, with a response but no middleware."""

    def create_request(self: Any, scope: Any, body_file: Any) -> Any:
        request, response = original(self, scope, body_file)
        if request is None:
            _unreadable(self, scope, body_file, response)
        return request, response

    return create_request


def call_wsgi(original: Original) -> Original:
    """Around the WSGI handler: `request_started`, the headers, the server's `start_response`."""

    def call(self: Any, environ: Any, start_response: Any) -> Any:
        start_ns = time_ns()
        try:
            return original(self, environ, start_response)
        except BaseException as exc:
            make_span = functools.partial(wsgi_span.server_span, environ, start_ns)
            _outside(exc, make_span, start_ns, environ.get(wsgi.ENVIRON_KEY))
            drop_frame(exc)
            raise

    return call


def call_asgi(original: Original) -> Original:
    """The same around the ASGI handler."""

    async def call(self: Any, scope: Any, receive: Any, send: Any) -> None:
        start_ns = time_ns()
        try:
            await original(self, scope, receive, send)
        except BaseException as exc:
            # Refusing the lifespan protocol is how Django says that it has no use for it.
            if scope["type"] != "lifespan":
                make_span = functools.partial(asgi_span.server_span, scope, start_ns)
                _outside(exc, make_span, start_ns, scope.get(asgi.SCOPE_KEY))
            drop_frame(exc)
            raise

    return call


def close(original: Original) -> Original:
    """Where a response lets go of its resources and `request_finished` is sent."""

    def close(self: Any) -> None:
        closers = tuple(self._resource_closers)
        if getattr(self, "streaming", False):
            streams.given_up(self)
        try:
            for closer in self._resource_closers:
                try:
                    closer()
                except Exception as exc:  # noqa: BLE001 - Django drops it; so do we
                    _late(closers, exc, escapes=False)
            self._resource_closers.clear()
            original(self)
        except BaseException as exc:
            _late(closers, exc, escapes=True)
            drop_frame(exc)
            raise

    return close


def _rules(_: Any) -> Settings:
    return config.current()


def _begin(handler: Any, request: HttpRequest) -> OwnSpan | None:
    state = vars(handler)
    if _ALONE not in state:
        state[_ALONE] = not any(path.startswith(STOCK) for path in settings.MIDDLEWARE)
    own = begin(request) if state[_ALONE] else None
    if own is not None:
        vars(request)[SPAN] = own.span
    return own


@contained
def _answered(request: HttpRequest, response: HttpResponseBase, own: OwnSpan | None) -> None:
    tell(request, response)
    streaming = bool(getattr(response, "streaming", False)) and streams.watch(request, response)
    if own is not None:
        own.leave(request)
        own.answered(request, response)
        if streaming:
            hold(request, own.span)
    if not streaming and type(vars(request)[MARK]) is not int:
        settle(request, response.status_code)
    if own is not None:
        own.end()


@contained
def _escaped(request: HttpRequest, exc: BaseException, own: OwnSpan | None) -> None:
    see(request, exc)
    if own is not None:
        own.leave(request)
    aftermath.tell(exc, _over, request, exc, own)


def _over(request: HttpRequest, exc: BaseException, own: OwnSpan | None) -> None:
    settle(request, None, exc)
    if own is not None:
        own.end()


@contained
def _outside(exc: BaseException, make_span: Any, start_ns: int, outer: Ledger | None) -> None:
    request = _request_of(exc)
    if request is not None:
        late(request, exc, escapes=True)
        return
    place = locate(traceback_of(exc))
    if outer is not None:
        observe(exc, *place, ledger=outer)
        return
    ledger = RequestLedger(start_ns)
    ledger.bind(trace.get_current_span())
    observe(exc, *place, ledger=ledger)
    ledger.close(exc, make_span)


def _request_of(exc: BaseException) -> HttpRequest | None:
    """Return the request, from the frames of Django that made it, where it got as far as that."""
    for seen in (exc, *chain.ancestors(exc)):
        for frame in frames(traceback_of(seen)):
            found = frame.f_locals.get("request")
            if issubclass(type(found), HttpRequest) and MARK in vars(found):
                return cast(HttpRequest, found)
    return None


@contained
def _late(closers: tuple[Any, ...], exc: BaseException, *, escapes: bool) -> None:
    # Django's own closer, which it adds to every response, belongs to the request.
    for closer in reversed(closers):
        request = getattr(closer, "__self__", None)
        if isinstance(request, HttpRequest):
            late(request, exc, escapes=escapes)
            return


@contained
def _unreadable(handler: Any, scope: Any, body_file: Any, response: HttpResponseBase) -> None:
    """Find out why, by making the request once more: Django keeps the error to itself."""
    ledger = RequestLedger()
    ledger.bind(trace.get_current_span())
    try:
        handler.request_class(scope, body_file)
    except Exception as exc:  # noqa: BLE001 - whatever Django turned into `response`
        status = response.status_code if client_status(exc) else None
        place = locate(traceback_of(exc))
        observe(exc, *place, ledger=ledger, client_status=status)
    ledger.status = response.status_code
    # The instrumentation reads the query string, and fails for the same reason.
    readable = {**scope, "query_string": b""}
    ledger.close(None, lambda status: asgi_span.server_span(readable, ledger.start_ns, status))
