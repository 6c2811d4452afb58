"""The server span of an ASGI request that nobody else begins one for.

It is made and ended as opentelemetry-instrumentation-asgi makes and ends its own, with that
package's functions, but without its spans for single messages; and no request, however malformed,
can make it raise. That package is a dependency of the framework packages: the core does without.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from opentelemetry import context, propagate, trace
from opentelemetry.context import Context
from opentelemetry.instrumentation.utils import is_http_instrumentation_enabled
from opentelemetry.trace import INVALID_SPAN, Span

from . import spans
from .asgi_types import Message, Scope, Send
from .failsafe import contained
from .http_span import opted_in, provider_configured, start, wanted
from .ledger import Ledger
from .policy import is_departure
from .text import clean, clean_values


class OwnSpan:
    """A server span that everylayer began, and must end.

    Under ASGI it hears of the response through its `send`. A framework whose responses are no
    messages tells it by `answered`, then lets it `leave`, and `end`.
    """

    __slots__ = ("_begun", "_scope", "_send", "_span", "_token")

    def __init__(self, span: Span, scope: Scope, send: Send | None, token: Any) -> None:
        self._span = span
        self._scope = scope
        self._send = send
        self._token = token
        self._begun = False

    async def send(self, message: Message) -> None:
        """Pass `message` on; the span ends with the last one of the response."""
        kind = message.get("type")
        # A layer may try to answer once more for what failed later: the client has the first one.
        if kind in ("http.response.start", "websocket.accept") and not self._begun:
            self._begun = True
            self.answered(message.get("status"))
        assert self._send is not None
        await self._send(message)
        if kind == "websocket.close" or (
            kind == "http.response.body" and not message.get("more_body")
        ):
            self.end()

    @contained
    def leave(self) -> None:
        """Make the context what it was before the request."""
        spans.detach(self._token)

    @contained
    def end(self) -> None:
        """End the span, unless that has been done."""
        if not spans.ended(self._span):
            self._span.end()

    @contained
    def answered(self, status: int | None) -> None:
        """Take the status of the response, and the route: `scope["route"].path`, if it has one."""
        from opentelemetry.instrumentation import asgi

        # Starlette keeps the route that it took, Litestar its path.
        route = getattr(self._scope.get("route"), "path", self._scope.get("path_template"))
        if isinstance(route, str):
            route = clean(f"{self._scope.get('root_path', '')}{route}")
            self._span.set_attribute("http.route", route)
            self._span.update_name(f"{self._scope.get('method', 'HTTP')} {route}")
        answered = sys.exc_info()[1]
        # Nobody reads the 500 that answers a client's departure.
        if status is not None and not (answered is not None and is_departure(answered)):
            asgi.set_status_code(  # type: ignore[no-untyped-call]
                self._span, status, **opted_in()
            )


def begin(
    scope: Scope, send: Send | None, ledger: Ledger, alone: Callable[[], bool]
) -> OwnSpan | None:
    """Begin the server span of a request, None where a span is active or nobody would see one.

    Args:
        scope: the request's; of a framework that is none of ASGI's, what stands for one: `type`,
            `method`, `scheme`, `path`, `query_string`, `http_version`, `headers`, `server`,
            `client`.
        send: the next one outwards; None where the framework sends no messages.
        ledger: the request's; it is told of the span.
        alone: tells whether nothing inside starts a server span.
    """
    if trace.get_current_span() is not INVALID_SPAN or scope["type"] == "lifespan":
        return None
    return _begin(scope, send, ledger, alone)


@contained
def _begin(
    scope: Scope, send: Send | None, ledger: Ledger, alone: Callable[[], bool]
) -> OwnSpan | None:
    rules = ledger.settings
    # Switched off, nobody has looked whether anything inside starts one.
    if not (rules.enabled and rules.server_span and provider_configured() and alone()):
        return None
    if not is_http_instrumentation_enabled():
        return None
    parent = request_context(scope)
    span = _start(scope, parent, ledger.start_ns, None)
    ledger.bind(span, inside=True)
    token = context.attach(trace.set_span_in_context(span, parent))
    return OwnSpan(span, scope, send, token)


def server_span(
    scope: Scope, start_ns: int, status: int | None, parent: Context | None = None
) -> Span | None:
    """Start the server span of a request after the fact, as the ASGI instrumentation would have.

    Args:
        scope: the request's; a lifespan scope gets a span of kind INTERNAL.
        start_ns: when the request began, nanoseconds since the epoch.
        status: of the response, None where there was none.
        parent: what the headers carry, where that has been read already.

    Returns:
        A started span in the trace that the request's headers name; None without a provider, and
        where instrumentation is suppressed.
    """
    if not wanted():
        return None
    if scope["type"] == "lifespan":
        return trace.get_tracer("everylayer").start_span("lifespan", start_time=start_ns)
    if parent is None:
        parent = request_context(scope)
    return _start(scope, parent, start_ns, status)


def _start(scope: Scope, parent: Context | None, start_ns: int, status: int | None) -> Span:
    # The instrumentation raises on a query that is no UTF-8. Django's test client gives text.
    query = scope.get("query_string", b"")
    if isinstance(query, bytes):
        query = query.decode("utf-8", "backslashreplace").encode()
    request = {**scope, "query_string": query}
    return start(_name(request), parent, _attributes(request), start_ns, status)


@contained
def _name(scope: Scope) -> str:
    from opentelemetry.instrumentation import asgi

    return asgi.get_default_span_details(dict(scope))[0]


@contained
def request_context(scope: Scope) -> Context:
    """Return the context that the request's headers carry."""
    from opentelemetry.instrumentation import asgi

    return propagate.extract(dict(scope), getter=asgi.asgi_getter)


@contained
def _attributes(scope: Scope) -> dict[str, Any]:
    from opentelemetry.instrumentation import asgi

    found: dict[str, Any] = asgi.collect_request_attributes(  # type: ignore[no-untyped-call]
        scope, **opted_in()
    )
    return clean_values(found)
