"""The chain of an app, level by level: what each holds, and what it leads to."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from typing import Any

from litestar import Controller, Litestar
from litestar._asgi.utils import get_route_handlers
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler, WebsocketRouteHandler

from everylayer.asgi import Seam
from everylayer.audit.callables import where
from everylayer.audit.parts import INSTRUMENTATION, Part, attempted
from everylayer.layers import name_of

from .functions import after_view, before_view, itself, view_part
from .layers import FRAMEWORK, PROBE, codes_in, given_by, is_own, middleware_part, paired
from .stock import is_stock
from .walk import line, stacks

_CONFIGURED = {
    "allowed_hosts": "AllowedHostsMiddleware",
    "compression_config": "CompressionMiddleware",
    "csrf_config": "CSRFMiddleware",
}


class _Level:
    """An app, router, controller or route handler, and what it leads to.

    Attributes:
        made: by its entries, for each route.
    """

    def __init__(self, owner: Any) -> None:
        self.owner = owner
        self.entries: list[Any] = list(owner.middleware or ())
        self.made: list[list[Any]] = [[] for _ in self.entries]
        self.paths: list[str] = []
        self.inner: dict[int, _Level] = {}

    def within(self, owner: Any) -> _Level:
        """Return the level of `owner`, which is in this one."""
        return self.inner.setdefault(id(owner), _Level(owner))


def parts_of(app: Litestar, *, serving: bool = False) -> list[Part]:
    """Return the parts of `app`, outermost first.

    Args:
        serving: it serves already, and many requests at a time: which message is a response's
            first cannot be told.
    """
    top = _Level(app)
    built = {(id(handler), path): made for handler, path, made in stacks(app)}
    for route in app.routes:
        for handler in get_route_handlers(route):
            made = built.get((id(handler), route.path_format))
            if _is_shown(handler):
                _add(top, handler, route.path, made)
    return [*_around(app), *_level(top, None if serving else _shared(top))]


def _is_shown(handler: Any) -> bool:
    """Tell whether a route is the app's, not one that Litestar adds for OpenAPI and OPTIONS."""
    return not (isinstance(handler, HTTPRouteHandler) and is_own(itself(handler.fn)))


def _add(top: _Level, handler: Any, path: str, built: Any) -> None:
    level, levels = top, [top]
    for owner in handler.ownership_layers[1:]:
        level = level.within(owner)
        levels.append(level)
    level.paths.append(path)
    made = [] if built is None else list(line(built))
    found = iter(paired([entry for each in levels for entry in each.entries], made))
    for kept in (kept for each in levels for kept in each.made):
        layer = next(found)
        if layer is not None and not any(layer is other for other in kept):
            kept.append(layer)


def _shared(top: _Level) -> set[int]:
    """Return the codes that more than one entry runs, by identity."""
    seen: set[int] = set()
    shared: set[int] = set()
    levels = [top]
    while levels:
        level = levels.pop()
        levels += level.inner.values()
        for entry, made in zip(level.entries, level.made, strict=True):
            codes = {id(code) for code in codes_in(given_by(entry), made)}
            shared |= codes & seen
            seen |= codes
    return shared


def _around(app: Litestar) -> Iterator[Part]:
    """Yield what stands around the router."""
    seen = False
    for layer in line(app.asgi_handler):
        if isinstance(layer, Seam):
            yield Part("EveryLayer", INSTRUMENTATION, "", "async", "the outermost seam")
        elif is_stock(layer):
            if not seen:
                yield Part(name_of(layer), INSTRUMENTATION, where(layer), "async")
            seen = True
        else:
            kind = "function" if inspect.isroutine(layer) else "class"
            yield Part(name_of(layer), kind, where(layer), "async", FRAMEWORK)


def _level(level: _Level, shared: set[int] | None) -> Iterator[Part]:
    owner = level.owner
    for entry, made in zip(level.entries, level.made, strict=True):
        given = given_by(entry)
        codes = codes_in(given, made)
        alone = shared is not None and all(id(code) not in shared for code in codes)
        make = functools.partial(middleware_part, owner, entry, made, stream=alone)
        yield attempted(make, given, "class", PROBE)
    if isinstance(owner, Litestar):
        for name, layer in _CONFIGURED.items():
            if getattr(owner, name, None):
                yield Part(layer, "class", "", "async", FRAMEWORK)
    yield from before_view(owner)
    # Litestar's own order is another one in each process.
    for inner in sorted(level.inner.values(), key=_order):
        yield _inner(inner, shared)
    yield from after_view(owner)


def _order(level: _Level) -> tuple[str, str, str]:
    owner = level.owner
    if isinstance(owner, BaseRouteHandler):
        return min(level.paths), _methods(owner), owner.handler_name
    return str(owner.path), "", ""


def _inner(level: _Level, shared: set[int] | None) -> Part:
    owner = level.owner
    if not isinstance(owner, BaseRouteHandler):
        controller = _controller_of(level)
        place = "" if controller is None else where(controller)
        seam = "" if controller is None else name_of(controller)
        return Part(owner.path, "mount", place, "async", seam, inner=_level(level, shared))
    paths = " ".join(sorted(level.paths))
    view = view_part(owner, _methods(owner), paths)
    own = list(_level(level, shared))
    if not level.entries:
        view.inner += own
        return view
    return Part(f"{_methods(owner)} {paths}", "mount", "", "async", "", inner=[*own, view])


def _controller_of(level: _Level) -> Controller | None:
    """Return the controller that a router was made of, None for a router of the app's."""
    for inner in level.inner.values():
        found = getattr(getattr(inner.owner, "fn", None), "__self__", None)
        if isinstance(found, Controller) and found.path == level.owner.path:
            return found
    return None


def _methods(handler: Any) -> str:
    if isinstance(handler, HTTPRouteHandler):
        return ",".join(sorted(map(str, handler.http_methods)))
    return "WEBSOCKET" if isinstance(handler, WebsocketRouteHandler) else "ASGI"
