"""The server span of a request that nobody else began one for."""

from __future__ import annotations

import time
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from opentelemetry import context, propagate, trace
from opentelemetry.context import Context
from opentelemetry.instrumentation import asgi as otel_asgi
from opentelemetry.instrumentation import wsgi as otel_wsgi
from opentelemetry.trace import Span
from opentelemetry.util.http import get_excluded_urls

from everylayer import asgi, asgi_span, spans, wsgi, wsgi_span
from everylayer.failsafe import contained
from everylayer.http_span import opted_in, provider_configured

from . import config


class OwnSpan:
    """A server span that everylayer began and must end."""

    __slots__ = ("_token", "span")

    def __init__(self, span: Span, token: Any) -> None:
        self.span = span
        self._token = token

    @contained
    def leave(self, request: HttpRequest) -> None:
        """Make the context what it was before the request, whose route is known by now."""
        spans.detach(self._token)
        _name(self.span, request)

    @contained
    def answered(self, request: HttpRequest, response: HttpResponseBase) -> None:
        """Take what the instrumentations take from a response."""
        if getattr(request, "scope", None) is not None:
            otel_asgi.set_status_code(  # type: ignore[no-untyped-call]
                self.span, response.status_code, **opted_in()
            )
        else:
            status = f"{response.status_code} {response.reason_phrase}"
            headers = list(response.items())
            otel_wsgi.add_response_attributes(self.span, status, headers, **opted_in())

    @contained
    def end(self) -> None:
        """End the span, unless that has been done or is put off."""
        if not spans.ended(self.span):
            self.span.end()


@contained
def begin(request: HttpRequest) -> OwnSpan | None:
    """Begin the server span of `request`, None where one is active or nobody would see it."""
    if (
        trace.get_current_span() is not trace.INVALID_SPAN
        or not provider_configured()
        or not config.current().server_span
    ):
        return None
    # Before there is a span: the propagator is the user's, and may raise.
    scope = getattr(request, "scope", None)
    if scope is not None:
        parent = propagate.extract(scope, getter=otel_asgi.asgi_getter)
    else:
        parent = propagate.extract(request.META, getter=otel_wsgi.wsgi_getter)
    span = server_span(request, time.time_ns(), None, parent)
    if span is None:
        return None
    return OwnSpan(span, context.attach(trace.set_span_in_context(span, parent)))


def server_span(
    request: HttpRequest, start_ns: int, status: int | None, parent: Context | None = None
) -> Span | None:
    """Start the server span of `request`, also after the fact; None for one that is excluded."""
    if _excluded(request):
        return None
    scope = getattr(request, "scope", None)
    make: Any = wsgi_span.server_span if scope is None else asgi_span.server_span
    carrier = request.META if scope is None else scope
    span: Span | None = make(carrier, start_ns, status, parent)
    if span is not None:
        _name(span, request)
        # Within another app that everylayer watches: that one makes no second span.
        outer = carrier.get(wsgi.ENVIRON_KEY) or carrier.get(asgi.SCOPE_KEY)
        if outer is not None:
            outer.bind(span, inside=True)
    return span


def _name(span: Span, request: HttpRequest) -> None:
    route = getattr(getattr(request, "resolver_match", None), "route", None)
    if route:
        span.set_attribute("http.route", route)
        span.update_name(f"{request.method} {route}")


def _excluded(request: HttpRequest) -> bool:
    # Not `build_absolute_uri`: that validates the host, and may answer 400 for it.
    url = f"{request.scheme}://{request._get_raw_host()}{request.path}"  # type: ignore[attr-defined]
    return bool(get_excluded_urls("DJANGO").url_disabled(url))
