"""The chain of an application: middlewares, handlers, applications within it, signals."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterable, Iterator
from typing import Any

from aiohttp import web
from aiohttp.hdrs import METH_ALL, METH_ANY, METH_HEAD
from aiohttp.web_urldispatcher import StaticResource

from everylayer.audit.callables import where
from everylayer.audit.parts import INSTRUMENTATION, Part, Points, attempted, gathered
from everylayer.awaited import Outermost
from everylayer.layers import codes_of, name_of

from .points import around, codes_inside, codes_of_handler, itself
from .response import StreamPoint
from .shapes import MODULE as SHAPES
from .stock import is_stock

_AROUND = "a probe around it"
_OLD_STYLE = "one layer with all that is inside it"
_RESPONSE = "what sends the response"
_OUTERMOST = "the outermost seam"
_FRAMEWORK = "part of the framework"


def parts_of(app: Any) -> list[Part]:
    """Return the parts of `app`, outermost first."""
    made = list(app.middlewares)
    # It moves there when the app starts.
    outermost = [each for each in made if isinstance(each, Outermost)]
    inside = [each for each in made if not isinstance(each, Outermost)]
    return [
        *(Part("EveryLayer", INSTRUMENTATION, "", "async", _OUTERMOST) for _ in outermost),
        *_inside(app, inside),
    ]


def is_added(layer: Any) -> bool:
    """Tell whether a middleware is there for the sake of telemetry, or of the audit."""
    module = getattr(layer, "__module__", "")
    return isinstance(layer, Outermost) or is_stock(layer) or module == SHAPES


def _inside(app: Any, middlewares: Iterable[Any]) -> Iterator[Part]:
    for made in middlewares:
        yield attempted(functools.partial(_middleware, app, made), made, "function", _AROUND)
    yield from gathered(functools.partial(_routes, app), "routes", "endpoint")
    for hook in app.on_response_prepare:
        yield attempted(functools.partial(_hook, hook), hook, "hook", _RESPONSE)


def _middleware(app: Any, made: Any) -> Part:
    if is_added(made):
        name = "AioHttpServerInstrumentor" if is_stock(made) else name_of(made)
        return Part(name, INSTRUMENTATION, where(made), "async")
    new = getattr(made, "__middleware_version__", None) == 1
    codes = tuple(codes_of(made)) if new else codes_inside(made)
    points = around(itself(made) if new else None, codes, lambda request: request.app is app)
    seam = _AROUND if new else _OLD_STYLE
    kind = "class" if not hasattr(made, "__qualname__") else "function"
    return Part(name_of(made), kind, where(made), "async", seam, points)


def _routes(app: Any) -> Iterator[Part]:
    for resource in app.router.resources():
        about = resource.get_info()
        inner = about.get("app")
        if isinstance(inner, web.Application):
            name = about.get("prefix") or getattr(about.get("rule"), "canonical", "")
            yield Part(str(name), "mount", mode="async", inner=_of_sub_app(inner))
        elif isinstance(resource, StaticResource):
            yield Part(
                "StaticResource", "endpoint", "", "async", f"{resource.canonical}: {_FRAMEWORK}"
            )
        else:
            # A route for GET brings one for HEAD.
            by_handler: dict[int, list[Any]] = {}
            for route in resource:
                by_handler.setdefault(id(_given(route.handler)), []).append(route)
            for routes in by_handler.values():
                make = functools.partial(_endpoint, resource, routes)
                yield attempted(make, routes[0].handler, "endpoint", _AROUND)


def _of_sub_app(app: Any) -> Iterator[Part]:
    # A seam of its own passes within another one.
    return _inside(app, (each for each in app.middlewares if not isinstance(each, Outermost)))


def _given(handler: Any) -> Any:
    """Return the handler that the app gave: aiohttp wraps an object that is called."""
    return getattr(handler, "__wrapped__", handler)


def _endpoint(resource: Any, routes: list[Any]) -> Part:
    handler = _given(routes[0].handler)
    methods = ",".join(_methods(handler, routes))
    seam = f"{methods} {resource.canonical}: {_AROUND}".lstrip()
    known = {id(route) for route in routes}
    points = around(
        None if inspect.isclass(handler) else itself(handler),
        codes := codes_of_handler(handler),
        lambda request: id(request.match_info.route) in known,
    )
    name = name_of(handler)
    points["stream"] = StreamPoint(routes, codes, name, str(getattr(handler, "__module__", name)))
    return Part(name, "endpoint", where(handler), "async", seam, points)


def _methods(handler: Any, routes: list[Any]) -> list[str]:
    if inspect.isclass(handler):  # One route leads to all of its methods.
        return [name for name in sorted(METH_ALL) if hasattr(handler, name.lower())]
    return [route.method for route in routes if route.method not in (METH_ANY, METH_HEAD)]


def _hook(hook: Any) -> Part:
    codes = tuple(codes_of(hook))
    points = around(itself(hook), codes, lambda request: True)
    # It runs when the response is sent, behind all layers or, of a stream, in the handler.
    phases: Points = {"stream": points["before"]} if points else {}
    return Part(name_of(hook), "hook", where(hook), "async", _RESPONSE, phases)
