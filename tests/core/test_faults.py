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
from everylayer.faults.watched import Unavailable

MONITORED = sys.version_info >= (3, 12)
Moment = Literal["start", "return"]
pytestmark = pytest.mark.skipif(
    not MONITORED and sys.gettrace() is not None, reason="a coverage tool traces on this Python"
)


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


def recovers_by_name() -> str:
    try:
        value = function()
        return value  # noqa: RET504 - a name that is loaded before it is returned
    except Injected:
        log.append("recovered")
    return "recovered"


async def recovers_from_an_await() -> str:
    try:
        value = await coroutine()
        return value  # noqa: RET504 - a name that is loaded before it is returned
    except Injected:
        log.append("recovered")
    return "recovered"


@pytest.mark.parametrize("kind", ["name", "await"])
def test_the_layers_own_try_sees_a_fault_at_its_return(kind: str) -> None:
    what, run = {
        "name": (recovers_by_name, recovers_by_name),
        "await": (recovers_from_an_await, _await(recovers_from_an_await)),
    }[kind]
    faults = iter([Injected("put here")])

    def fail_once() -> None:
        log.append("visit")
        for fault in faults:
            raise fault

    with armed(what, "return", fail_once):
        assert run() == "recovered"
    # The return of what recovered is a return as well, so it is visited.
    assert log == ["body", "visit", "recovered", "visit"]


async def _ends_in_an_await_within_try() -> str:
    try:
        return await coroutine()
    except Injected:
        return "recovered"


@pytest.mark.skipif(sys.version_info[:2] == (3, 11), reason="3.11 leaves the try with the await")
def test_the_try_around_an_awaited_return_sees_a_fault_there() -> None:
    faults = iter([Injected("put here")])

    def fail_once() -> None:
        for fault in faults:
            raise fault

    with armed(_ends_in_an_await_within_try, "return", fail_once):
        assert asyncio.run(_ends_in_an_await_within_try()) == "recovered"


def _ends_in_a_call_within_try() -> str:
    try:
        return function()
    except Injected:
        return "recovered"


def _ends_in_a_loop_within_try() -> None:
    try:
        for _ in "once":
            function()
    except Injected:
        log.append("recovered")


@pytest.mark.parametrize("what", [_ends_in_a_call_within_try, _ends_in_a_loop_within_try])
def test_a_try_that_nothing_is_left_of_does_not_see_a_fault_at_its_return(what: Any) -> None:
    with armed(what, "return", fail), pytest.raises(Injected):
        what()
    assert "recovered" not in log


_body = "\n".join(f"    kept = {number}.5" for number in range(300))
_made: dict[str, Any] = {}
exec(f"def long(go):\n{_body}\n    if go:\n        return 'last'\n    return kept\n", _made)


@pytest.mark.parametrize(("go", "value"), [(True, "last"), (False, 299.5)])
def test_a_code_with_extended_arguments_is_visited_once_at_its_return(go: bool, value: Any) -> None:
    long = _made["long"]
    with armed(long, "return"):
        assert long(go) == value
        assert log == ["visit"]


def test_what_never_returns_is_not_visited_at_its_return() -> None:
    def fails() -> None:
        raise ValueError

    with armed(fails, "return"), armed(generator, "return"):
        with pytest.raises(ValueError, match=r"^$"):
            fails()
        half_way = generator()
        next(half_way)
        half_way.close()
    assert log == ["body"]


def recursive(depth: int) -> int:
    return depth if depth == 0 else recursive(depth - 1)


@each_moment
def test_each_call_of_a_recursion_is_visited(moment: Moment) -> None:
    with armed(recursive, moment):
        recursive(3)
    assert log == ["visit"] * 4


@each_moment
def test_what_a_visit_runs_is_not_visited(moment: Moment) -> None:
    with armed(function, moment, lambda: log.append(function())):
        function()
        function()
    seen = {"start": ["body", "value", "body"], "return": ["body", "body", "value"]}[moment]
    assert log == seen * 2


def test_points_of_one_code_are_visited_in_order_and_leave_one_by_one() -> None:
    points = [CodePoint((code_of(function),), "start") for _ in range(3)]
    for number, point in enumerate(points):
        point.arm(functools.partial(log.append, str(number)))
    function()
    points[1].disarm()
    points[1].disarm()
    function()
    points[0].disarm()
    points[2].disarm()
    function()
    assert log == ["0", "1", "2", "body", "0", "2", "body", "body"]


def test_a_point_armed_again_has_one_visit_the_new_one() -> None:
    point = CodePoint((code_of(function),), "return")
    for word in ("old", "new"):
        point.arm(functools.partial(log.append, word))
    function()
    point.disarm()
    function()
    assert log == ["body", "new", "body"]


def test_a_point_may_have_several_codes() -> None:
    point = CodePoint((code_of(function), code_of(the_closure)), "start")
    point.arm(look)
    function()
    the_closure()
    closed_over("other")()
    point.disarm()
    assert log == ["visit", "body"] * 3


def test_equal_codes_are_told_apart() -> None:
    first, second = (eval("lambda: log.append('body')", globals()) for _ in range(2))
    assert first.__code__ == second.__code__
    with armed(first, "start"):
        second()
        first()
    assert log == ["body", "visit", "body"]


@each_moment
def test_a_cancellation_can_be_put_as_well(moment: Moment) -> None:
    def cancel() -> None:
        raise asyncio.CancelledError

    async def run() -> bool:
        task = asyncio.create_task(coroutine())
        await asyncio.wait([task])
        return task.cancelled()

    with armed(coroutine, moment, cancel):
        assert asyncio.run(run())


