"""What a plain callable is: which interface, where defined, what inside it; none is ever called."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CellType, CodeType, FrameType, FunctionType, MemberDescriptorType, MethodType
from typing import Any, Literal, NamedTuple

from .places import class_place

Interface = Literal["wsgi", "asgi", ""]

# Where layers commonly keep the next one; other places are looked at after these.
_NAMES = ("app", "wsgi_app", "application", "inner", "next", "_app", "wrapped", "__wrapped__")
_ASGI = ("scope", "receive", "send")
_ENVIRON = ("environ", "env", "wsgi_environ")
_OURS = ("everylayer", "opentelemetry.")
# Where the middleware for WSGI keeps what it calls.
_ENTRY = "_everylayer"
_COROUTINE = inspect.CO_COROUTINE
_GENERATOR = inspect.CO_GENERATOR


class Slot(NamedTuple):
    """A place in a layer that holds another app.

    Attributes:
        put: has the layer hold something else; it may raise where the layer is frozen.
        prefix: what a layer that branches calls this one by, "" for the next layer.
    """

    app: Any
    put: Callable[[Any], object]
    prefix: str = ""


def interface_of(app: Any) -> Interface:
    """Return how `app` is called, "" where its parameters do not tell."""
    given = app
    while isinstance(app, functools.partial):
        app = app.func
    if inspect.isclass(app) or inspect.ismodule(app) or not callable(app):
        return ""
    function = app if inspect.isroutine(app) else type(app).__call__
    names = _positional(given)
    if names is None:
        return ""
    # A callback in the way of ASGI has a `send` elsewhere.
    if names[-3:] == _ASGI or (
        len(names) == 3 and "send" not in names[:2] and inspect.iscoroutinefunction(function)
    ):
        return "asgi"
    if len(names) == 2 and (names[0] in _ENVIRON or names[1].startswith("start")):
        return "wsgi"
    return ""


def _positional(app: Any) -> tuple[str, ...] | None:
    if isinstance(getattr(type(app), "__call__", None), MemberDescriptorType):  # noqa: B004
        # Kept in a slot, as Sentry's ASGI layer does; before 3.13 `inspect` looks at the slot.
        app = app.__call__
    try:
        parameters = inspect.signature(app).parameters.values()
    except (TypeError, ValueError):
        return None
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return tuple(each.name for each in parameters if each.kind in kinds)


def slots_of(layer: Any, is_app: Callable[[Any], bool]) -> list[Slot]:
    """Return where `layer` holds other apps: the next one first, then the mounted ones."""
    found: list[Slot] = []
    seen: set[int] = set()
    for slot in [*_slots(layer), *_mounted(layer)]:
        if id(slot.app) not in seen and not _is_of(slot.app, layer) and _asked(is_app, slot.app):
            seen.add(id(slot.app))
            found.append(slot)
    return sorted(found, key=lambda slot: bool(slot.prefix))


def _is_of(held: Any, layer: Any) -> bool:
    """Tell whether `held` is the layer itself, or one of its own methods."""
    return held is layer or (type(held) is MethodType and held.__self__ is layer)


def _asked(is_app: Callable[[Any], bool], held: Any) -> bool:
    # A proxy of something that is there in a request only raises at any question.
    try:
        return is_app(held)
    except Exception:  # noqa: BLE001 - whatever it raises, it is no layer that can be read
        return False


def _slots(layer: Any) -> Iterator[Slot]:
    while isinstance(layer, functools.partial):
        for value in (*layer.args, *layer.keywords.values()):
            yield Slot(value, _refuse)
        layer = layer.func
    for cell in getattr(layer, "__closure__", None) or ():
        yield from _in_cell(cell)
    if inspect.ismethod(layer):
        layer = layer.__self__
    held = dict(_attributes(layer))
    if _ENTRY in held and is_instrumentation(layer):
        yield Slot(held[_ENTRY].run, functools.partial(setattr, held[_ENTRY], "run"))
    first = [name for name in _NAMES if name in held]
    for name in [*first, *(name for name in held if name not in first)]:
        value = held[name]
        # Elsewhere the app may use more of it than its call, or compare it by identity.
        only_called = name in _NAMES or is_plain_function(value)
        yield Slot(value, functools.partial(setattr, layer, name) if only_called else _refuse)


def _in_cell(cell: CellType) -> Iterator[Slot]:
    try:
        yield Slot(cell.cell_contents, functools.partial(setattr, cell, "cell_contents"))
    except ValueError:
        return  # Not filled yet.


def _mounted(layer: Any) -> Iterator[Slot]:
    """Yield the apps in the tables of a layer that chooses between several by their path."""
    for _, table in _attributes(layer):
        if type(table) is dict:
            for key, value in table.items():
                if isinstance(key, str):
                    # A table of ASGI protocols leads each request to this one.
                    prefix = "" if key == "http" else key
                    yield Slot(value, functools.partial(table.__setitem__, key), prefix)


def _attributes(owner: Any) -> Iterator[tuple[str, Any]]:
    if inspect.isclass(owner):
        return
    yield from list(getattr(owner, "__dict__", {}).items())
    for cls in type(owner).__mro__:
        slots = cls.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            # Read past the class's own attribute access: it may do anything.
            value = getattr(cls.__dict__.get(name), "__get__", None)
            if value is not None and not name.startswith("__"):
                try:
                    yield name, value(owner, cls)
                except AttributeError:
                    continue


def _refuse(app: Any) -> None:
    raise AttributeError("this cannot be replaced")


def is_instrumentation(app: Any) -> bool:
    """Tell whether `app` is everylayer's or OpenTelemetry's own."""
    owner = app if inspect.isroutine(app) else type(app)
    return str(getattr(owner, "__module__", "")).startswith(_OURS)


def is_probe(app: Any) -> bool:
    """Tell whether `app` is a function that everylayer has put around the next layer."""
    return is_plain_function(app) and str(app.__module__).startswith("everylayer")


def where(target: Any) -> str:
    """Return `file:line` of the definition, the file below the working directory without it."""
    while isinstance(target, functools.partial):
        target = target.func
    # Not what it wraps: a layer may be a function that `functools.wraps` the next one.
    target = target if inspect.isroutine(target) or inspect.isclass(target) else type(target)
    code = getattr(getattr(target, "__func__", target), "__code__", None)
    if code is None and not inspect.isclass(target):
        return ""
    place = (code.co_filename, code.co_firstlineno) if code else class_place(target)
    if place is None:
        return ""
    file, line = place
    path = Path(file)
    shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return f"{shown}:{line}"


def runs(layer: Any, frame: FrameType) -> bool:
    """Tell whether `frame`, which runs a code of `layer`, does so for this very one."""
    while isinstance(layer, functools.partial):
        layer = layer.func
    names = frame.f_code.co_varnames[:1]
    if not inspect.isfunction(layer):
        own = layer.__self__ if inspect.ismethod(layer) else layer
        return not names or frame.f_locals.get(names[0]) is own
    held = zip(layer.__code__.co_freevars, layer.__closure__ or (), strict=False)
    return all(frame.f_locals.get(name) is cell.cell_contents for name, cell in held)


def streaming_codes(code: CodeType, interface: Interface) -> tuple[CodeType, ...]:
    """Return the functions within `code` that run while the body is produced.

    Those are an ASGI layer's own `send`, and a WSGI layer's generators.
    """
    nested = [const for const in code.co_consts if isinstance(const, CodeType)]
    if interface == "asgi":
        return tuple(
            each
            for each in nested
            if each.co_flags & _COROUTINE and each.co_argcount == 1 and "send" in each.co_name
        )
    return tuple(
        each for each in nested if each.co_flags & _GENERATOR and each.co_name != "<genexpr>"
    )


def is_plain_function(app: Any) -> bool:
    """Tell whether `app` is written as a function."""
    return type(app) is FunctionType
