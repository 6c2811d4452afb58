"""Neutral ASGI seams: around a whole app, and between two layers.

Source: asgi.readthedocs.io/en/latest/specs/www.html
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind

from .chain import drop_frame, traceback_of
from .failsafe import contained
from .layers import Layer, LayerMap
from .ledger import Ledger
from .observer import observe
from .settings import Settings
from .text import clean

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]
ClientStatus = Callable[[BaseException], "int | None"]

SCOPE_KEY = "everylayer"
# What tells the outcome, and the status that it stands for where it names none.
_STATUSES = {
    "http.response.start": 200,
    "websocket.accept": 101,
    "websocket.http.response.start": 403,
    "websocket.close": 403,  # Before the handshake; after it the 101 stays.
    "lifespan.startup.failed": 500,
    "lifespan.shutdown.failed": 500,
}


def no_client_status(exc: BaseException) -> int | None:
    """Give no exception a client status: plain ASGI knows none."""
    return None


class Probe:
    """Shows what crosses it to the request's ledger, and passes everything on unchanged.

    Args:
        app: the layer that it stands around.
        layer: what to call it; None lets the traceback tell.
        client_status: status that the framework gives an exception.
    """

    __slots__ = ("__weakref__", "app", "client_status", "layer")

    def __init__(
        self,
        app: ASGIApp,
        layer: Layer | None = None,
        client_status: ClientStatus = no_client_status,
    ) -> None:
        self.app = app
        self.layer = layer
        self.client_status = client_status

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self.app(scope, receive, send)
        except BaseException as exc:
            see(exc, scope, self.layer, self.client_status)
            drop_frame(exc)
            raise


class Seam:
    """The outermost seam: one ledger a request, from its first layer to its last message.

    Within another one it is a probe. Sending a response while an exception is being handled shows
    who swallowed it: `sys.exc_info()` in `send` is the error of the `except` block around it.

    Args:
        app: the application, or its outermost layer.
        settings: the rules in force.
        layers: names layers from tracebacks.
        layer: what to call the app itself where nothing better is known.
        client_status: status that the framework gives an exception.
    """

    __slots__ = ("__weakref__", "app", "client_status", "layer", "layers", "settings")

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        layers: LayerMap | None = None,
        layer: Layer | None = None,
        client_status: ClientStatus = no_client_status,
    ) -> None:
        self.app = app
        self.settings = settings
        self.layers = layers
        self.layer = layer
        self.client_status = client_status

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        outer = scope.get(SCOPE_KEY)
        if outer is not None and outer.running:
            try:
                await self.app(scope, receive, send)
            except BaseException as exc:
                see(exc, scope, self.layer, self.client_status)
                drop_frame(exc)
                raise
            return
        ledger = Ledger(self.settings, self.layers)
        ledger.enter()
        scope[SCOPE_KEY] = ledger
        escaped: BaseException | None = None
        try:
            await self.app(scope, receive, watch_send(send, ledger, self.layer, self.client_status))
        except BaseException as exc:
            see(exc, scope, self.layer, self.client_status)
            drop_frame(exc)
            escaped = exc
            raise
        finally:
            close(ledger, scope, escaped)
            del escaped


def see(
    exc: BaseException,
    scope: Scope,
    layer: Layer | None,
    client_status: ClientStatus,
    phase: str = "call",
) -> None:
    """Show `exc` to the ledger of the request whose `scope` this is."""
    observe(
        exc,
        layer,
        phase,
        ledger=scope.get(SCOPE_KEY),
        client_status=_status_of(exc, client_status),
    )


def watch_send(
    send: Send,
    ledger: Ledger,
    layer: Layer | None = None,
    client_status: ClientStatus = no_client_status,
    *,
    outermost: bool = True,
) -> Send:
    """Return `send`, which tells `ledger` of the response's start and of what it hides.

    Args:
        send: the server's, or the outer layer's.
        ledger: the request's.
        layer: who gets the blame where the traceback names nobody.
        client_status: status that the framework gives an exception.
        outermost: what passes here is the final response.
    """
    before = sys.exc_info()[1]

    # No coroutine of its own: half the cost, and no frame in what the server raises.
    def watched(message: Message) -> Awaitable[None]:
        try:
            implied = _STATUSES.get(message["type"])
        except (KeyError, TypeError):
            implied = None  # The server will refuse it, in its own words.
        if implied is not None:
            status = message.get("status")
            if not isinstance(status, int):
                status = implied
            exc = sys.exc_info()[1]
            if exc is not None and exc is not before:
                _see_hidden(exc, status, ledger, layer, client_status)
                if outermost and ledger.status is None and status < 500:
                    ledger.answered(exc, status)
            if outermost and ledger.status is None:
                ledger.responded(status)
        return send(message)

    return watched


@contained
def _see_hidden(
    exc: BaseException,
    status: int,
    ledger: Ledger,
    layer: Layer | None,
    client_status: ClientStatus,
) -> None:
    """Show an error that is being handled while a response starts.

    What a layer raised and dealt with by itself is none, unless it answers with a refusal.
    """
    known = _status_of(exc, client_status)
    if status >= 400 or known is not None or _crossed_a_layer(exc):
        observe(exc, layer, "call", ledger=ledger, client_status=known)


def _crossed_a_layer(exc: BaseException) -> bool:
    caught_in = traceback_of(exc)
    tb = caught_in and caught_in.tb_next
    while tb is not None:
        code = tb.tb_frame.f_code
        if code.co_varnames[: code.co_argcount][-3:] == ("scope", "receive", "send"):
            return True
        tb = tb.tb_next
    return False


@contained
def _status_of(exc: BaseException, client_status: ClientStatus) -> int | None:
    return client_status(exc)


def close(ledger: Ledger, scope: Scope, escaped: BaseException | None = None) -> None:
    """Close `ledger`; the request's server span is made afterwards where there was none."""
    if ledger.errors:
        ledger.close(escaped, lambda status: server_span(scope, ledger.start_ns, status))
    else:
        ledger.close()