@each_moment
def test_every_thread_is_watched_that_starts_after_arming(moment: Moment) -> None:
    seen: list[str] = []

    def work() -> None:
        for _ in range(3):
            try:
                function()
            except Injected:
                seen.append(threading.current_thread().name)

    with armed(function, moment, fail):
        threads = [threading.Thread(target=work, name=f"worker {n}") for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(seen) == sorted(f"worker {n}" for n in range(4) for _ in range(3))


class Worker:
    """A thread that runs what it is given, until it is left."""

    def __init__(self) -> None:
        self._jobs: list[Callable[[], Any]] = []
        self._go, self._done = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()
        self.run(function)

    def _work(self) -> None:
        while self._go.acquire() and self._jobs:
            with contextlib.suppress(Injected):
                self._jobs.pop()()
            self._done.release()

    def run(self, job: Callable[[], Any]) -> None:
        self._jobs.append(job)
        self._go.release()
        assert self._done.acquire(timeout=10)

    def stop(self) -> None:
        self._go.release()
        self._thread.join(10)


def test_a_thread_that_was_there_before_is_watched_where_the_interpreter_can() -> None:
    worker = Worker()
    log.clear()
    with armed(function, "start"):
        worker.run(function)
    assert log == (["visit", "body"] if MONITORED else ["body"])
    worker.stop()


def test_a_point_of_no_codes_keeps_threads_watched() -> None:
    keeper = CodePoint((), "start")
    keeper.arm(look)
    worker = Worker()
    log.clear()
    for moment in ("start", "return"):
        with armed(function, moment, fail):
            worker.run(function)
            worker.run(function)
    with armed(function, "start"):
        worker.run(function)
    worker.run(function)
    assert log == ["visit", "visit", "body", "visit", "body", "visit", "visit", "body", "body"]
    left: list[Any] = []
    keeper.disarm()
    worker.run(lambda: None)
    worker.run(lambda: left.append(sys.gettrace()))
    if sys.version_info < (3, 12):  # From there on no trace function is ours.
        assert left == [None]
    worker.stop()


def test_disarmed_while_other_threads_run_it() -> None:
    stop = threading.Event()
    errors: list[BaseException] = []

    def work() -> None:
        while not stop.is_set():
            try:
                function()
            except Injected:
                pass
            except BaseException as exc:
                errors.append(exc)

    with armed(recursive, "start"):
        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        for _ in range(100):
            with armed(function, "start", fail), armed(function, "return"):
                pass
    stop.set()
    for thread in threads:
        thread.join()
    log.clear()
    function()
    assert (log, errors) == (["body"], [])


def test_nothing_is_kept_of_what_was_armed() -> None:
    import gc
    import weakref

    def made() -> None: ...

    class Visits:
        def __call__(self) -> None:
            raise Injected

    visits = Visits()
    gone = [weakref.ref(visits), weakref.ref(made)]
    for moment in ("start", "return"):
        with armed(made, moment, visits), pytest.raises(Injected):
            made()
    del made, visits
    gc.collect()
    assert [ref() for ref in gone] == [None, None]


def test_beside_another_trace_function() -> None:
    calls: list[str] = []

    def other(frame: Any, event: str, arg: Any) -> None:
        calls.append(frame.f_code.co_name)

    before = sys.gettrace()
    sys.settrace(other)
    try:
        if MONITORED:
            with armed(function, "start"):
                function()
            assert log == ["visit", "body"]
            assert "function" in calls
        else:
            with pytest.raises(Unavailable, match=r"debugger or a coverage tool.*3\.12"):
                CodePoint((code_of(function),), "start").arm(look)
        assert sys.gettrace() is other
    finally:
        sys.settrace(before)


@pytest.mark.skipif(MONITORED, reason="sys.settrace is for Python 3.10 and 3.11")
def test_a_profile_function_is_left_where_it_is() -> None:
    def profile(frame: Any, event: str, arg: Any) -> None: ...

    point = CodePoint((code_of(function),), "start")
    point.arm(fail)
    sys.setprofile(profile)
    try:
        with pytest.raises(Injected):
            function()
        assert sys.getprofile() is profile
        # It takes the place that would give the trace function back: arming again does.
        function()
        point.arm(fail)
        with pytest.raises(Injected):
            function()
    finally:
        sys.setprofile(None)
        point.disarm()
    assert log == ["visit", "body", "visit"]


@pytest.mark.skipif(not MONITORED, reason="sys.monitoring is for Python 3.12 and newer")
class TestMonitoring:
    def test_no_event_is_left(self) -> None:
        with armed(function, "start"), armed(recovers_by_name, "return"):
            tool = next(n for n in range(6) if sys.monitoring.get_tool(n) == "everylayer.faults")
            assert sys.monitoring.get_local_events(tool, code_of(function))
            assert sys.monitoring.get_local_events(tool, code_of(recovers_by_name))
            assert sys.monitoring.get_events(tool) == 0
        sys.monitoring.use_tool_id(tool, "test")
        try:
            assert not sys.monitoring.get_local_events(tool, code_of(function))
            assert not sys.monitoring.get_local_events(tool, code_of(recovers_by_name))
        finally:
            sys.monitoring.free_tool_id(tool)

    def test_without_a_free_id_it_says_so(self) -> None:
        taken = [n for n in range(6) if sys.monitoring.get_tool(n) is None]
        for tool in taken:
            sys.monitoring.use_tool_id(tool, "test")
        point = CodePoint((code_of(function),), "start")
        try:
            with pytest.raises(Unavailable, match=r"all of sys\.monitoring's ids"):
                point.arm(look)
        finally:
            for tool in taken:
                sys.monitoring.free_tool_id(tool)
        function()
        assert log == ["body"]
        with armed(function, "start"):
            function()
        assert log == ["body", "visit", "body"]
