"""The WSGI layers inside `app.wsgi_app`: found along what they hold, each shown what crosses it."""

from __future__ import annotations

import abc
import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator
from types import FunctionType, MethodType
from typing import Any, NamedTuple

from flask import Flask

from everylayer.chain import drop_frame
from everylayer.wsgi import Environ, StartResponse, WSGIApp

from . import request, stock

_PROBED = "_everylayer_probed"
_MAX_OBJECTS = 500
Undo = Callable[[], object]


class Place(NamedTuple):
    """What a layer holds, and how to make it hold something else."""

    held: Any
    put: Callable[[Any], object]


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
    if isinstance(layer, functools.partial):
        found = ((arg, _stay) for arg in (layer.func, *layer.args))
    elif isinstance(layer, FunctionType):
        cells = (cell for cell in layer.__closure__ or () if _filled(cell))
        found = ((c.cell_contents, functools.partial(setattr, c, "cell_contents")) for c in cells)
    else:
        owner = layer.__self__ if isinstance(layer, MethodType) else layer
        found = ((v, functools.partial(setattr, owner, name)) for name, v in _attributes(owner))
    for held, put in found:
        if callable(held) and not isinstance(held, type):
            yield Place(held, put)


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


def put_around(places: Iterable[Place]) -> list[Undo]:
    """Put a probe around each of `places`; return how to take them away."""
    undo: list[Undo] = []
    probed = False
    for place in places:
        # What a probe that an earlier assignment made holds has its probe.
        inside, probed = probed, _PROBED in getattr(place.held, "__dict__", ())
        if not inside and not probed:
            undo += _put_around(place)
    return undo


def layers_of(places: Iterable[Place]) -> list[Any]:
    """Return the layers themselves, without our probes."""
    return [p.held for p in places if _PROBED not in getattr(p.held, "__dict__", ())]


def _put_around(place: Place) -> Iterator[Undo]:
    """An object stays the same object: it gets a class of its own.

    That costs half of a wrapper and cannot be told by `is`, `isinstance` or attribute access. A
    function is wrapped.
    """
    layer, cls = place.held, type(place.held)
    if hasattr(cls, _PROBED) or stock.is_stock(layer):
        return
    if isinstance(cls.__call__, FunctionType) and _extensible(cls):
        with contextlib.suppress(TypeError):  # its instances cannot change their class
            layer.__class__ = _probed_class(cls)
            yield functools.partial(setattr, layer, "__class__", cls)
            return
    place.put(_probe(layer))
    yield functools.partial(place.put, layer)


def _extensible(cls: type) -> bool:
    """Tell whether a subclass has no side effects."""
    return type(cls) in (type, abc.ABCMeta) and "__init_subclass__" not in {
        name for base in cls.__mro__[:-1] for name in base.__dict__
    }


def _probed_class(cls: Any) -> Any:
    namespace = {
        "__slots__": (),
        "__module__": cls.__module__,
        "__qualname__": cls.__qualname__,
        "__doc__": cls.__doc__,
        "__call__": _probe_method(cls.__call__),
        _PROBED: True,
    }
    return type(cls)(cls.__name__, (cls,), namespace)


def _probe_method(call: Any) -> Any:
    @functools.wraps(call)
    def __call__(self: Any, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        try:
            return call(self, environ, start_response)  # type: ignore[no-any-return]
        except BaseException as exc:
            request.show(exc, environ)
            drop_frame(exc)
            raise

    return __call__


def _probe(layer: WSGIApp) -> WSGIApp:
    @functools.wraps(layer, updated=())
    def probed(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        try:
            return layer(environ, start_response)
        except BaseException as exc:
            request.show(exc, environ)
            drop_frame(exc)
            raise

    vars(probed)[_PROBED] = True
    return probed
