"""The parts of a chain that are middleware: Litestar's own, and the app's at each level."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterable, Sequence
from types import CodeType, FrameType
from typing import Any

from litestar.middleware import ASGIMiddleware, DefineMiddleware

from everylayer.audit.callables import runs, streaming_codes, where
from everylayer.audit.parts import INSTRUMENTATION, Part, Points
from everylayer.audit.points import Later
from everylayer.layers import codes_of, held_by, name_of

from .points import OfRoutes
from .shapes import MODULE as SHAPES
from .stock import is_stock

PROBE = "a probe around it"
FRAMEWORK = "part of the framework"
_BASE = "litestar.middleware.base"
_ASGI = ("scope", "receive", "send")


def is_own(made: Any) -> bool:
    """Tell whether `made`, a class or a function or an instance, is Litestar's own."""
    owner = made if inspect.isroutine(made) or inspect.isclass(made) else type(made)
    return str(getattr(owner, "__module__", "")).partition(".")[0] == "litestar"


def given_by(entry: Any) -> Any:
    """Return the class, function or ASGIMiddleware of an entry in a list of middleware."""
    given = entry.middleware if isinstance(entry, DefineMiddleware) else entry
    given = given[0] if isinstance(given, tuple) else given
    while isinstance(given, functools.partial):
        given = given.func
    return given


def paired(entries: Sequence[Any], made: Sequence[Any]) -> list[Any]:
    """Return which of `made`, layers of a route from outside inwards, each of `entries` has made.

    One that has made nothing has None: it may return the app that it is given.
    """
    found: list[Any] = []
    left = list(made)
    all_given = [given_by(entry) for entry in entries]
    for nth, given in enumerate(all_given, 1):
        at = next((at for at, each in enumerate(left) if _is_made_by(given, each)), None)
        if at is None and left and inspect.isroutine(given) and not is_own(left[0]):
            # A function may make whatever it likes.
            at = None if any(_is_made_by(later, left[0]) for later in all_given[nth:]) else 0
        found.append(None if at is None else left[at])
        left = left if at is None else left[at + 1 :]
    return found


def _is_made_by(given: Any, made: Any) -> bool:
    if isinstance(given, ASGIMiddleware):
        held = (cell.cell_contents for cell in getattr(made, "__closure__", None) or ())
        return any(getattr(each, "__self__", None) is given for each in held)
    if inspect.isclass(given):
        return isinstance(made, given)
    return getattr(made, "__code__", None) in set(_nested(given))


def _nested(given: Any) -> Iterable[CodeType]:
    return (c for code in codes_of(given) for c in code.co_consts if isinstance(c, CodeType))


def middleware_part(owner: Any, entry: Any, made: Sequence[Any], *, stream: bool) -> Part:
    """Return the part of one entry in the list of `owner`.

    Args:
        made: by the entry, one for each route; empty where that could not be found.
        stream: it is the only one of its code.
    """
    given = given_by(entry)
    layer = given if isinstance(given, ASGIMiddleware) or not made else made[0]
    name = name_of(layer)
    if is_stock(given) or getattr(given, "__module__", "") == SHAPES:
        return Part(name, INSTRUMENTATION, where(layer), "async")
    if is_own(layer):
        return Part(name, "class", where(layer), "async", FRAMEWORK)
    codes = codes_in(given, made)
    kind = "function" if inspect.isroutine(layer) else "class"
    held = (given,) if isinstance(given, ASGIMiddleware) else tuple(made)

    def is_meant(frame: FrameType) -> bool:  # Run by a callback.
        return not held or any(runs(each, frame) for each in held)

    points: Points = {}
    if codes:
        points["before"] = OfRoutes(owner, codes, "start", is_meant)
        points["after"] = OfRoutes(owner, codes, "return", is_meant)
    sends = tuple(each for code in codes for each in streaming_codes(code, "asgi"))
    if sends and stream:
        points["stream"] = OfRoutes(owner, sends, "start", point=Later)
    return Part(name, kind, where(layer), "async", PROBE, points)


def codes_in(given: Any, made: Iterable[Any]) -> tuple[CodeType, ...]:
    """Return the codes that a layer runs, once for each request."""
    if isinstance(given, ASGIMiddleware):
        return tuple(codes_of(given, ("handle",)))
    found = {id(code): code for each in made for code in _codes(each)}
    if not found and inspect.isclass(given):
        found = {id(code): code for code in _codes_of_class(given)}
    if not found:
        found = {id(code): code for code in _nested(given) if _takes_asgi(code)}
    return tuple(found.values())


def _codes(made: Any) -> Iterable[CodeType]:
    return codes_of(made) if inspect.isroutine(made) else _codes_of_class(type(made))


def _codes_of_class(cls: type[Any]) -> Iterable[CodeType]:
    call: Any = cls.__call__
    while getattr(call, "__module__", None) == _BASE and held_by(call) is not None:
        call = held_by(call)  # AbstractMiddleware puts a function of its own around it.
    return codes_of(call)


def _takes_asgi(code: CodeType) -> bool:
    return code.co_varnames[: code.co_argcount][-3:] == _ASGI
