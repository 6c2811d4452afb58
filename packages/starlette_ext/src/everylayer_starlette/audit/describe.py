"""What there is to say of one layer, endpoint, dependency or handler: name, place, code."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Iterator
from types import CodeType, FunctionType
from typing import Any, NamedTuple

from starlette.middleware.base import BaseHTTPMiddleware

from everylayer.audit.places import class_place
from everylayer.failsafe import contained
from everylayer.layers import name_of
from everylayer.text import one_line

from ..naming import called, is_machinery, layer_name

_MAX_WRAPPERS = 16
_MAX_NAME = 200
# What a layer's own `send` calls its argument.
_MESSAGES = frozenset({"message", "event", "msg"})
_ENDLESS = inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR
_ASYNC = inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


class Part(NamedTuple):
    """A part of the chain that has code of the app's own, or has none.

    Attributes:
        name: as in `everylayer.layer.name`.
        code: where its work begins; None for a framework's own part, and one without source.
        module: that the code belongs to.
        sends: code of it that the messages of a response pass through.
        work: what the code is of.
    """

    name: str
    where: str = ""
    mode: str = "sync"
    code: CodeType | None = None
    module: str = ""
    sends: tuple[CodeType, ...] = ()
    work: Any = None

    @property
    def generates(self) -> bool:
        """Whether its code yields."""
        return self.code is not None and bool(self.code.co_flags & _ENDLESS)

    @property
    def awaits(self) -> bool:
        """Whether its code returns only when what it awaits is done."""
        return self.code is not None and bool(self.code.co_flags & inspect.CO_COROUTINE)


def describe_layer(made: Any) -> Part:
    """Describe a middleware, or an app, as it stands in a built chain."""
    return _layer(made) or Part(one_line(type(made).__name__, _MAX_NAME))


def describe_call(call: Any, cls: type[Any] | None = None) -> Part:
    """Describe an endpoint, a dependency or an exception handler, a method of `cls` if given."""
    return _call(call, cls) or Part(one_line(type(call).__name__, _MAX_NAME))


@contained
def _layer(made: Any) -> Part | None:
    dispatch = getattr(made, "dispatch_func", None)
    plain = type(made).__call__ is BaseHTTPMiddleware.__call__ and callable(dispatch)
    work = dispatch if plain else made
    function, _ = entered(work)
    shown = work if type(made) is BaseHTTPMiddleware or inspect.isroutine(made) else type(made)
    if isinstance(made, functools.partial):
        shown = made.func
    name, where = layer_name(made), where_is(shown)
    own = is_machinery(str(getattr(shown, "__module__", "")))
    if function is None or own:
        return Part(name, where, "async" if own else "sync")
    code = function.__code__
    return Part(name, where, _mode(code), code, _module(function), _sends(made, code), work)


@contained
def _call(call: Any, cls: type[Any] | None) -> Part | None:
    function, owner = entered(call)
    where = where_is(call)
    if function is None or is_machinery(_module(function)):
        named = name_of(call if cls is None else cls)
        return Part(named, where, "sync" if function is None else _mode(function.__code__))
    code = function.__code__
    # FastAPI makes an instance of a class, and Starlette of that of an endpoint.
    work = None if inspect.isclass(call) or cls is not None else call
    return Part(called(code, cls or owner), where, _mode(code), code, _module(function), (), work)


def entered(call: Any) -> tuple[FunctionType | None, type[Any]]:
    """Return the function of the app whose frame comes first when `call` is called, and its owner.

    A decorator of the framework's own is passed over, as it is when a layer is named.
    """
    function, owner = _function_of(call)
    for _ in range(_MAX_WRAPPERS):
        if function is not None and not is_machinery(_module(function)):
            break
        wrapped = getattr(function or call, "__wrapped__", None)
        if wrapped is None:
            break
        call = wrapped
        function, inner = _function_of(call)
        owner = owner if inner is type(None) else inner
    return function, owner


def _function_of(call: Any) -> tuple[FunctionType | None, type[Any]]:
    while isinstance(call, functools.partial):
        call = call.func
    owner: type[Any] = type(None)
    found = call
    if inspect.ismethod(call):
        owner, found = type(call.__self__), call.__func__
    elif inspect.isclass(call):
        owner, found = call, call.__init__
    elif not inspect.isroutine(call):
        owner, found = type(call), type(call).__call__
    return (found if isinstance(found, FunctionType) else None), owner


def where_is(target: Any) -> str:
    """Return `file:line` of the definition of a function or class, "" if there is no source."""
    return _where(target) or ""


@contained
def _where(target: Any) -> str:
    while isinstance(target, functools.partial):
        target = target.func
    if not inspect.isroutine(target) and not inspect.isclass(target):
        target = type(target)
    if inspect.isclass(target):
        place = class_place(target)
        if place is None:
            return ""
        file, line = place
    else:
        code = getattr(inspect.unwrap(target), "__code__", None)
        if code is None:
            return ""
        file, line = code.co_filename, code.co_firstlineno
    return f"{_shortened(file)}:{line}" if file and os.path.exists(file) else ""


def _shortened(file: str) -> str:
    try:
        relative = os.path.relpath(file)
    except (OSError, ValueError):
        return file  # There is no current folder, or it is on another drive.
    return file if relative.startswith(os.pardir) else relative


def _mode(code: CodeType) -> str:
    return "async" if code.co_flags & _ASYNC else "sync"


def _module(function: FunctionType) -> str:
    return str(function.__globals__.get("__name__", ""))


def _sends(made: Any, work: CodeType) -> tuple[CodeType, ...]:
    """Return what of a layer's code is given one message after another, or makes a body."""
    classes = () if inspect.isroutine(made) else type(made).__mro__
    own = [
        member.__code__
        for cls in classes
        if cls is not BaseHTTPMiddleware and not is_machinery(cls.__module__)
        for member in vars(cls).values()
        if isinstance(member, FunctionType)
    ]
    nested = [code for each in [*own, work] for code in _nested(each)]
    return tuple({id(c): c for c in nested if c is not work and _takes_messages(c)}.values())


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)


def _takes_messages(code: CodeType) -> bool:
    if code.co_flags & inspect.CO_ASYNC_GENERATOR:
        return not code.co_name.startswith("<")
    if not code.co_flags & inspect.CO_COROUTINE:
        return False
    names = code.co_varnames[: code.co_argcount]
    return not _MESSAGES.isdisjoint(names) or (bool(names) and "send" in code.co_name)
