"""Who a layer is, and which layer of a chain a traceback came from."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import CodeType, FrameType, TracebackType
from typing import Any

from .text import code_name as qualified_name
from .text import one_line

_MAX_NAME = 200
# Read through `type`: a metaclass may do as it likes with attribute access.
_qualname: Any = type.__dict__["__qualname__"].__get__


@dataclass(frozen=True)
class Layer:
    """One layer of a request's chain.

    Attributes:
        name: qualified name of the class or function, as its author would call it.
        kind: `middleware`, `hook`, `handler`, `view`, `route`, `framework`, `server`, `app`, or
            `work` that one of them has handed on.
        index: position in the chain, 0 outermost; None outside a chain.
    """

    name: str
    kind: str
    index: int | None = None


# Kinds: of what only a framework's own code is known of, and of work that was handed on.
FRAMEWORK = "framework"
WORK = "work"
UNKNOWN = Layer("unknown", "app")


def name_of(target: Any) -> str:
    """Return the qualified name of a layer given as class, instance, function or partial."""
    while isinstance(target, functools.partial):
        target = target.func
    named = target if hasattr(target, "__qualname__") else type(target)
    if inspect.ismethod(target):
        named = target.__func__
        owner = target.__self__ if inspect.isclass(target.__self__) else type(target.__self__)
        return one_line(f"{owner.__qualname__}.{named.__name__}", _MAX_NAME)
    parts = str(getattr(named, "__qualname__", named)).split(".<locals>.")
    # A closure alone says little: keep the factory that made it. A class speaks for itself.
    return one_line(".".join(parts[-1:] if inspect.isclass(named) else parts[-2:]), _MAX_NAME)


def codes_of(target: Any, methods: Iterable[str] = ("__call__",)) -> Iterable[CodeType]:
    """Yield the code objects by which frames of this layer are known in a traceback."""
    while isinstance(target, functools.partial):
        target = target.func
    if inspect.isroutine(target) or inspect.isfunction(target):
        candidates: Iterable[Any] = (target,)
    else:
        owner = target if inspect.isclass(target) else type(target)
        candidates = (getattr(owner, name, None) for name in methods)
    for candidate in candidates:
        function = getattr(candidate, "__func__", candidate)
        function = inspect.unwrap(function, stop=_wraps_an_instance) if candidate else None
        code = getattr(function, "__code__", None)
        if isinstance(code, CodeType):
            yield code


def every_code_of(target: Any, shared: frozenset[str] = frozenset()) -> Iterator[CodeType]:
    """Yield the codes of all functions of a layer, of those within them, and of what they wrap.

    Args:
        target: a class, an instance, a function or a partial of one.
        shared: modules of base classes, whose functions tell no layer from another. What such a
            function keeps in its closure, because it wraps it, is looked at in its place.
    """
    while isinstance(target, functools.partial):
        target = target.func
    functions: list[Any] = [target]
    if not (inspect.isfunction(target) or inspect.ismethod(target)):
        cls = target if inspect.isclass(target) else type(target)
        functions = [f for base in cls.__mro__ if base is not object for f in vars(base).values()]
    for value in functions:
        function = getattr(value, "__func__", value)
        function = inspect.unwrap(function) if callable(function) else None
        while getattr(function, "__module__", None) in shared:
            function = held_by(function)
        code = getattr(function, "__code__", None)
        if isinstance(code, CodeType):
            yield from _nested(code)


def held_by(function: Any) -> Any:
    """Return the function that `function` keeps in its closure, where it wraps one unmarked."""
    for cell in getattr(function, "__closure__", None) or ():
        with contextlib.suppress(ValueError):  # It has no value yet.
            if inspect.isfunction(cell.cell_contents):
                return cell.cell_contents
    return None


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)


def _wraps_an_instance(function: Any) -> bool:
    """Tell of a layer that `functools.wraps` the app inside it, an object of a class."""
    return not hasattr(getattr(function, "__wrapped__", None), "__code__")


# What frameworks run on, and what stands beside them: none of it is an app's.
MACHINERY = frozenset(
    {"anyio", "asyncio", "concurrent", "contextlib", "ddtrace", "everylayer", "opentelemetry"}
    | {"outcome", "sentry_sdk", "threading", "trio"}
)
_WRAPPERS = ("everylayer", "sentry_sdk.")
_SIGNATURES = (("scope", "receive", "send"), ("environ", "start_response"))


def from_traceback(tb: TracebackType | None) -> Layer:
    """Name the layer from the frames alone, where no seam stood and no map knows it.

    It is the innermost callable with the parameters of an ASGI or WSGI app, else the innermost
    function; `UNKNOWN` without a traceback. A wrapper that another library puts around each layer
    is none of the app's.
    """
    found: FrameType | None = None
    last: FrameType | None = None
    while tb is not None:
        frame = tb.tb_frame
        tb = tb.tb_next
        # A seam of ours looks like a layer: it is one for everybody but the reader.
        if str(frame.f_globals.get("__name__")).startswith(_WRAPPERS):
            continue
        last = frame
        code = frame.f_code
        if any(code.co_varnames[: code.co_argcount][-len(s) :] == s for s in _SIGNATURES):
            found = frame
    named = found or last
    return UNKNOWN if named is None else Layer(frame_name(named), "app")


def called_by(machinery: frozenset[str], tb: TracebackType | None) -> Layer | None:
    """Name what a framework called last: of kind `app`, or `framework` where its own code failed.

    Args:
        machinery: top-level packages that are none of the app's.
        tb: of the error; None, or one that no framework has crossed, tells nothing.
    """
    called: FrameType | None = None
    framework = ""
    while tb is not None:
        module = str(tb.tb_frame.f_globals.get("__name__"))
        if module.partition(".")[0] in machinery:
            called, framework = None, module
        else:
            called = called or tb.tb_frame
        tb = tb.tb_next
    if not framework:
        return None
    return Layer(framework, FRAMEWORK) if called is None else Layer(frame_name(called), "app")


def frame_name(frame: FrameType) -> str:
    """Return the qualified name of the function that a frame runs, a class for its `__call__`."""
    code = frame.f_code
    owner = frame.f_locals.get("self") if code.co_varnames[:1] == ("self",) else None
    return code_name(code, None if owner is None else type(owner))


def code_name(code: CodeType, owner: type | None = None) -> str:
    """Return what `frame_name` says of a frame that runs `code`, as a method of `owner`."""
    name = qualified_name(code)
    if name == code.co_name and owner is not None:
        name = f"{_qualname(owner)}.{name}"
    parts = name.removesuffix(".__call__").split(".<locals>.")
    return one_line(".".join(parts[-2:]), _MAX_NAME)


class LayerMap:
    """Names the layer in which an exception began, from the frames that it crossed.

    A framework's package makes one for each app, adds the codes of what it calls, and may give a
    subclass of its own its two words about frames that nobody has added.

    Attributes:
        asked_by_seams: a layer that a seam names is what this map has told it.
        machinery: top-level packages of the framework, and `MACHINERY`; with it, what they called
            is named where no layer is known, as `called_by` does.
        shared: modules of the framework's base classes, see `every_code_of`.
    """

    __slots__ = ("__weakref__", "_by_code")

    asked_by_seams = False
    machinery: frozenset[str] = frozenset()
    shared: frozenset[str] = frozenset()

    def __init__(self) -> None:
        # By identity, which holding the code keeps: hashing one walks through its bytecode.
        self._by_code: dict[int, tuple[CodeType, Layer]] = {}

    def add(self, layer: Layer, codes: Iterable[CodeType]) -> None:
        """Make frames of `codes` count as `layer`; the outermost layer keeps a shared code."""
        for code in codes:
            self._by_code.setdefault(id(code), (code, layer))

    def learn(self, layer: Layer, target: Any) -> None:
        """Make frames of any function of `target` count as `layer`."""
        self.add(layer, every_code_of(target, self.shared))

    def layer_of(self, code: CodeType) -> Layer | None:
        """Return the layer whose frames run `code`."""
        found = self._by_code.get(id(code))
        return found[1] if found is not None else None

    def locate(self, tb: TracebackType | None) -> Layer | None:
        """Return the innermost known layer that `tb` passes through, None if there is none."""
        found, rest = None, tb
        while rest is not None:
            found = self.layer_of(rest.tb_frame.f_code) or found
            rest = rest.tb_next
        return found or (called_by(self.machinery, tb) if self.machinery else None)
