"""The seams of one app: around it, and between two layers of a route."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from litestar.middleware import DefineMiddleware
from litestar.middleware._internal.exceptions import ExceptionHandlerMiddleware

from everylayer.asgi import SCOPE_KEY, Seam, between, right_inside, see
from everylayer.asgi_types import ASGIApp, Scope
from everylayer.failsafe import contained
from everylayer.settings import Settings

from .naming import AppLayers, client_status

_STOCK = {"OpenTelemetryInstrumentationMiddleware", "OpenTelemetryMiddleware"}


class Covered:
    """What the seams of one app share: the plugin that it has.

    Attributes:
        settings: the rules in force.
        layers: the app's own.
        starts_inside: a layer of the app starts a server span.
        undo: let go of the app: take back what was changed within it.
    """

    starts_inside: bool = False

    def __init__(self, settings: Settings) -> None:
        self.settings: Settings = settings
        self.layers: AppLayers = AppLayers(settings, client_status)
        self.undo: list[Callable[[], None]] = [self.layers.leave]


class AppSeam(Seam):
    """Around what Litestar calls for each request, or for the app's lifespan."""

    __slots__ = ("_plugin",)

    def __init__(self, app: Any, plugin: Covered) -> None:
        super().__init__(app, plugin.settings, plugin.layers, client_status=client_status)
        self._plugin = plugin
        stock = getattr(app, "open_telemetry_middleware", None)
        if stock is not None:
            plugin.starts_inside = True
            plugin.undo.append(functools.partial(setattr, stock, "app", stock.app))
            stock.app = right_inside(stock.app, show)

    def alone(self) -> bool:
        """Tell whether no layer of the app starts a server span."""
        return not self._plugin.starts_inside


@contained
def show(exc: BaseException, scope: Scope, answered: bool = False) -> None:
    """Show `exc` to the request's ledger; a request that has none is left alone.

    Args:
        exc: what crosses a probe.
        scope: of the request.
        answered: Litestar's own handling of exceptions comes next.
    """
    ledger = scope.get(SCOPE_KEY)
    if ledger is None or ledger.again(exc):
        return
    see(exc, scope, None, client_status)
    if answered and scope["type"] == "websocket" and client_status(exc) is None:
        # It will be closed with 4500, whatever handlers there are: nobody has dealt with it.
        ledger.see(exc, handled=False)


show_answered = functools.partial(show, answered=True)


@contained
def probe_answered(layer: Any) -> None:
    """Put a probe inside Litestar's handling of exceptions, if that stands along `layer.app`."""
    while layer is not None and type(layer) is not ExceptionHandlerMiddleware:
        layer = getattr(layer, "app", None)
    if layer is not None:
        layer.app = between(layer.app, show_answered)  # type: ignore[arg-type, assignment]


def interleaved(handler: Any, plugin: Covered) -> Any:
    """Return what stands for a route handler where its middleware is built, innermost first."""
    entries = handler.resolve_middleware()
    made = [_probing(each, len(entries) - nth, plugin) for nth, each in enumerate(entries, 1)]
    return SimpleNamespace(resolve_middleware=lambda: made)


def _probing(entry: Any, index: int, plugin: Covered) -> Any:
    make, kwargs = entry if hasattr(type(entry), "__iter__") else (entry, {})
    given = make.middleware if isinstance(make, DefineMiddleware) else make

    def build(app: ASGIApp) -> ASGIApp:
        probe_answered(app)
        starts = any(cls.__name__ in _STOCK for cls in getattr(given, "__mro__", ()))
        plugin.starts_inside |= starts
        made: ASGIApp = make(app=(right_inside if starts else between)(app, show), **kwargs)
        plugin.layers.know_middleware(given, made, index)
        return made

    return build
