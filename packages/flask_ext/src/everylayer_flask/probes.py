"""What shows an error that leaves one WSGI layer, should the layer outside it hide that error."""

from __future__ import annotations

import abc
import contextlib
import dis
import functools
import sys
from collections.abc import Callable, Iterable, Iterator
from types import CodeType, FunctionType
from typing import Any

from everylayer.chain import drop_frame
from everylayer.wsgi_types import Environ, StartResponse, WSGIApp

from . import request, stock
from .rules import codes_within
from .walk import Place

_PROBED = "_everylayer_probed"
Undo = Callable[[], object]


def put_around(places: Iterable[Place]) -> list[Undo]:
    """Put a probe around each of `places`; return how to take them away."""
    undo: list[Undo] = []
    probed = False
    for place in places:
        # What a probe that an earlier assignment made holds has its probe.
        inside, probed = probed, _is_probe(place.held)
        if not inside and not probed and not must_pass(place):
            undo += _put_around(place)
    return undo


def layers_of(places: Iterable[Place]) -> list[Any]:
    """Return the layers themselves, without our probes."""
    return [p.held for p in places if not _is_probe(p.held)]


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


def must_pass(place: Place) -> bool:
    """Tell whether what the holder holds cannot fail unseen: the holder has no means to hide it.

    That is so where its `__call__`, and nothing else of its class, calls it, outside of any `try`
    or `with`. It spares most layers a frame.
    """
    if not place.name:
        return False
    cls = class_of(place.holder)
    mine = getattr(cls.__call__, "__code__", None)
    for code in _codes(cls):
        calls = [step for step in dis.get_instructions(code) if _loads(step, place.name)]
        if calls and (code is not mine or _catches(code) or not all(map(_is_call, calls))):
            return False
    return mine is not None and place.name in mine.co_names


def class_of(layer: Any) -> type:
    """Return the class of `layer`, not the one that a probe has given it."""
    cls = type(layer)
    return cls.__mro__[1] if _PROBED in vars(cls) else cls


def _codes(cls: type) -> Iterator[CodeType]:
    """Yield the code of all methods of `cls`."""
    for base in cls.__mro__[:-1]:
        for member in vars(base).values():
            function = getattr(member, "__func__", member)
            if isinstance(function, FunctionType):
                yield from codes_within(function.__code__)


def _loads(step: dis.Instruction, name: str) -> bool:
    return step.argval == name and step.opname in ("LOAD_ATTR", "LOAD_METHOD")


def _is_call(step: dis.Instruction) -> bool:
    """Tell whether the attribute is loaded to be called, and for nothing else."""
    if sys.version_info < (3, 12):
        return step.opname == "LOAD_METHOD"
    return bool((step.arg or 0) & 1)


def _catches(code: CodeType) -> bool:
    if sys.version_info >= (3, 11):
        return bool(code.co_exceptiontable)
    return any(step.opname.startswith("SETUP_") for step in dis.get_instructions(code))


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

    return probed


(_PROBE,) = (const for const in _probe.__code__.co_consts if isinstance(const, CodeType))


def _is_probe(layer: Any) -> bool:
    return type(layer) is FunctionType and layer.__code__ is _PROBE
