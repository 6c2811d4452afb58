"""The parts of a chain: interceptors with the functions that they put around methods."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterable, Iterator, Sequence
from types import CodeType, FrameType, FunctionType
from typing import Any

import grpc

from everylayer.audit.callables import where
from everylayer.audit.parts import INSTRUMENTATION, Part, Points, attempted
from everylayer.audit.points import OfOne
from everylayer.faults.code import CodePoint
from everylayer.layers import codes_of, name_of

from ..aio_server import AioServerSeam
from ..groups import grouped
from ..naming import is_stock
from ..server import ServerSeam

_INTERCEPT = "intercept_service"
_OUTERMOST = "the outermost seam"
_PROBE = "a probe around it"
_FRAMES = "no probe: the frames that an error leaves"
_GENERATES = inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR


def is_ours(layer: Any) -> bool:
    """Tell whether `layer` is the interceptor of this package."""
    return isinstance(layer, (ServerSeam, AioServerSeam))


def interceptor_parts(chain: Iterable[Any], *, streams: bool) -> list[Part]:
    """Return a part for each interceptor, in which is what it puts around the method.

    Args:
        chain: the interceptors, outermost first.
        streams: the RPC has a stream, either way.
    """
    chain = list(chain)
    own = [each for each in chain if not _is_added(each)]
    inside = _told_apart([_Codes(each) for each in own])
    seams = _seams([each for each in chain if not is_ours(each)])
    parts = []
    for each in chain:
        if _is_added(each):
            seam = _OUTERMOST if is_ours(each) else ""
            parts.append(Part(name_of(each), INSTRUMENTATION, where(each), _mode(each), seam))
        else:
            codes = inside[own.index(each)]
            make = functools.partial(_part, each, codes, streams, seams[id(each)])
            parts.append(attempted(make, each, "class"))
    return parts


def _is_added(layer: Any) -> bool:
    return is_ours(layer) or is_stock(layer)


def _mode(layer: Any) -> str:
    return "async" if isinstance(layer, grpc.aio.ServerInterceptor) else "sync"


def _seams(chain: Sequence[Any]) -> dict[int, str]:
    """Return what sees the errors of each interceptor, by its address."""
    found: dict[int, str] = {}
    for number, group in enumerate(grouped(chain)):
        for place, method in enumerate(group.methods):
            seam = _FRAMES if place else _PROBE if number else _OUTERMOST
            found[id(method.__self__)] = seam
    return found


def _part(layer: Any, codes: _Codes, streams: bool, seam: str) -> Part:
    entry = tuple(codes_of(layer, (_INTERCEPT,)))
    points: Points = {}
    if entry:
        points["before"] = OfOne(CodePoint(entry, "start"), entry, layer)
        points["after"] = OfOne(CodePoint(entry, "return"), entry, layer)
    part = Part(name_of(layer), "class", where(layer), _mode(layer), seam, points)
    around: Points = {}
    if codes.around:
        around["before"] = OfLayer(CodePoint(codes.around, "start"), codes.around, layer)
        around["after"] = OfLayer(CodePoint(codes.around, "return"), codes.around, layer)
    if codes.streams and streams:
        around["stream"] = OfLayer(CodePoint(codes.streams, "start"), codes.streams, layer)
    if around:
        first = (codes.around or codes.streams)[0]
        place = f"{first.co_filename}:{first.co_firstlineno}"
        name = f"{name_of(layer)}.{first.co_name}"
        part.inner.append(Part(name, "function", place, _mode(layer), seam, around))
    return part


class _Codes:
    """The codes of an interceptor's own that run when the RPC does, not when it is looked up.

    Attributes:
        around: what it puts around a method: functions of a request and a context.
        streams: generators of messages.
    """

    def __init__(self, layer: Any) -> None:
        self.layer = layer
        codes = list(_codes(layer))
        self.around = tuple(code for code in codes if _takes_rpc(code))
        self.streams = tuple(code for code in codes if _gives_messages(code))

    def without(self, others: Iterable[CodeType]) -> None:
        """Leave out those `others` that do not tell whose they are."""
        shared = {id(code) for code in others if not _tells(code)}
        self.around = tuple(code for code in self.around if id(code) not in shared)
        self.streams = tuple(code for code in self.streams if id(code) not in shared)


def _told_apart(found: list[_Codes]) -> list[_Codes]:
    every = [(each, each.around + each.streams) for each in found]
    for each, _ in every:
        each.without(code for other, codes in every if other is not each for code in codes)
    return found


def _codes(layer: Any) -> Iterator[CodeType]:
    """Yield what is in the methods of `layer`, and in functions of their modules that they call."""
    seen: set[int] = set()
    left = [*_methods(type(layer))]
    while left:
        function, is_method = left.pop(0)
        if id(function.__code__) in seen:
            continue
        seen.add(id(function.__code__))
        yield from _nested(function.__code__)
        name = function.__name__
        if name == "intercept" or (is_method and _gives_messages(function.__code__)):
            yield function.__code__
        for called in function.__code__.co_names:
            helper = function.__globals__.get(called)
            if isinstance(helper, FunctionType) and helper.__module__ == function.__module__:
                left.append((helper, False))


def _methods(cls: type[Any]) -> Iterator[tuple[FunctionType, bool]]:
    for base in cls.__mro__:
        if base is object or base.__module__.partition(".")[0] == "grpc":
            continue
        for value in vars(base).values():
            function = getattr(value, "__func__", value)
            if isinstance(function, FunctionType):
                yield function, True


def _nested(code: CodeType) -> Iterator[CodeType]:
    for const in code.co_consts:
        if isinstance(const, CodeType):
            yield const
            yield from _nested(const)


def _takes_rpc(code: CodeType) -> bool:
    if code.co_name == "intercept":  # As `grpc-interceptor` calls it.
        return any("context" in name for name in _parameters(code))
    return code.co_argcount == 2 and not code.co_name.startswith("<") and _own(code) == 2


def _gives_messages(code: CodeType) -> bool:
    named = not code.co_name.startswith("<")  # A generator expression is a step of its function.
    return named and bool(code.co_flags & _GENERATES) and _own(code) == 1


def _own(code: CodeType) -> int:
    names = _parameters(code)
    return len(names) - (names[:1] in (("self",), ("cls",)))


def _parameters(code: CodeType) -> tuple[str, ...]:
    return code.co_varnames[: code.co_argcount]


def _tells(code: CodeType) -> bool:
    return "self" in code.co_freevars or _parameters(code)[:1] == ("self",)


class OfLayer(OfOne):
    """A point in codes that several interceptors may run, for the one that `self` is there."""

    def _runs(self, frame: FrameType) -> bool:
        return not _tells(frame.f_code) or frame.f_locals.get("self") is self._layer
