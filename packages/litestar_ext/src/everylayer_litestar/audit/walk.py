"""From layer to layer of what Litestar has built: around its router, and for each route."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from litestar._asgi.asgi_router import ASGIRouter
from litestar.routes.base import BaseRoute

from everylayer.audit.callables import Slot, interface_of, is_probe, slots_of

_MAX_LAYERS = 128


def line(app: Any) -> Iterator[Any]:
    """Yield the layers from `app` inwards, without probes, up to the router or the route."""
    for slot in _slots(app):
        yield slot.app


def slot_of_router(app: Any) -> Slot | None:
    """Return the place where what stands around the router of `app` holds it."""
    router = app.asgi_router
    for layer in [*_slots(app.asgi_handler, probes=True)]:
        for slot in slots_of(layer.app, _is_asgi):
            if slot.app is router:
                return slot
    return None


def _slots(app: Any, *, probes: bool = False) -> Iterator[Slot]:
    here: Slot | None = Slot(app, lambda other: None)
    seen: set[int] = set()
    while here is not None and not _is_end(here.app) and len(seen) < _MAX_LAYERS:
        seen.add(id(here.app))
        if probes or not is_probe(here.app):
            yield here
        following = (slot for slot in slots_of(here.app, _is_asgi) if id(slot.app) not in seen)
        here = next(following, None)


def stacks(app: Any) -> Iterator[tuple[Any, str, Any]]:
    """Yield each route handler of `app`, its path, and the outermost layer of what was built."""
    seen: set[int] = set()
    nodes = [app.asgi_router.root_route_map_node]
    nodes += app.asgi_router._mount_routes.values()
    while nodes:
        node = nodes.pop(0)
        if id(node) in seen:
            continue
        seen.add(id(node))
        nodes += node.children.values()
        for built in node.asgi_handlers.values():
            yield built.handler, node.path_template, built.asgi_app


def _is_asgi(value: Any) -> bool:
    return interface_of(value) == "asgi"


def _is_end(app: Any) -> bool:
    owner = app.__self__ if inspect.ismethod(app) else app
    return isinstance(owner, (ASGIRouter, BaseRoute))
