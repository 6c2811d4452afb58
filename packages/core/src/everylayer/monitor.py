"""The opt-in monitor: exceptions that a layer raises and handles by itself, which no seam can see.

The interpreter tells of each exception handled anywhere in the process; one look-up dismisses those
of other code. It knows only that a handler begins: whether it dealt with the exception, or passed
it on, is asked when the request's outcome is known (`sighting.Sighting.stayed`).
"""

from __future__ import annotations

import asyncio
import dis
import functools
import inspect
import itertools
import logging
import sys
import weakref
from collections.abc import Callable, Iterable, Iterator
from types import CodeType, FrameType, FunctionType
from typing import Any, NamedTuple

from .failsafe import contained
from .forks import ForkLock
from .layers import Layer, held_by
from .settings import Settings
from .tool_ids import claim

Show = Callable[[BaseException, Layer, FrameType], None]

_logger = logging.getLogger("everylayer")
_NAME = "everylayer.monitor"

# Whoever catches one of these asks whether something is over, not what went wrong.
_CONTROL = (StopIteration, StopAsyncIteration, GeneratorExit, asyncio.CancelledError)
# What these handle by themselves is their own affair: frameworks, instrumentation, and Python.
_NOT_THE_USERS = sys.stdlib_module_names | {
    *("aiohttp", "anyio", "asgiref", "django", "everylayer", "everylayer_aiohttp"),
    *("everylayer_django", "everylayer_flask", "everylayer_litestar", "everylayer_starlette"),
    *("fastapi", "flask", "litestar", "opentelemetry", "sentry_sdk", "starlette", "werkzeug"),
}


class _Own(NamedTuple):
    """A function of a layer.

    Attributes:
        code: held, so that its `id` stays its own.
        handlers: offsets, in bytes, at which an `except` or `finally` begins.
        show: tells the request at work.
    """

    code: CodeType
    layer: Layer
    handlers: frozenset[int]
    show: Show


_lock = ForkLock()
# By `id` of the code: to hash one is to walk through its bytecode.
_own: dict[int, _Own] = {}
_owners: dict[int, dict[int, _Own]] = {}
_finalizers: dict[int, weakref.finalize[Any, Any]] = {}
_tool: int | None = None


def wanted(settings: Settings) -> bool:
    """Tell whether what layers handle by themselves is to be shown."""
    return settings.enabled and settings.swallowed == "monitor"


@contained
def watch(owner: object, layer: Layer, codes: Iterable[CodeType], show: Show) -> None:
    """Show what `codes` handle, until `owner` is gone or leaves.

    Args:
        owner: whose layer it is: an app, or what stands for it; referred to weakly.
        layer: the layer that runs the codes.
        codes: of its functions.
        show: given the exception, `layer`, and the frame that handles it.
    """
    key = id(owner)
    with _lock:
        known_owner = key in _owners
        # First of all: the last owner may go at any moment, and would take the tool with it.
        mine = _owners.setdefault(key, {})
        began = _start()
        if not began:
            del _owners[key]
        elif not known_owner:
            _finalizers[key] = weakref.finalize(owner, _forget, key)
            _finalizers[key].atexit = False
        for code in codes if began else ():
            known = _own.get(id(code))
            handlers = known.handlers if known is not None else _handlers(code)
            if handlers:
                mine[id(code)] = _own[id(code)] = _Own(code, layer, handlers, show)
    if not began:
        # Not with the lock: a log's handler has one too, and may be in our finalizer.
        _say_once()


def leave(owner: object) -> None:
    """Show nothing any more for `owner`; harmless for one that never watched."""
    finalizer = _finalizers.get(id(owner))
    if finalizer is not None and finalizer.peek() is not None:
        finalizer()


def codes_of_layer(made: Any) -> Iterator[CodeType]:
    """Yield the codes of a layer's own functions, and of those inside them.

    Args:
        made: a class, an instance, or a function. What it inherits from a framework is left out.
    """
    functions: list[Any] = []
    if isinstance(made, functools.partial) or inspect.isroutine(made):
        functions = [made]
    else:
        cls = made if inspect.isclass(made) else type(made)
        for base in cls.__mro__:
            functions += [f for value in vars(base).values() for f in _functions(value)]
    for function in functions:
        for each in _unwrapped(function):
            yield from _within(each.__code__)


def _functions(value: Any) -> tuple[Any, ...]:
    if isinstance(value, property):
        return (value.fget, value.fset, value.fdel)
    return (value,)


def _unwrapped(function: Any) -> Iterator[FunctionType]:
    """Yield the users' functions that a decorated one consists of."""
    for _ in range(16):
        while isinstance(function, functools.partial):
            function = function.func
        function = getattr(function, "__func__", function)
        if not isinstance(function, FunctionType):
            return
        module = str(function.__globals__.get("__name__", ""))
        of_the_user = module.partition(".")[0] not in _NOT_THE_USERS
        if of_the_user:
            yield function
        wrapped = getattr(function, "__wrapped__", None)
        function = held_by(function) if wrapped is None and not of_the_user else wrapped


def _within(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _within(constant)


def _handlers(code: CodeType) -> frozenset[int]:
    """Return where the handlers of `code` begin that may deal with an exception.

    Not those of a `with`, where the manager decides: `contextlib.suppress` is asked to be silent.
    """
    ops = list(dis.get_instructions(code))
    return frozenset(
        op.offset
        for op, following in itertools.pairwise(ops)
        if op.opname == "PUSH_EXC_INFO" and following.opname != "WITH_EXCEPT_START"
    )


def _start() -> bool:
    global _tool
    if _tool is None:
        _tool = claim(_NAME)
        if _tool is None:
            return False
        event = sys.monitoring.events.EXCEPTION_HANDLED
        sys.monitoring.register_callback(_tool, event, _handled)
        sys.monitoring.set_events(_tool, event)
    return True


def _stop() -> None:
    global _tool
    tool, _tool = _tool, None
    if tool is not None:
        sys.monitoring.set_events(tool, 0)
        sys.monitoring.register_callback(tool, sys.monitoring.events.EXCEPTION_HANDLED, None)
        sys.monitoring.free_tool_id(tool)


@contained
def _forget(key: int) -> None:
    with _lock:
        _finalizers.pop(key, None)
        _owners.pop(key, None)
        # A list: another one's finalizer may come in between.
        left = {place: own for owned in list(_owners.values()) for place, own in owned.items()}
        for place in list(_own):
            if place not in left:
                del _own[place]
        _own.update(left)
        if not _owners:
            _stop()


@functools.cache
def _say_once() -> None:
    _logger.warning(
        'everylayer cannot watch what layers handle by themselves (swallowed="monitor"): other '
        "tools use all of sys.monitoring's ids. Everything else is recorded as ever."
    )


def _handled(
    code: CodeType,
    offset: int,
    exc: BaseException,
    find: Callable[[int], _Own | None] = _own.get,
) -> None:
    own = find(id(code))
    if own is not None and offset in own.handlers:
        _show(own, exc, sys._getframe(1))


@contained
def _show(own: _Own, exc: BaseException, frame: FrameType) -> None:
    # By its type: what `isinstance` asks of an exception may fail.
    if not issubclass(type(exc), _CONTROL):
        own.show(exc, own.layer, frame)
