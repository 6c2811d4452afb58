"""What stock instrumentation leaves in a request, and what is borrowed from it."""

from __future__ import annotations

import functools
from types import FunctionType
from typing import Any

from opentelemetry.instrumentation import wsgi
from opentelemetry.trace import Span
from opentelemetry.util.http import ExcludeList, get_excluded_urls

from everylayer import spans
from everylayer.failsafe import contained
from everylayer.http_span import opted_in
from everylayer.wsgi_types import Environ

from . import active

# opentelemetry-instrumentation-flask keeps these to itself; the same names since 0.20.
SPAN = "opentelemetry-flask.span_key"
_ACTIVATION = "opentelemetry-flask.activation_key"
_TOKEN = "opentelemetry-flask.token"
_CONTEXT_REF = "opentelemetry-flask.reqctx_ref_key"


def is_stock(layer: Any) -> bool:
    """Tell whether `layer` is none of the app's, but stock's way into it."""
    return isinstance(layer, FunctionType) and layer.__module__.startswith("opentelemetry.")


def starts_span(layer: Any) -> bool:
    """Tell whether a request that comes through `layer` gets its server span from it."""
    return is_stock(layer) or isinstance(layer, wsgi.OpenTelemetryMiddleware)


@contained
def leave(environ: Environ) -> None:
    """Do what stock's teardown function does, where a failing one before it kept it from running.

    Its span would never end, and its context would adopt the next request of the thread. A copy of
    Flask's context, as a thread works in, is not the one to leave: the request goes on without it.
    """
    ref = environ.get(_CONTEXT_REF)
    if ref is not None and ref() is not active.context():
        return
    activation, token = environ.pop(_ACTIVATION, None), environ.pop(_TOKEN, None)
    if activation is not None:
        activation.__exit__(None, None, None)
    if token is not None:
        spans.detach(token)


@functools.cache
def excluded_urls() -> ExcludeList:
    """Return the patterns of URLs that get no span."""
    return get_excluded_urls("FLASK")


def excluded(environ: Environ) -> bool:
    """Tell whether `OTEL_PYTHON_FLASK_EXCLUDED_URLS` leaves this request without a span."""
    return excluded_urls().url_disabled(_url(environ))


def _url(environ: Environ) -> str:
    scheme, host = environ.get("wsgi.url_scheme", "http"), environ.get("HTTP_HOST", "")
    return f"{scheme}://{host}{environ.get('SCRIPT_NAME', '')}{environ.get('PATH_INFO', '')}"


def add_response(span: Span, status: str, headers: Any) -> None:
    """Put the response's status on `span`."""
    wsgi.add_response_attributes(span, status, headers, **opted_in())


def name_route(span: Span, environ: Environ, route: str | None) -> None:
    """Name a server span of ours after the route, as stock does."""
    if route is not None:
        method = environ.get("REQUEST_METHOD", "HTTP")
        span.update_name(f"{method} {route}")
        span.set_attribute("http.route", route)
