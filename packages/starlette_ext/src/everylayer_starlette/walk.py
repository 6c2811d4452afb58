"""Chains that the framework has already built: of a route, a mount, or an app made by hand."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from types import CellType
from typing import Any, NamedTuple

from starlette.middleware.base import BaseHTTPMiddleware
from starlette.routing import Router

from everylayer.failsafe import contained

from . import handled
from .classes import Starlette
from .seams import Claim, binding_probe, probe, starts_span, watching_probe

_MAX_LAYERS = 64
_APP = ("scope", "receive", "send")


class Slot(NamedTuple):
    """A place in a layer that holds the next app."""

    app: Any
    put: Callable[[Any], None]


def probe_routes(router: Any, claim: Claim) -> list[Any]:
    """Put probes between the layers of each route, mount and router; return the apps mounted."""
    routers, apps, seen = [router], [], set()
    while routers:
        current = routers.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        if isinstance(current, Starlette):
            apps.append(current)
            continue
        tops = [getattr(current, "middleware_stack", None)]
        for route in getattr(current, "routes", None) or ():
            tops.append(getattr(route, "app", None))
            routers.append(getattr(route, "_base_app", None))
        for top in tops:
            routers += probe_within(top, claim)
    return apps


def probe_within(top: Any, claim: Claim) -> list[Any]:
    """Put a probe before each layer inside `top`; return the innermost apps."""
    ends: list[Any] = []
    layers, seen = [top], {id(top)}
    while layers and len(seen) < _MAX_LAYERS:
        layer = layers.pop()
        slots = [] if isinstance(layer, (Starlette, Router)) else slots_of(layer) or []
        if slots:
            claim.layers.add_layer(layer, None)
            handled.watch(layer, claim)
        make = probe
        if starts_span(type(layer)):
            make = binding_probe
            claim.starts_inside = True
        elif isinstance(layer, BaseHTTPMiddleware):
            make = watching_probe
        for slot in slots:
            if id(slot.app) not in seen:
                seen.add(id(slot.app))
                _cover(slot, make, claim)
                layers.append(slot.app)
        if not slots:
            ends.append(layer)
    return ends


@contained
def _cover(slot: Slot, make: Callable[[Any, Claim], Any], claim: Claim) -> None:
    # A frozen layer refuses: what is inside it is then seen from further out.
    slot.put(make(slot.app, claim))
    claim.undo.append(functools.partial(slot.put, slot.app))


@contained
def slots_of(layer: Any) -> list[Slot]:
    """Return the places in which `layer` holds an app."""
    return list(_slots(layer))


def _slots(layer: Any) -> Iterator[Slot]:
    if inspect.isclass(layer):
        return  # An endpoint: what its instances share is its methods, `__init__` among them.
    for name, value in list(getattr(layer, "__dict__", {}).items()):
        if is_app(value):
            yield Slot(value, functools.partial(setattr, layer, name))
    for name in _slot_names(type(layer)):
        value = getattr(layer, name, None)
        if is_app(value):
            yield Slot(value, functools.partial(setattr, layer, name))
    for cell in getattr(layer, "__closure__", None) or ():
        value = _content(cell)
        if is_app(value):
            yield Slot(value, functools.partial(setattr, cell, "cell_contents"))


def _slot_names(cls: type[Any]) -> list[str]:
    return [name for base in cls.__mro__ for name in _listed(vars(base).get("__slots__", ()))]


def _listed(slots: Any) -> list[str]:
    return [slots] if isinstance(slots, str) else list(slots)


def _content(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return None


def is_app(value: Any) -> bool:
    """Tell whether `value` is called as an ASGI app is."""
    while isinstance(value, functools.partial):
        value = value.func
    if inspect.isclass(value) or not callable(value):
        return False
    call = value if inspect.isroutine(value) else type(value).__call__
    code = getattr(inspect.unwrap(call), "__code__", None)
    return code is not None and code.co_varnames[: code.co_argcount][-3:] == _APP
