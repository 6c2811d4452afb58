"""Stock's Django middleware, kept from failing the request and from leaking its span.

It ends its span and leaves its context in `process_response` alone, so whatever passes it as an
exception leaks both into the next request of the thread. And what it does on its own account
(building the URL, which validates the host; resolving the path) can fail where the app would not.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import FrameType
from typing import Any

from django.conf import settings
from django.http import HttpRequest

from everylayer import spans
from everylayer.chain import drop_frame, traceback_of
from everylayer.failsafe import contained
from everylayer.ledger import Ledger

from .locate import OWN, STOCK
from .requests import MARK, SPAN, STOCK_SPAN, hold, see

_INSIDE = "_everylayer_inside"
_URL = "build_absolute_uri"
_PREFIX = "opentelemetry-instrumentor-django."
_logger = logging.getLogger("everylayer")

Original = Callable[..., Any]


def call(original: Original) -> Original:
    """Stock's way around the request, closed on every way out."""

    def call(self: Any, request: HttpRequest) -> Any:
        try:
            self.process_request(request)
        except Exception as exc:  # noqa: BLE001 - stock's, not the app's
            _failed(self, request, exc)
        span = request.META.get(STOCK_SPAN)
        if span is None:
            try:
                return self.get_response(request)
            except BaseException as exc:
                drop_frame(exc)
                raise
        vars(request)[SPAN] = span
        try:
            response = self.get_response(request)
        except BaseException as exc:
            see(request, exc)
            _abandon(self, request)
            drop_frame(exc)
            raise
        inside = self.__dict__.get(_INSIDE)
        if inside or (inside is None and _is_inside(self)) or getattr(response, "streaming", False):
            hold(request, span)
        url = _spare_url(self, request)
        try:
            return self.process_response(request, response)
        except Exception as exc:  # noqa: BLE001 - stock's, not the app's
            _failed(self, request, exc)
            return response
        finally:
            if url is not None:
                _give_back(request, url)

    return call


def process_view(original: Original) -> Original:
    """A hook that has nothing to do where stock began no span, but may fail there."""

    def process_view(self: Any, request: HttpRequest, *args: Any) -> Any:
        if STOCK_SPAN not in request.META:
            return None
        url = _spare_url(self, request)
        try:
            return original(self, request, *args)
        finally:
            if url is not None:
                _give_back(request, url)

    return process_view


def process_exception(original: Original) -> Original:
    """Stock's note of a view's error, which it would file as an ERROR whatever the response."""

    def process_exception(self: Any, request: HttpRequest, exception: BaseException) -> None:
        ledger = vars(request).get(MARK)
        seen = isinstance(ledger, Ledger) and ledger.knows(exception)
        if not seen and STOCK_SPAN in request.META:
            original(self, request, exception)

    return process_exception


def span_name(original: Original) -> Original:
    """Stock's name for a span: it resolves the path, where a converter of the app may fail."""

    def _get_span_name(request: HttpRequest) -> Any:
        try:
            return original(request)
        except Exception:  # noqa: BLE001 - Django resolves the path again, and reports it
            return request.method

    return _get_span_name


def _spare_url(middleware: Any, request: HttpRequest) -> Callable[..., str] | None:
    """Keep the next hook of stock's from building the URL, to ask whether it is excluded.

    Where stock has begun a span it is not; and building it takes 4 % of a request, at each hook.

    Returns:
        What stands in for the request's method, until it is asked.
    """
    state = vars(request)
    excluded = getattr(middleware, "_excluded_urls", None)
    if _URL in state or excluded is None or excluded.url_disabled(""):
        return None

    def once(location: str | None = None) -> str:
        del state[_URL]
        return "" if location == "?" else request.build_absolute_uri(location)

    state[_URL] = once
    return once


def _give_back(request: HttpRequest, url: Callable[..., str]) -> None:
    if vars(request).get(_URL) is url:
        del vars(request)[_URL]


def _is_inside(middleware: Any) -> bool:
    """Tell whether layers of the app stand around stock, so that errors come after its span."""
    outermost = next((path for path in settings.MIDDLEWARE if not path.startswith(OWN)), STOCK)
    inside = not outermost.startswith(STOCK)
    vars(middleware)[_INSIDE] = inside
    return inside


@contained
def _failed(middleware: Any, request: HttpRequest, exc: BaseException) -> None:
    _logger.debug("opentelemetry-instrumentation-django failed, the request goes on", exc_info=exc)
    tb = traceback_of(exc).tb_next
    # What it had begun is in the frame that failed: it files it only at its end.
    _abandon(middleware, request, tb.tb_frame if tb else None)


@contained
def _abandon(middleware: Any, request: HttpRequest, frame: FrameType | None = None) -> None:
    """Do what stock does after a request, as far as it had come."""
    meta, begun = request.META, frame.f_locals if frame else {}
    activation = meta.pop(_PREFIX + "activation_key", None) or begun.get("activation")
    span = meta.pop(STOCK_SPAN, None) or begun.get("span")
    token = meta.pop(_PREFIX + "token", None) or begun.get("token")
    counted = meta.pop(_PREFIX + "active_request_attr_key", None)
    for key in ("duration_attr_key", "timer_key", "exception_key"):
        meta.pop(_PREFIX + key, None)
    if activation is not None:
        activation.__exit__(None, None, None)
    if span is not None and not spans.ended(span):
        span.end()
    if token is not None:
        spans.detach(token)
    if counted is not None:
        middleware._active_request_counter.add(-1, counted)
