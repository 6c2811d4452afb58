"""Faults in code that is there already: reached where they should be, raised there, gone after."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import sys
import threading
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from types import CodeType
from typing import Any, Literal

import pytest

from everylayer.faults.code import CodePoint

MONITORED = sys.version_info >= (3, 12)
Moment = Literal["start", "return"]


class Injected(Exception):
    pass


class Log(list[str]):
    """What ran, in order."""


log = Log()


def function() -> str:
    log.append("body")
    return "value"


class Layer:
    def method(self) -> str:
        log.append("body")
        value = "value"
        return value  # noqa: RET504 - a name that is loaded before it is returned

    @staticmethod
    def static() -> str:
        log.append("body")
        return "value"

    @classmethod
    def of_class(cls) -> str:
        log.append("body")
        return "value"

    def __call__(self) -> str:
        log.append("body")
        return function.__name__


def closed_over(word: str) -> Callable[[], str]:
    def closure() -> str:
        log.append("body")
        return word

    return closure


the_closure = closed_over("value")
the_lambda = lambda: log.append("body")  # noqa: E731


def generator() -> Iterator[int]:
    log.append("body")
    yield 1
    yield 2
    log.append("end")


async def coroutine() -> str:
    log.append("body")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return "value"


async def awaits_at_the_end() -> str:
    log.append("body")
    return await coroutine()


async def async_generator() -> AsyncIterator[int]:
    log.append("body")
    yield 1
    await asyncio.sleep(0)
    yield 2
    log.append("end")


async def _collect() -> list[int]:
    return [item async for item in async_generator()]


def _await(made: Callable[[], Any]) -> Callable[[], Any]:
    return lambda: asyncio.run(made())


KINDS: dict[str, tuple[Any, Callable[[], Any]]] = {
    "function": (function, function),
    "method": (Layer.method, Layer().method),
    "staticmethod": (Layer.static, Layer.static),
    "classmethod": (Layer.of_class.__func__, Layer.of_class),
    "call": (Layer.__call__, Layer()),
    "closure": (the_closure, the_closure),
    "lambda": (the_lambda, the_lambda),
    "partial": (function, functools.partial(function)),
    "generator": (generator, lambda: list(generator())),
    "coroutine": (coroutine, _await(coroutine)),
    "await": (awaits_at_the_end, _await(awaits_at_the_end)),
    "async generator": (async_generator, _await(_collect)),
}
each_kind = pytest.mark.parametrize("kind", KINDS)
each_moment = pytest.mark.parametrize("moment", ["start", "return"])


def code_of(function: Any) -> CodeType:
    code: CodeType = function.__code__
    return code


def fail() -> None:
    log.append("visit")
    raise Injected("put here")


def look() -> None:
    log.append("visit")


def traces_left() -> list[str]:
    """Name whatever a point left in the interpreter."""
    left = []
    if sys.gettrace() is not None and "everylayer" in repr(sys.gettrace()):
        left.append("sys.gettrace()")
    if "everylayer" in repr(threading.gettrace()):
        left.append("threading.gettrace()")
    if "everylayer" in repr(sys.getprofile()):
        left.append("sys.getprofile()")
    if MONITORED:
        left += [
            name for name in map(sys.monitoring.get_tool, range(6)) if name and "every" in name
        ]
    return left


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    log.clear()
    assert traces_left() == []
    yield
    assert traces_left() == []


@contextlib.contextmanager
def armed(what: Any, moment: Moment, visit: Callable[[], None] = look) -> Iterator[CodePoint]:
    point = CodePoint((code_of(what),), moment)
    point.arm(visit)
    try:
        yield point
    finally:
        point.disarm()


@each_kind
def test_the_start_and_the_return_are_each_visited_once(kind: str) -> None:
    what, run = KINDS[kind]
    plain = run()
    ran, log[:] = [*log], []
    start, end = (functools.partial(log.append, word) for word in ("start", "return"))
    with armed(what, "start", start), armed(what, "return", end):
        assert run() == plain
    assert log == ["start", *ran, "return"]
    log.clear()
    assert run() == plain
    assert log == ran


@each_moment
@each_kind
def test_a_fault_leaves_from_the_frame_of_the_code(kind: str, moment: Moment) -> None:
    what, run = KINDS[kind]
    run()
    ran, log[:] = [*log], []
    expected = ["visit"] if moment == "start" else [*ran, "visit"]
    with armed(what, moment, fail):
        for _ in range(3):
            log.clear()
            with pytest.raises(Injected) as caught:
                run()
            assert log == expected
            names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
            assert code_of(what).co_name in names
            assert names[-1] == "fail"
    log.clear()
    run()
    assert log == ran
