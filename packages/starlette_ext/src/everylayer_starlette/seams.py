"""The seams of one app: a probe between two layers, and before its exception handlers."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, MutableMapping
from types import FrameType
from typing import TYPE_CHECKING, Any

from starlette._utils import is_async_callable
from starlette.requests import ClientDisconnect

from everylayer.asgi import SCOPE_KEY, InnerWatch, between, close, right_inside
from everylayer.asgi_types import ASGIApp, Receive, Scope, Send
from everylayer.boundaries import arrival
from everylayer.chain import MAX_LINKS, drop_frame, linked, raised_in, traceback_of
from everylayer.failsafe import contained
from everylayer.ledger import Ledger
from everylayer.observer import observe
from everylayer.settings import Settings

from .naming import AppLayers, client_status
from .outermost import OUTERMOST, ledger_below

if TYPE_CHECKING:
    from everylayer.boundaries.tenant_source import Policy

# Where Starlette looks for the handler of an exception.
_HANDLING = "starlette._exception_handler"


class Claim:
    """One app whose errors are wanted.

    Attributes:
        settings: the rules in force for it.
        layers: names its layers from tracebacks.
        explicit: it holds the middleware; otherwise it is one of all apps of the process.
        binds: the request's span begins outside the app, so the app's own seam can see it.
        building: its chain is being built.
        starts_inside: a layer found within it starts a server span.
        tenants: how those of its requests are found, None where nobody asks.
        undo: takes back what was changed within the app, newest last.
    """

    __slots__ = (
        "binds",
        "building",
        "explicit",
        "layers",
        "settings",
        "starts_inside",
        "tenants",
        "undo",
    )

    def __init__(
        self, settings: Settings, *, explicit: bool = False, layers: AppLayers | None = None
    ) -> None:
        self.settings = settings
        self.layers = layers or AppLayers()
        self.explicit = explicit
        self.binds = True
        self.building = False
        self.starts_inside = False
        self.undo: list[Callable[[], None]] = []
        self.tenants: Policy | None = None
        if settings.tenant != "off":
            from . import tenants

            self.tenants = tenants.policy_of(settings)


@contained
def see(
    exc: BaseException, scope: MutableMapping[str, Any], claim: Claim, phase: str = "call"
) -> None:
    """Show `exc` to the request's ledger, else to that of the current span."""
    ledger = scope.get(SCOPE_KEY) or ledger_below()
    if ledger is None:
        layer = claim.layers.locate(traceback_of(exc))
        observe(exc, layer, phase, client_status=client_status(exc))
    elif not ledger.again(exc):
        for each in (*_converted(exc), exc):
            observe(each, None, phase, ledger=ledger, client_status=client_status(each))
        if type(exc) is ClientDisconnect:
            _, context, _ = linked(exc)
            if context is not None and _of_body(context):
                ledger.see(context, phase="stream", handled=False)
        arrival.note(ledger, scope)


def _converted(exc: BaseException) -> list[BaseException]:
    """Return what Starlette has made `exc` of, oldest first.

    Once a response has started it calls no handler, where a seam stands: it raises an error of its
    own from the one that it caught.
    """
    found: list[BaseException] = []
    while type(exc) is RuntimeError and exc.__cause__ is not None and raised_in(exc, _HANDLING):
        exc = exc.__cause__
        found.insert(0, exc)
        if len(found) >= MAX_LINKS:
            break  # A layer has made it a cause of itself.
    return found


def _of_body(exc: BaseException) -> bool:
    """Tell whether the body that is streamed has raised `exc`, rather than the server's `send`.

    Starlette takes any `OSError` there for the client's going away.
    """
    tb = traceback_of(exc) if issubclass(type(exc), OSError) else None
    while tb is not None and tb.tb_frame.f_code.co_name != "stream_response":
        tb = tb.tb_next
    following = tb.tb_next if tb is not None else None
    if following is None:
        return False
    code = following.tb_frame.f_code
    return bool(code.co_flags & inspect.CO_ASYNC_GENERATOR) or code.co_name == "__anext__"


def probe(app: ASGIApp, claim: Claim) -> ASGIApp:
    """Return `app` with a seam around it."""
    return _transparent(between(app, functools.partial(see, claim=claim)), app)


def unprobed(app: ASGIApp, claim: Claim) -> ASGIApp:
    """Return `app` as it is: named, and seen by the seam further out."""
    return app


def binding_probe(app: ASGIApp, claim: Claim) -> ASGIApp:
    """Return a probe that knows the request's span: it stands right inside what starts it."""
    return _transparent(right_inside(app, functools.partial(see, claim=claim)), app)


def starts_span(cls: Any) -> bool:
    """Tell whether `cls` is the middleware of contrib or Starlette that starts the server span."""
    return getattr(cls, "__name__", "") == "OpenTelemetryMiddleware"


def watching_probe(app: ASGIApp, claim: Claim) -> ASGIApp:
    """Return a probe that watches responses too: inside a layer that moves to another task."""

    async def probed(scope: Scope, receive: Receive, send: Send) -> None:
        ledger = scope.get(SCOPE_KEY)
        watch = None
        if ledger is not None:
            watch = InnerWatch(send, ledger, client_status)
            send = watch.send
        try:
            await app(scope, receive, send)
        except BaseException as exc:
            see(exc, scope, claim)
            if ledger is not None and watch is not None and watch.begun:
                ledger.goes_on(exc)
            drop_frame(exc)
            raise

    return _transparent(probed, app)


def _transparent(probed: Any, app: ASGIApp) -> ASGIApp:
    # FastAPI and others look for a middleware along `.app`.
    probed.app = app
    made: ASGIApp = probed
    return made


def show_handlers(middleware: Any, claim: Claim) -> None:
    """Put a seam before each exception handler of Starlette's middleware; free until one runs."""
    if getattr(middleware, "handler", None) is not None:
        middleware.handler = _shown(middleware.handler, claim)
    for name in ("_exception_handlers", "_status_handlers"):
        handlers = getattr(middleware, name, None)
        if isinstance(handlers, dict):
            for key, handler in list(handlers.items()):
                handlers[key] = _shown(handler, claim)


def _shown(handler: Any, claim: Claim) -> Any:
    if is_async_callable(handler):

        async def handle(conn: Any, exc: Exception) -> Any:
            see(exc, conn.scope, claim, "handler")
            try:
                return await handler(conn, exc)
            except BaseException as raised:
                drop_frame(raised)
                raise

        return handle

    def handle_in_thread(conn: Any, exc: Exception) -> Any:
        see(exc, conn.scope, claim, "handler")
        try:
            return handler(conn, exc)
        except BaseException as raised:
            drop_frame(raised)
            raise

    return handle_in_thread


@contained
def show_failed_build(exc: BaseException, claim: Claim) -> None:
    """Show an error that no seam can: FastAPI's telemetry builds the chain before any is called."""
    frame: FrameType | None = sys._getframe()
    scope = None
    while frame is not None:
        if frame.f_code in OUTERMOST:
            return
        if scope is None and frame.f_code.co_name == "__call__":
            scope = frame.f_locals.get("scope")
        frame = frame.f_back
    if scope is not None:
        ledger = Ledger(claim.settings, claim.layers)
        observe(exc, None, "build", ledger=ledger)
        close(ledger, scope, exc)
