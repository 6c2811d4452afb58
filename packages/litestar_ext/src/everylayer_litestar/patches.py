"""Every change made to Litestar, in one place.

| target | since | why | undone |
|---|---|---|---|
| `Litestar._create_asgi_handler` | 2.15 | the outermost seam, kept where Litestar keeps what it
  calls for each request | `PATCHES.undo()` |
| `ASGIRouter.lifespan` | 2.15 | the outermost seam of the lifespan, which goes another way |
  `PATCHES.undo()` |
| `mapping.build_route_middleware_stack` | 2.15 | Litestar itself builds the chain of a route, with
  a probe before each layer, whichever level it was given at | `PATCHES.undo()` |
| `Litestar.__init__` | 2.15 | the plugin in each app, under the instrumentor |
  `giving().undo()` |

Under the instrumentor alone the first three go with it. They do nothing for an app that has no
`EveryLayerPlugin`. A function that is not what it was is left alone, with a line in the log.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any
from weakref import WeakSet

from litestar import Litestar
from litestar._asgi.asgi_router import ASGIRouter
from litestar._asgi.routing_trie import mapping

from everylayer.asgi import between
from everylayer.boundaries.patch import Patch, Patches, Target

from .seams import AppSeam, Covered, interleaved, probe_answered, show_answered


def _plugin_of(app: Any) -> Covered | None:
    return next((p for p in app.plugins if isinstance(p, Covered) and p.settings.enabled), None)


def _creating(original: Any, _: Any) -> Any:
    def _create_asgi_handler(self: Any) -> Any:
        built, plugin = original(self), _plugin_of(self)
        if plugin is None:
            return built
        plugin.undo.append(functools.partial(setattr, self, "asgi_handler", built))
        return AppSeam(built, plugin)

    return _create_asgi_handler


def _living(original: Any, _: Any) -> Any:
    async def lifespan(self: Any, receive: Any, send: Any) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await original(self, receive, send)

        plugin = _plugin_of(self.app)
        await (app if plugin is None else AppSeam(app, plugin))({"type": "lifespan"}, receive, send)

    return lifespan


def _building(original: Any, _: Any) -> Any:
    def build_route_middleware_stack(app: Any, route: Any, route_handler: Any) -> Any:
        plugin = _plugin_of(app)
        if plugin is None:
            return original(app=app, route=route, route_handler=route_handler)
        plugin.layers.know_route(app, route_handler)
        built = original(app=app, route=route, route_handler=interleaved(route_handler, plugin))
        probe_answered(built)
        return between(built, show_answered)

    return build_route_middleware_stack


def giving(make: Callable[[], Covered], given: WeakSet[Covered]) -> Patch:
    """Return the patch that gives each new app a plugin by `make`, unless it brings one.

    Args:
        make: called for each app.
        given: gets the plugins.
    """

    def change(original: Any, switch: Any) -> Any:
        def __init__(self: Any, *args: Any, plugins: Any = None, **kwargs: Any) -> None:
            held = list(plugins or ())
            if switch.on and not any(isinstance(each, Covered) for each in held):
                given.add(plugin := make())
                held.append(plugin)
            original(self, *args, plugins=held, **kwargs)

        return __init__

    return Patch(Litestar, "__init__", change)


_BUILD = "build_route_middleware_stack"
PATCHES = Patches(
    *("litestar", "everylayer-litestar"),
    Target(Litestar, "_create_asgi_handler", "self", _creating, "every error"),
    Target(ASGIRouter, "lifespan", "self receive send", _living, "errors of the lifespan"),
    Target(mapping, _BUILD, "app route route_handler", _building, "what layers hide"),
)