def server_span(scope: Scope, start_ns: int, status: int | None) -> Span | None:
    """Start the server span of a request after the fact, as the ASGI instrumentation would have.

    Args:
        scope: the request's; a lifespan scope gets a span of kind INTERNAL.
        start_ns: when the request began, nanoseconds since the epoch.
        status: of the response, None where there was none.

    Returns:
        A started span in the trace that the request's headers name; None without a provider.
    """
    if not provider_configured():
        return None
    tracer = trace.get_tracer("everylayer")
    if scope["type"] == "lifespan":
        return tracer.start_span("lifespan", start_time=start_ns)
    # The instrumentation raises on a query that is no UTF-8.
    query = scope.get("query_string", b"").decode("utf-8", "backslashreplace").encode()
    request = {**scope, "query_string": query}
    span = tracer.start_span(
        clean(_name(request) or "HTTP"),
        context=_parent(request),
        kind=SpanKind.SERVER,
        start_time=start_ns,
        attributes=_attributes(request),
    )
    if status is not None:
        span.set_attribute("http.status_code", status)
    return span


# The instrumentation is a dependency of the framework packages; the core alone does without.


@contained
def _name(scope: Scope) -> str:
    from opentelemetry.instrumentation import asgi

    return asgi.get_default_span_details(dict(scope))[0]


@contained
def _parent(scope: Scope) -> Context:
    from opentelemetry.instrumentation import asgi

    return propagate.extract(dict(scope), getter=asgi.asgi_getter)


@contained
def _attributes(scope: Scope) -> dict[str, Any]:
    from opentelemetry.instrumentation import asgi

    found: dict[str, Any] = asgi.collect_request_attributes(scope)  # type: ignore[no-untyped-call]
    return found


def provider_configured() -> bool:
    """Tell whether the process has a tracer provider, so that a span goes anywhere."""
    provider = trace.get_tracer_provider()
    return not isinstance(provider, (trace.ProxyTracerProvider, trace.NoOpTracerProvider))
