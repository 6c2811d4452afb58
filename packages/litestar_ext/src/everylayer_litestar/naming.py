"""Which layer of a Litestar app an error began in, and what status it stands for."""

from __future__ import annotations

from typing import Any

from litestar.exceptions import HTTPException, WebSocketException
from litestar.middleware import ASGIMiddleware

from everylayer.failsafe import contained
from everylayer.layers import MACHINERY, Layer, name_of
from everylayer.watched import WatchedLayers

_HOOKS = ("before_request", "after_request", "after_response")


def client_status(exc: BaseException) -> int | None:
    """Return the 3xx or 4xx status that Litestar gives `exc`, None for a 5xx."""
    if issubclass(type(exc), WebSocketException):
        return 403
    status = getattr(exc, "status_code", None) if issubclass(type(exc), HTTPException) else None
    return status if isinstance(status, int) and 300 <= status < 500 else None


class AppLayers(WatchedLayers):
    """Knows the app's middleware, handlers and hooks by their code."""

    __slots__ = ()
    framework = "litestar"
    machinery: frozenset[str] = MACHINERY | {"everylayer_litestar", "litestar"}
    shared: frozenset[str] = frozenset({"litestar.middleware.base"})

    @contained
    def know_middleware(self, given: Any, made: Any, index: int) -> None:
        """Know the layer that `given` has `made` as number `index` of its route, 0 outermost."""
        # What an ASGIMiddleware makes is a function of its base class.
        layer = given if isinstance(given, ASGIMiddleware) else made
        self.learn(Layer(name_of(layer), "middleware", index), layer)

    @contained
    def know_route(self, app: Any, handler: Any) -> None:
        """Know what Litestar calls for a route besides its middleware."""
        held = (getattr(each, name, None) for each in handler.ownership_layers for name in _HOOKS)
        given = (each.dependency for each in handler.resolve_dependencies().values())
        self._know("view", handler.fn)
        self._know("hook", *held, *given, *handler.resolve_guards())
        self._know("hook", *app.after_exception, *app.before_send)
        self._know("handler", *handler.resolve_exception_handlers().values())

    def _know(self, kind: str, *functions: Any) -> None:
        for function in functions:
            # What runs in a thread, or listens to a socket, Litestar keeps in an object of its own.
            made = getattr(function, "func", getattr(function, "_fn", function))
            if str(getattr(made, "__module__", "litestar")).partition(".")[0] != "litestar":
                self.learn(Layer(name_of(made), kind), made)
