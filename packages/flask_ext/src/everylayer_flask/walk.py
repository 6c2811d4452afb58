"""The WSGI layers inside `app.wsgi_app`, found along what each of them holds."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from types import FunctionType, MethodType
from typing import Any, NamedTuple

from flask import Flask

_MAX_OBJECTS = 200


class Place(NamedTuple):
    """What a layer holds.

    Attributes:
        held: a callable.
        put: makes the layer hold something else.
        holder: the layer, where it holds it in an attribute.
        name: of that attribute.
    """

    held: Any
    put: Callable[[Any], object]
    holder: Any = None
    name: str = ""


def path_to(outermost: Any, is_base: Callable[[Any], bool]) -> list[Place]:
    """Return the way from `outermost` to the app's own function, which comes last; [] if none.

    Only what leads to the app is a layer of it, and nothing else is ever touched.
    """
    seen: set[int] = set()
    trail: list[Place] = []

    def leads(layer: Any) -> bool:
        if id(layer) in seen or len(seen) >= _MAX_OBJECTS:
            return False
        seen.add(id(layer))
        for place in _held(layer):
            trail.append(place)
            if is_base(place.held) or (not isinstance(place.held, Flask) and leads(place.held)):
                return True
            trail.pop()
        return False

    return trail if leads(outermost) else []


def _held(layer: Any) -> Iterator[Place]:
    """Yield the callables that `layer` holds: attributes, closure cells, a partial's arguments."""
    found: Iterator[Place]
    if isinstance(layer, functools.partial):
        found = (Place(arg, _stay) for arg in (layer.func, *layer.args))
    elif isinstance(layer, FunctionType):
        cells = (cell for cell in layer.__closure__ or () if _filled(cell))
        found = (Place(cell.cell_contents, _filler(cell)) for cell in cells)
    else:
        owner = layer.__self__ if isinstance(layer, MethodType) else layer
        found = (
            Place(value, functools.partial(setattr, owner, name), owner, name)
            for name, value in _attributes(owner)
        )
    yield from (p for p in found if callable(p.held) and not isinstance(p.held, type))


def _filler(cell: Any) -> Callable[[Any], object]:
    return functools.partial(setattr, cell, "cell_contents")


def _stay(layer: Any) -> None:
    """Leave what cannot be replaced where it is."""


def _filled(cell: Any) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:
        return False
    return True


def _attributes(owner: Any) -> Iterator[tuple[str, Any]]:
    yield from list(getattr(owner, "__dict__", {}).items())
    for cls in type(owner).__mro__:
        slots = cls.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if not name.startswith("__") and hasattr(owner, name):
                yield name, getattr(owner, name)
